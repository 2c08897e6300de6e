"""How good an embedding is, in numbers that a reader can hold against the environment."""

import dataclasses

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from embrl.core.spaces import is_continuous, state_count
from embrl.core.types import Transition
from embrl.data.segments import Segments, draw_segments
from embrl.embedding.encoders import ContinuousActions, StateEncoder
from embrl.embedding.model import JointEmbedding
from embrl.embedding.objectives.dynamics import Forward
from embrl.embedding.pretraining import Weights, loss
from embrl.embedding.probing import LOST, probe

COINCIDE = 0.01
"""Embeddings closer than this (in a space of side 2) count as one."""

MOST = 2000
"""States or actions compared pair by pair; of more, a random part."""

CHUNK = 1024
"""Transitions predicted at once."""


@dataclasses.dataclass(frozen=True)
class Quality:
    """Measures of one trained embedding. None: the method has nothing to measure there, or the
    environment cannot tell.
    """

    held_out_loss: float | None
    """The weighted sum of the method's objectives on transitions not trained on; for jsae the
    negative log likelihood of s' in nats (Pritz et al. 2021, eq. 5), or its squared error."""
    next_state_accuracy: float | None
    """Share of them where every factor of s' is the one that T finds likeliest."""
    next_state_r2: float | None
    """Of a `Box`: the share of the variance of s' that T explains."""
    states_visited: int | None
    """Different states in the pre-training data; None for a `Box`, where hardly any two are
    equal."""
    states_total: int | None
    state_pairs_compared: int | None
    """Pairs of visited states, which the next measures are shares of."""
    state_pairs_coinciding: int | None
    """Closer than 0.01: Assumption 3 of the paper says none. None for a `Box`: near states may."""
    state_pairs_coinciding_wrongly: int | None
    """Of those, pairs that the environment tells apart."""
    state_distance_correlation: float | None
    """Spearman's, of distances in X with distances of what the environment says of the states;
    else, for a `Box`, with distances of the observations."""
    state_feature_probing: dict[str, float]
    """How well each feature of a state can be read off X, 0 to 1 (`embrl.embedding.probing`)."""
    state_features_lost: list[str]
    """Those that are recovered worse than 0.3."""
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
    """Spearman's, of distances in E with distances between effects; between the actions themselves
    where these are numbers."""
    action_decoding_r2: float | None = None
    """Of held-out actions that are numbers, after g and f: R^2, 1 if they come back as they were;
    None for discrete ones, which f looks up."""


def measure(
    model: JointEmbedding,
    weights: Weights,
    held_out: Transition,
    visited: np.ndarray,
    *,
    observation_space: gymnasium.Space,
    horizon: int = 1,
    state_coordinates: np.ndarray | None = None,
    coordinate_names: tuple[str, ...] | None = None,
    action_effects: np.ndarray | None = None,
) -> Quality:
    """Measures a trained embedding.

    Arguments:
        weights: of the objectives that it was trained with.
        held_out: transitions `[T, B, ...]` that it was not trained on.
        visited: different observations of the pre-training data, `[V]` or `[V, k]`.
        horizon: steps of the segments that objectives were trained on.
        state_coordinates: `[V, p]`, what the environment says of the visited states.
        coordinate_names: of those columns.
        action_effects: `[n, p]`, what it says of the actions.
    """
    continuous = is_continuous(observation_space)
    state, recovered = _NOTHING, {}
    if isinstance(model.phi, StateEncoder):

        def phi(observation: np.ndarray) -> np.ndarray:
            return np.asarray(model.phi(jnp.asarray(observation)))

        part = _some(np.random.default_rng(0), len(visited))
        truth = state_coordinates
        if continuous and truth is None:
            truth = np.asarray(model.raw(jnp.asarray(visited)))
        state = _pairs(phi(visited[part]), None if truth is None else truth[part])
        recovered = probe(phi, observation_space, visited, state_coordinates, coordinate_names)
    flat = _flat(held_out)
    decoded = None
    if isinstance(model.g, ContinuousActions) and model.f is not None:
        some = flat.action[_some(np.random.default_rng(0), len(flat.action))]
        table = np.asarray(model.g(jnp.asarray(some)))
        action_effects = np.asarray(model.g.raw(jnp.asarray(some)))
        decoded = _r2(np.asarray(model.g.raw(model.f(jnp.asarray(table)))), action_effects)
    else:
        table = np.asarray(model.g.table)
    part = _some(np.random.default_rng(0), len(table))
    action = _pairs(table[part], None if action_effects is None else action_effects[part])
    accuracy, r2 = _predictions(model, held_out)
    return Quality(
        held_out_loss=_loss(model, weights, held_out, horizon),
        next_state_accuracy=accuracy,
        next_state_r2=r2,
        states_visited=None if continuous else len(visited),
        states_total=state_count(observation_space),
        state_pairs_compared=state.compared,
        state_pairs_coinciding=None if continuous else state.coinciding,
        state_pairs_coinciding_wrongly=None if continuous else state.coinciding_wrongly,
        state_distance_correlation=state.correlation,
        state_feature_probing=recovered,
        state_features_lost=[name for name, score in recovered.items() if score < LOST],
        action_pairs_compared=len(part) * (len(part) - 1) // 2,
        action_pairs_coinciding=action.coinciding or 0,
        action_pairs_coinciding_wrongly=action.coinciding_wrongly,
        action_pairs_equal=action.equal,
        action_distance_equal=action.distance_equal,
        action_distance_correlation=action.correlation,
        action_decoding_r2=decoded,
    )


