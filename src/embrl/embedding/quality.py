"""How good an embedding is, in numbers that a reader can hold against the environment."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr

from embrl.embedding.model import JointEmbedding
from embrl.embedding.objectives import OBJECTIVES
from embrl.types import Transition

COINCIDE = 0.01
"""Embeddings closer than this (in a space of side 2) count as one."""

MOST = 2000
"""States or actions compared pair by pair; of more, a random part."""


@dataclasses.dataclass(frozen=True)
class Quality:
    """Measures of one trained embedding. None: the environment cannot tell."""

    held_out_loss: float
    """Negative log likelihood of s' in nats on transitions not trained on (eq. 5)."""
    next_state_accuracy: float
    """Share of them where every factor of s' is the likeliest one."""
    states_visited: int
    """Different states in the pre-training data."""
    states_total: int
    state_pairs_compared: int
    """Pairs of visited states, which the next measures are shares of."""
    state_pairs_coinciding: int
    """Closer than 0.01: Assumption 3 of the paper says none."""
    state_pairs_coinciding_wrongly: int | None
    """Of those, pairs that the environment tells apart."""
    state_distance_correlation: float | None
    """Spearman's, of distances in X with distances of what the environment says of the states."""
    action_pairs_compared: int
    action_pairs_coinciding: int
    """Closer than 0.01: Assumption 1 of the paper says none, wrongly where actions are equal."""
    action_pairs_coinciding_wrongly: int | None
    """Of those, pairs with different effects."""
    action_pairs_equal: int | None
    """Pairs with exactly the same effect: an ideal embedding makes these coincide."""
    action_distance_equal: float | None
    """Mean distance in E between equal actions, as a share of the mean over all pairs; 0 is
    ideal."""
    action_distance_correlation: float | None
    """Spearman's, of distances in E with distances between effects."""


def measure(
    model: JointEmbedding,
    held_out: Transition,
    visited: np.ndarray,
    *,
    states_total: int,
    state_coordinates: np.ndarray | None,
    action_effects: np.ndarray | None,
) -> Quality:
    """Measures a trained embedding.

    Arguments:
        held_out: transitions `[N]` that it was not trained on.
        visited: different observations of the pre-training data, `[V]` or `[V, k]`.
        state_coordinates: `[V, p]`, what the environment says of those states.
        action_effects: `[n, p]`, what it says of the actions.
    """
    random = np.random.default_rng(0)
    states = _some(random, len(visited))
    x = np.asarray(model.phi(jnp.asarray(visited[states])))
    state = _pairs(x, None if state_coordinates is None else state_coordinates[states])
    table = np.asarray(model.g.table)
    actions = _some(random, len(table))
    action = _pairs(table[actions], None if action_effects is None else action_effects[actions])
    loss, accuracy = jax.jit(_predictions)(model, held_out)
    return Quality(
        held_out_loss=float(loss),
        next_state_accuracy=float(accuracy),
        states_visited=len(visited),
        states_total=states_total,
        state_pairs_compared=state.compared,
        state_pairs_coinciding=state.coinciding,
        state_pairs_coinciding_wrongly=state.coinciding_wrongly,
        state_distance_correlation=state.correlation,
        action_pairs_compared=action.compared,
        action_pairs_coinciding=action.coinciding,
        action_pairs_coinciding_wrongly=action.coinciding_wrongly,
        action_pairs_equal=action.equal,
        action_distance_equal=action.distance_equal,
        action_distance_correlation=action.correlation,
    )


@dataclasses.dataclass(frozen=True)
class _Pairs:
    compared: int
    coinciding: int
    coinciding_wrongly: int | None = None
    equal: int | None = None
    distance_equal: float | None = None
    correlation: float | None = None


def _pairs(embedded: np.ndarray, truth: np.ndarray | None) -> _Pairs:
    distance = pdist(embedded.astype(np.float64))
    close = distance < COINCIDE
    if truth is None or len(embedded) < 3:
        return _Pairs(len(distance), int(close.sum()))
    true_distance = pdist(truth.astype(np.float64))
    equal = true_distance == 0.0
    alike = float(distance[equal].mean() / distance.mean()) if equal.any() else None
    # Spearman ranks all pairs; a part of them is enough for three digits.
    part = _some(np.random.default_rng(1), len(distance), 200_000)
    return _Pairs(
        len(distance),
        int(close.sum()),
        int((close & ~equal).sum()),
        int(equal.sum()),
        alike,
        _correlation(distance[part], true_distance[part]),
    )


def _correlation(distance: np.ndarray, true_distance: np.ndarray) -> float | None:
    """Spearman's; None where one side does not vary, and ranks say nothing."""
    if np.ptp(distance) == 0.0 or np.ptp(true_distance) == 0.0:
        return None
    return float(spearmanr(distance, true_distance)[0])  # type: ignore[arg-type]


def _some(random: np.random.Generator, count: int, most: int = MOST) -> np.ndarray:
    return np.arange(count) if count <= most else np.sort(random.permutation(count)[:most])


def _predictions(model: JointEmbedding, batch: Transition) -> tuple[jax.Array, jax.Array]:
    targets = model.phi.raw(batch.next_observation)
    logits = model.predict(batch.observation, batch.action)
    right = jnp.stack(
        [factor.argmax(-1) == targets[..., index] for index, factor in enumerate(logits)]
    ).all(0)
    return OBJECTIVES["forward"](model, batch), right.mean()
