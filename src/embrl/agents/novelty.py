"""How new generated agents are, and the two trivial generators they must be measured against.

Zeng et al. (2025, arXiv 2506.07998): generators of weights mostly give back training checkpoints or
mixtures of them, and few beat adding noise to training weights when quality is weighed against
novelty.
"""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from embrl.agents.architecture import Architecture

NOISES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0)
"""Sizes of noise that are compared with, in standard deviations of each weight over the training
agents."""

ROWS = 1024
"""Agents whose distances to all training agents are in memory at once."""


class Novelty(NamedTuple):
    """Distance of each agent to the nearest training agent."""

    weights: Float[np.ndarray, " N"]
    """Euclidean, in canonical order, in units of the training agents' root mean square length."""
    decisions: Float[np.ndarray, " N"]
    """The least share of probe states in which they decide differently."""


def novelty(
    architecture: Architecture,
    w: Float[np.ndarray, "N size"],
    training: Float[np.ndarray, "M size"],
    probes: Float[np.ndarray, "P inputs"],
) -> Novelty:
    """How far each agent is from all training agents.

    Arguments:
        w: in canonical order, as is `training`.
        probes: states to ask all of them in.
    """
    w, training = np.asarray(w, np.float32), np.asarray(training, np.float32)
    unit = float(np.sqrt((training.astype(np.float64) ** 2).sum(1).mean()))
    mine, theirs = (
        _one_hot(decisions(architecture, a, probes), architecture) for a in (w, training)
    )
    lengths = (training.astype(np.float64) ** 2).sum(1)
    far, apart = [], []
    for start in range(0, len(w), ROWS):
        rows = slice(start, start + ROWS)
        squares = lengths - 2 * (w[rows] @ training.T).astype(np.float64)
        nearest = squares.argmin(1)
        # Again, from the difference: a small distance drowns in the products' rounding.
        far.append(np.linalg.norm(w[rows] - training[nearest], axis=1) / unit)
        apart.append(1.0 - (mine[rows] @ theirs.T).max(1) / len(probes))
    return Novelty(np.concatenate(far), np.concatenate(apart))


def decisions(
    architecture: Architecture,
    w: Float[np.ndarray, "N size"],
    probes: Float[np.ndarray, "P inputs"],
) -> Int[np.ndarray, "N P"]:
    """What each agent does in each probe state."""
    chosen = jax.lax.map(
        lambda one: architecture.logits(one, jnp.asarray(probes)).argmax(-1),
        jnp.asarray(w),
        batch_size=64,
    )
    return np.asarray(chosen)


def noisy(
    w: Float[np.ndarray, "M size"], n: int, size: float, seed: int = 0
) -> Float[np.ndarray, "n size"]:
    """Training agents, drawn at random, each weight plus Gaussian noise of `size` times that
    weight's standard deviation over the training agents.
    """
    draw = np.random.default_rng(seed)
    chosen = w[draw.integers(len(w), size=n)]
    noise = size * w.std(0) * draw.standard_normal((n, w.shape[1]))
    return (chosen + noise).astype(np.float32)


def averaged(w: Float[np.ndarray, "M size"], n: int, seed: int = 0) -> Float[np.ndarray, "n size"]:
    """Means of two different training agents each, drawn at random."""
    draw = np.random.default_rng(seed)
    one = draw.integers(len(w), size=n)
    other = (one + draw.integers(1, len(w), size=n)) % len(w)
    return ((w[one] + w[other]) / 2).astype(np.float32)


def above(
    novelty: float, quality: float, others: list[tuple[float, float]], floor: float = 0.0
) -> float:
    """How far a generator stands above a trivial one: `quality` less the best quality among the
    points and the lines between neighbours of `others` that are at least as new. Where `others`
    reaches no such novelty there is nothing to be above but `floor`.

    Arguments:
        others: (novelty, quality) of the trivial generator at several settings.
    """
    points = sorted(others)
    reached = [value for at, value in points if at >= novelty]
    for (left, low), (right, high) in itertools.pairwise(points):
        if left <= novelty <= right and right > left:
            reached.append(low + (high - low) * (novelty - left) / (right - left))
    return quality - max(reached, default=floor)


def _one_hot(
    chosen: Int[np.ndarray, "N P"], architecture: Architecture
) -> Float[np.ndarray, "N P_A"]:
    return np.eye(architecture.outputs, dtype=np.float32)[chosen].reshape(len(chosen), -1)