def _r2(found: np.ndarray, truth: np.ndarray) -> float | None:
    around = ((truth - truth.mean(0)) ** 2).sum()
    return None if around == 0.0 else 1.0 - float(((found - truth) ** 2).sum() / around)


@dataclasses.dataclass(frozen=True)
class _Pairs:
    compared: int | None = None
    coinciding: int | None = None
    coinciding_wrongly: int | None = None
    equal: int | None = None
    distance_equal: float | None = None
    correlation: float | None = None


_NOTHING = _Pairs()


def _pairs(embedded: np.ndarray, truth: np.ndarray | None) -> _Pairs:
    from scipy.spatial.distance import pdist

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
    from scipy.stats import spearmanr

    return float(spearmanr(distance, true_distance)[0])  # type: ignore[arg-type]


def _some(random: np.random.Generator, count: int, most: int = MOST) -> np.ndarray:
    return np.arange(count) if count <= most else np.sort(random.permutation(count)[:most])


def _loss(
    model: JointEmbedding, weights: Weights, held_out: Transition, horizon: int
) -> float | None:
    if not weights:
        return None
    count = held_out.reward.size
    if horizon == 1:
        flat = _flat(held_out)
        segments = Segments(
            jax.tree.map(lambda column: column[None], flat), jnp.ones((1, count), bool)
        )
    else:
        key = jax.random.key(0)
        segments = draw_segments(jax.tree.map(jnp.asarray, held_out), key, count, horizon)
    total = 0.0
    for start in range(0, count, CHUNK):
        chunk = jax.tree.map(lambda column, at=start: column[:, at : at + CHUNK], segments)
        total += chunk.mask.shape[1] * float(_loss_of(model, chunk, dict(weights)))
    return total / count


_loss_of = jax.jit(loss)


def _predictions(model: JointEmbedding, held_out: Transition) -> tuple[float | None, float | None]:
    """Accuracy of discrete predictions or R^2 of continuous ones, where there is a T."""
    if not isinstance(model.parts.get("forward"), Forward):
        return None, None
    flat = _flat(held_out)
    count, right, error = len(flat.reward), 0.0, 0.0
    for start in range(0, count, CHUNK):
        chunk = jax.tree.map(lambda column, at=start: column[at : at + CHUNK], flat)
        sums = _right_and_error(model, chunk)
        right, error = right + float(sums[0]), error + float(sums[1])
    if isinstance(model.raw.features, tuple):
        return right / count, None
    target = np.asarray(model.raw(jnp.asarray(flat.next_observation)), np.float64)
    around = ((target - target.mean(0)) ** 2).sum()
    return None, None if around == 0.0 else 1.0 - error / float(around)


@jax.jit
def _right_and_error(model: JointEmbedding, batch: Transition) -> tuple[jax.Array, jax.Array]:
    """How many of the batch are predicted right; the sum of squared errors of a `Box`."""
    predicted = model.predict(batch.observation, batch.action)
    target = model.raw(batch.next_observation)
    if not isinstance(predicted, tuple):
        return jnp.float32(0.0), ((predicted - target) ** 2).sum()
    right = [logits.argmax(-1) == target[..., at] for at, logits in enumerate(predicted)]
    return jnp.stack(right).all(0).sum(dtype=jnp.int32), jnp.float32(0.0)


def _flat(transitions: Transition) -> Transition:
    """`[T, B, ...]` as `[N, ...]`."""
    return jax.tree.map(lambda column: column.reshape(-1, *column.shape[2:]), transitions)
