"""Quality report of a trained embedding."""

import dataclasses
import functools

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from embrl.core.spaces import is_discrete, state_count
from embrl.core.types import Transition
from embrl.data.replay import Segments, draw_segments
from embrl.embedding.encoders import ActionEncoder, ContinuousActions, StateEncoder
from embrl.embedding.model import JointEmbedding
from embrl.embedding.objectives.dynamics import Forward
from embrl.embedding.pretraining import Weights, loss
from embrl.embedding.probing import LOST, probe
from embrl.embedding.product_actions import ProductActions
from embrl.embedding.transition import ImagePrediction, RowPrediction, compared_numbers

COINCIDE = 0.01
"""Distance below which two embeddings coincide, in a space of side 2."""

MAX_COMPARED = 2000
"""Largest number of states or actions compared in pairs; of more, a random sample."""

MAX_RANKED = 200_000
"""Largest number of pairs whose distances are ranked; enough for three digits of a correlation."""

UNSEEN = 0.01
"""Standard deviation of a scaled coordinate below which the embedding hardly sees it."""

STILL = 1e-4
"""Root mean square of scaled values below which they do not vary: their rounding matters then."""

PROBED_AGAIN = "state_feature_probing_after_training"
"""Beside the measures of an embedding that is updated online: `state_feature_probing`, later."""

CHUNK = 1024
"""Transitions predicted at a time."""


@dataclasses.dataclass(frozen=True)
class Quality:
    """Measures of one trained embedding.

    A measure is None where it does not apply to the method, or the environment has no ground truth.
    """

    held_out_loss: float | None
    """Weighted sum of the method's objectives on held-out transitions; for jsae the negative log
    likelihood of s' in nats (Pritz et al. 2021, eq. 5), or its mean squared error."""
    next_state_accuracy: float | None
    """Fraction of held-out transitions where T predicts every factor of s'."""
    next_state_r2: float | None
    """R^2 of T's predictions of the numbers of s'; None for discrete states."""
    states_visited: int | None
    """Distinct states in the pre-training data; None where states have numbers, as hardly any two
    are equal then."""
    states_total: int | None
    """Number of states; None where states have numbers."""
    state_pairs_compared: int | None
    """Number of pairs of visited states that were compared."""
    state_pairs_coinciding: int | None
    """Pairs of them closer than 0.01; by Assumption 3 of the paper there are none. None for a
    `Box`, where states may be near each other."""
    state_pairs_coinciding_wrongly: int | None
    """Coinciding pairs of states that differ in the environment's ground truth."""
    state_distance_correlation: float | None
    """Spearman correlation of distances in X with distances in the environment's ground truth, or,
    where states have numbers and no ground truth, with distances of observations, factors as
    one-hot vectors."""
    state_feature_probing: dict[str, float]
    """Score of recovering each feature of a state from X, 0 to 1 (`embrl.embedding.probing`)."""
    state_features_lost: list[str]
    """Features with a score below 0.3."""
    action_pairs_compared: int
    """Number of pairs of actions that were compared."""
    action_pairs_coinciding: int
    """Pairs of them closer than 0.01. Assumption 1 of the paper excludes them, although equal
    actions should coincide."""
    action_pairs_coinciding_wrongly: int | None
    """Coinciding pairs of actions with different effects."""
    action_pairs_equal: int | None
    """Pairs of actions with exactly the same effect, which should coincide."""
    action_distance_equal: float | None
    """Mean distance in E of equal actions, as a fraction of the mean over all pairs; 0 is ideal."""
    action_distance_correlation: float | None
    """Spearman correlation of distances in E with distances of effects, or of the actions
    themselves if they are continuous."""
    actions_tried: int | None = None
    """Distinct actions in the pre-training data; None for continuous actions, where hardly any two
    are equal. Where they have no features, only tried ones are compared in pairs."""
    action_decoding_r2: float | None = None
    """R^2 of f(g(a)) for held-out continuous actions, 1 if they are recovered exactly; None for
    discrete actions, which f looks up."""
    notes: list[str] = dataclasses.field(default_factory=list)
    """What could not be measured, and coordinates that the embedding hardly sees, in sentences."""


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
    tried: np.ndarray | None = None,
    action_effects: np.ndarray | None = None,
) -> Quality:
    """Measure the quality of a trained embedding.

    Args:
        model: the embedding.
        weights: weights of the objectives that it was trained with.
        held_out: transitions `[T, B, ...]` that it was not trained on.
        visited: distinct observations of the pre-training data, `[V]` or `[V, k]`.
        observation_space: observation space.
        horizon: steps of the segments that objectives were trained on.
        state_coordinates: ground truth of the visited states, `[V, p]`.
        coordinate_names: names of its columns.
        tried: distinct discrete actions of the pre-training data; None: all actions.
        action_effects: ground truth of the actions, `[n, p]`.
    """
    continuous = not is_discrete(observation_space)
    state, probing, notes = _PairMeasures(), {}, []
    if isinstance(model.phi, StateEncoder):
        phi = functools.partial(_points, model.phi)
        part = _some(np.random.default_rng(0), len(visited))
        truth = state_coordinates
        if continuous:
            scaled = np.asarray(model.raw(filled_up(visited)))[: len(visited)]
            truth = _distinct(scaled, model.raw.sizes) if truth is None else truth
            k = len(model.raw.sizes)
            if model.raw.box is not None:
                notes += _unseen(visited[:, k:], scaled[:, k:])
        state = _compare_pairs(phi(visited[part]), None if truth is None else truth[part])
        probing = probed(model, visited, observation_space, state_coordinates, coordinate_names)
    flat = _flat(held_out)
    decoded = None
    if isinstance(model.g, ContinuousActions) and model.f is not None:
        some = flat.action[_some(np.random.default_rng(0), len(flat.action))]
        table = np.asarray(model.g(jnp.asarray(some)))
        action_effects = np.asarray(model.g.raw(jnp.asarray(some)))
        decoded = _r2(np.asarray(model.g.raw(model.f(jnp.asarray(table)))), action_effects)
        if decoded is None:
            notes.append("action_decoding_r2 is null: held-out actions do not vary")
    elif isinstance(model.g, ProductActions):
        some = _some(np.random.default_rng(0), len(flat.action))
        table, action_effects = np.asarray(model.g(jnp.asarray(flat.action[some]))), None
    else:
        table = np.asarray(model.g.table)
    part = _some(np.random.default_rng(0), len(table))
    if tried is not None and isinstance(model.g, ActionEncoder) and len(tried) < len(table):
        part = tried[_some(np.random.default_rng(0), len(tried))]
    action = _compare_pairs(table[part], None if action_effects is None else action_effects[part])
    accuracy, r2 = _predictions(model, held_out)
    if accuracy is r2 is None and isinstance(model.parts.get("forward"), Forward):
        notes.append("next_state_r2 is null: held-out observations do not vary")
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
        state_feature_probing=probing,
        state_features_lost=[name for name, score in probing.items() if score < LOST],
        action_pairs_compared=len(part) * (len(part) - 1) // 2,
        action_pairs_coinciding=action.coinciding or 0,
        action_pairs_coinciding_wrongly=action.coinciding_wrongly,
        action_pairs_equal=action.equal,
        action_distance_equal=action.distance_equal,
        action_distance_correlation=action.correlation,
        actions_tried=None if tried is None else len(tried),
        action_decoding_r2=decoded,
        notes=notes,
    )


