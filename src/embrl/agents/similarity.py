"""How alike agents decide, and how alike they represent what they see, on shared states."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from embrl.agents.architecture import Architecture

AT_ONCE = 256
"""Pairs that are compared at a time: hidden activities of all of them would not fit."""


class Similarity(NamedTuple):
    """Of pairs of agents."""

    decisions: Float[np.ndarray, " pairs"]
    """The share of states in which both choose the same action."""
    chance: Float[np.ndarray, " pairs"]
    """What that share would be if each chose its actions as often, and at random."""
    representations: Float[np.ndarray, "pairs layers"]
    """CKA of the activities of each hidden layer; NaN where one of the two never changes."""


def similarity(
    architecture: Architecture,
    one: Float[np.ndarray, "pairs size"],
    other: Float[np.ndarray, "pairs size"],
    states: Float[np.ndarray, "states inputs"],
) -> Similarity:
    """Compares the agents of each pair on the same states."""
    seen = jnp.asarray(states)

    @jax.jit
    def compare(one: Array, other: Array) -> Similarity:
        *mine, my_logits = architecture.activities(one, seen)
        *its, its_logits = architecture.activities(other, seen)
        my_choice, its_choice = my_logits.argmax(-1), its_logits.argmax(-1)
        actions = jnp.arange(architecture.outputs)
        often = [(choice[:, None] == actions).mean(0) for choice in (my_choice, its_choice)]
        return Similarity(
            (my_choice == its_choice).mean(),  # type: ignore[arg-type]
            (often[0] * often[1]).sum(),  # type: ignore[arg-type]
            jnp.stack([cka(x, y) for x, y in zip(mine, its, strict=True)]),  # type: ignore[arg-type]
        )

    parts = [
        jax.vmap(compare)(one[at : at + AT_ONCE], other[at : at + AT_ONCE])
        for at in range(0, len(one), AT_ONCE)
    ]
    return jax.tree.map(lambda *columns: np.concatenate(columns), *parts)


def cka(x: Float[Array, "states n"], y: Float[Array, "states m"]) -> Float[Array, ""]:
    """Linear centred kernel alignment, `||Y'X||^2 / (||X'X|| ||Y'Y||)` with centred columns
    (Kornblith et al. 2019, eq. 3): 1 where one is a rotation and scaling of the other.
    """
    x, y = x - x.mean(0), y - y.mean(0)

    def norm(matrix: Array) -> Array:
        return jnp.sqrt((matrix**2).sum())

    return norm(y.T @ x) ** 2 / (norm(x.T @ x) * norm(y.T @ y))


def pairs(count: int, wanted: int, seed: int) -> Int[np.ndarray, "pairs 2"]:
    """Pairs of different ones of `count` things, drawn with replacement."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, count, wanted)
    second = (first + rng.integers(1, count, wanted)) % count
    return np.stack([first, second], axis=1)


def kappa(found: Similarity) -> Float[np.ndarray, " pairs"]:
    """Cohen's: agreement beyond chance, at most 1; NaN where each always chooses the same."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return (found.decisions - found.chance) / (1.0 - found.chance)


def layer_names(hidden: Sequence[int]) -> list[str]:
    """What the columns of `Similarity.representations` are called."""
    return [f"hidden layer {number + 1}" for number in range(len(hidden))]