def _distinct(rows: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """Return rows of factors and numbers with a one-hot vector for each factor.

    Half the square distance of two of them counts the factors in which they differ.
    """
    if not sizes:
        return rows
    hot = [rows[:, at, None] == np.arange(size) for at, size in enumerate(sizes)]
    return np.concatenate([*hot, rows[:, len(sizes) :]], -1).astype(np.float32)


def _r2(predicted: np.ndarray, truth: np.ndarray) -> float | None:
    return _explained(float(((predicted - truth) ** 2).sum()), truth)


def _explained(error: float, truth: np.ndarray) -> float | None:
    """Return 1 - error / variance; None where scaled values `[N, p]` do not vary."""
    truth = truth.astype(np.float64)
    total = ((truth - truth.mean(0)) ** 2).sum()
    return None if total <= truth.size * STILL**2 else 1.0 - error / float(total)


def _unseen(visited: np.ndarray, scaled: np.ndarray) -> list[str]:
    """Return a note for each coordinate that varies, but hardly in its scaled form.

    Args:
        visited: observations of a `Box`, `[V, p]`.
        scaled: the same in the form that networks take in.
    """
    values = visited.astype(np.float64)
    spread = scaled.astype(np.float64).std(0)
    varies = np.ptp(values, axis=0) > 1e-6 * np.abs(values).max(0)
    return [
        f"dimension {at} has a standard deviation of {spread[at]:.1g}, scaled to bounds of -1 and "
        "1, and the embedding hardly sees it; give it narrower bounds"
        for at in np.flatnonzero(varies & (spread < UNSEEN)).tolist()
    ]


@dataclasses.dataclass(frozen=True)
class _PairMeasures:
    """Measures of pairs of embedded states or actions, as in `Quality`."""

    compared: int | None = None
    coinciding: int | None = None
    coinciding_wrongly: int | None = None
    equal: int | None = None
    distance_equal: float | None = None
    correlation: float | None = None


def _compare_pairs(embedded: np.ndarray, truth: np.ndarray | None) -> _PairMeasures:
    """Compare all pairs of embeddings `[N, k]`, and with ground truth `[N, p]` if there is one."""
    from scipy.spatial.distance import pdist

    distance = pdist(embedded.astype(np.float64))
    close = distance < COINCIDE
    if truth is None or len(embedded) < 3:
        return _PairMeasures(len(distance), int(close.sum()))
    true_distance = pdist(truth.astype(np.float64))
    equal = true_distance == 0.0
    mean = distance.mean()
    relative = float(distance[equal].mean() / mean) if equal.any() and mean > STILL else None
    part = _some(np.random.default_rng(1), len(distance), MAX_RANKED)
    return _PairMeasures(
        len(distance),
        int(close.sum()),
        int((close & ~equal).sum()),
        int(equal.sum()),
        relative,
        _correlation(distance[part], true_distance[part]),
    )


def _correlation(distance: np.ndarray, true_distance: np.ndarray) -> float | None:
    """Return the Spearman correlation; None where one side does not vary."""
    if np.ptp(distance) <= STILL or np.ptp(true_distance) == 0.0:
        return None
    return float(np.corrcoef(_ranks(distance), _ranks(true_distance))[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks of values from 1, equal ones with their mean rank.

    `scipy.stats` has the same, and takes longer to import than all else here to run.
    """
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]


def probed(
    model: JointEmbedding,
    visited: np.ndarray,
    observation_space: gymnasium.Space,
    state_coordinates: np.ndarray | None = None,
    coordinate_names: tuple[str, ...] | None = None,
) -> dict[str, float]:
    """Return how well each feature of a state is recovered from X; empty without a phi.

    Arguments are as in `measure`.
    """
    if not isinstance(model.phi, StateEncoder):
        return {}
    phi = functools.partial(_points, model.phi)
    return probe(phi, observation_space, visited, state_coordinates, coordinate_names)


def _points(phi: StateEncoder, observation: np.ndarray) -> np.ndarray:
    return np.asarray(phi(filled_up(observation)))[: len(observation)]


def filled_up(rows: np.ndarray) -> jax.Array:
    """Return rows, and copies of the last one up to a power of two.

    Embeddings with a few states more or less, as those of several seeds, then share programs.
    """
    missing = 2 ** (len(rows) - 1).bit_length() - len(rows)
    every = np.concatenate([rows, np.repeat(rows[-1:], missing, axis=0)])
    return jax.device_put(every)


def _some(random: np.random.Generator, count: int, limit: int = MAX_COMPARED) -> np.ndarray:
    """Return the indices below `count`, or a random sample of `limit` of them, sorted."""
    return np.arange(count) if count <= limit else np.sort(random.permutation(count)[:limit])


def _loss(
    model: JointEmbedding, weights: Weights, held_out: Transition, horizon: int
) -> float | None:
    """Return the mean loss over held-out transitions; None without objectives."""
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
        chunk = jax.tree.map(lambda column, start=start: column[:, start : start + CHUNK], segments)
        total += chunk.mask.shape[1] * float(_loss_of(model, chunk, dict(weights)))
    return total / count


_loss_of = jax.jit(loss)


def _predictions(model: JointEmbedding, held_out: Transition) -> tuple[float | None, float | None]:
    """Return the accuracy of discrete predictions or R^2 of continuous ones, if there is a T."""
    if not isinstance(model.parts.get("forward"), Forward):
        return None, None
    flat = _flat(held_out)
    count, correct, error = len(flat.reward), 0.0, 0.0
    for start in range(0, count, CHUNK):
        chunk = jax.tree.map(lambda column, start=start: column[start : start + CHUNK], flat)
        sums = _correct_and_error(model, chunk)
        correct, error = correct + float(sums[0]), error + float(sums[1])
    accuracy = correct / count if model.raw.sizes else None
    if not model.raw.length:
        return accuracy, None
    truth = compared_numbers(model.raw, jnp.asarray(flat.next_observation))
    return accuracy, _explained(error, np.asarray(truth))


@jax.jit
def _correct_and_error(model: JointEmbedding, batch: Transition) -> tuple[jax.Array, jax.Array]:
    """Return the number of correct factors' predictions, and the numbers' squared error."""
    predicted = model.predict(batch.observation, batch.action)
    if isinstance(predicted, RowPrediction):
        logits, numbers = predicted.logits, predicted.numbers
    elif isinstance(predicted, ImagePrediction):
        logits, numbers = (), predicted.values
    else:
        logits, numbers = (predicted, None) if isinstance(predicted, tuple) else ((), predicted)
    correct, error = jnp.float32(0.0), jnp.float32(0.0)
    if logits:
        target = model.raw.indices(batch.next_observation)
        right = [each.argmax(-1) == target[..., index] for index, each in enumerate(logits)]
        correct = jnp.stack(right).all(0).sum(dtype=jnp.int32)
    if numbers is not None:
        error = ((numbers - compared_numbers(model.raw, batch.next_observation)) ** 2).sum()
    return correct, error


def _flat(transitions: Transition) -> Transition:
    """Reshape transitions `[T, B, ...]` to `[N, ...]`."""
    return jax.tree.map(lambda column: column.reshape(-1, *column.shape[2:]), transitions)
