"""Monitoring of an embedding during policy training: cheap measures of how it fits new data.

docs/monitoring.md explains the measures and has the experiments behind the constants.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from embrl.core.types import Transition
from embrl.data.replay import Segments
from embrl.embedding.encoders import StateEncoder
from embrl.embedding.model import JointEmbedding
from embrl.embedding.pretraining import Weights, loss
from embrl.embedding.quality import COINCIDE
from embrl.embedding.seen_states import SeenStates, remember, unseen_fraction
from embrl.embedding.transition import output_size

MEASURES = (
    "fresh_loss",
    "reference_loss",
    "surprise",
    "surprise_fraction",
    "unseen_fraction",
    "reference_unseen_fraction",
    "phi_drift",
    "phi_rank",
    "g_drift",
    "g_rank",
    "dead_fraction",
    "colliding_fraction",
)
"""Columns of metrics.csv. Measures that do not apply are left out: raw states have no phi, a method
without objectives has no loss."""

MAX_SURPRISE = 0.035
"""Largest normal surprise of a seed. The mean of n seeds may exceed it divided by the root of n
only, as chance averages out."""

MIN_DRIFT = 1e-3
"""Drift below which an embedding counts as frozen; such drift is rounding."""

MAX_UNSEEN_FRACTION = 0.2
MAX_DEAD_FRACTION = 0.1
MAX_COLLIDING_FRACTION = 0.99
"""Fractions above which there is a warning."""

SAMPLE = 512
"""Transitions, states or actions that a measure is computed on."""

CHUNK = 64
"""Transitions predicted at a time, so that intermediate arrays stay in the cache of a core."""

LOGITS = 2**23
"""Largest number of outputs predicted for a sample; with more, it has fewer transitions."""

NEIGHBOURS = 40
"""Neighbours of a held-out transition in X and E; its ceiling is the largest of their losses."""

SURPRISE_RATIO = 3.0
"""Ratio of a transition's loss to its ceiling from which on it is a surprise. Negative losses count
as 0."""

SURPRISE_OFFSET = 2.0
"""Offset of both sides of that ratio in mean losses, so that tiny losses are no surprise."""

PAIRS = 2**19
"""Pairs of actions whose distances are computed: of many actions, fewer are compared to all."""

MOST_ACTIONS = 2**14
"""Discrete actions that are measured; of more, some of those that pre-training tried."""

TRIED = 2**12
"""Steps of pre-training from which these are taken."""

TINY = 1e-30


class Reference(NamedTuple):
    """The embedding and its data at the end of pre-training, to compare with later."""

    seen: SeenStates
    """States visited during pre-training."""
    unseen_fraction: Float[Array, ""]
    """Fraction of the held-out states that are not among the seen states."""
    held_out: Transition
    """Sample of held-out transitions, `[P, ...]`."""
    ceiling: Float[Array, " P"] | None
    """Largest loss in the neighbourhood of each held-out transition; None where no objective has
    losses of single transitions."""
    usual_loss: Float[Array, ""] | None
    """Mean of these losses."""
    phi: Float[Array, "P m"] | None
    """Embeddings of their states; None for raw states."""
    g: Float[Array, "N d"]
    """Embeddings of discrete actions, or of the held-out transitions' continuous ones."""
    actions: Int[Array, " N"] | None
    """These actions in order, some more than once; None: all discrete ones, or they are
    continuous."""


def reference(
    model: JointEmbedding,
    weights: Weights,
    transitions: Transition,
    held_out: Transition,
    *,
    states: int | None,
) -> Reference:
    """Return the reference of an embedding, at the end of pre-training.

    Args:
        model: the embedding.
        weights: weights of objectives.
        transitions: transitions of pre-training, `[T, B, ...]`.
        held_out: transitions that were held out, `[T, B, ...]`.
        states: number of states; None for a box.
    """
    sample = _some(held_out, _sample_size(model))
    ceiling = usual_loss = None
    if _single_objectives(model, weights):
        larger = _some(held_out, 8 * _sample_size(model))
        losses = jnp.maximum(_losses(model, weights, larger), 0.0)
        square = _distances(model, sample, larger)
        _, near = jax.lax.top_k(-square, min(NEIGHBOURS, square.shape[1]))
        ceiling, usual_loss = losses[near].max(-1), losses.mean()
    actions = None
    if model.g.table is not None and model.g.table.shape[0] > MOST_ACTIONS:
        actions = jnp.sort(_some(transitions, TRIED).action)
    seen, unseen = remember(model.raw, transitions, held_out, states)
    return Reference(
        seen,
        unseen,
        sample,
        ceiling,
        usual_loss,
        model.phi(sample.observation) if isinstance(model.phi, StateEncoder) else None,
        _action_embeddings(model, sample, actions),
        actions,
    )


def measure(
    model: JointEmbedding, weights: Weights, reference: Reference, fresh: Transition
) -> dict[str, Float[Array, ""]]:
    """Return the measures (`MEASURES`) that apply to a model.

    Args:
        model: the current embedding.
        weights: weights of objectives.
        reference: the embedding at the end of pre-training.
        fresh: latest on-policy transitions, `[T, B, ...]`.
    """
    measures: dict[str, Array] = {}
    sample, held_out = _some(fresh, _sample_size(model)), reference.held_out
    if weights:
        measures["fresh_loss"] = _own_loss(model, weights, sample)
        # Always the same part, so that only changes of the model show.
        part = jax.tree.map(lambda column: column[::4], held_out)
        measures["reference_loss"] = _own_loss(model, weights, part)
    if reference.ceiling is not None and reference.usual_loss is not None:
        losses = jnp.maximum(_losses(model, weights, sample), 0.0)
        square = _distances(model, sample, held_out)
        # Two passes instead of an argmin, which XLA does not vectorise on the CPU.
        nearest = square == square.min(-1, keepdims=True)
        ceiling = jnp.where(nearest, reference.ceiling, -jnp.inf).max(-1)
        offset = SURPRISE_OFFSET * reference.usual_loss + TINY
        beyond = jnp.log((losses + offset) / (SURPRISE_RATIO * (ceiling + offset)))
        measures["surprise"] = jnp.maximum(beyond, 0.0).mean()
        measures["surprise_fraction"] = _fraction(beyond > 0.0)
    measures["unseen_fraction"] = unseen_fraction(model.raw, reference.seen, fresh.observation)
    measures["reference_unseen_fraction"] = reference.unseen_fraction
    if reference.phi is not None:
        measures["phi_drift"] = _drift(model.phi(held_out.observation), reference.phi)
        measures["phi_rank"] = effective_rank(model.phi(sample.observation))
    embeddings = _action_embeddings(model, held_out, reference.actions)
    measures["g_drift"] = _drift(embeddings, reference.g)
    measures["g_rank"] = effective_rank(embeddings)
    if model.g.table is not None:
        if reference.actions is not None:  # what occurs once more is beside nothing
            again = jnp.diff(reference.actions, prepend=-1) == 0
            embeddings = jnp.where(again[:, None], jnp.inf, embeddings)
        measures["dead_fraction"], measures["colliding_fraction"] = _collisions(embeddings)
    return measures


def _action_embeddings(
    model: JointEmbedding, steps: Transition, actions: Int[Array, " N"] | None
) -> Float[Array, "N d"]:
    """Return the embeddings of all or some discrete actions, or of the steps' continuous ones."""
    if actions is not None:
        return model.g(actions)
    return model.g(steps.action) if model.g.table is None else model.g.table


def effective_rank(x: Float[Array, "N k"]) -> Float[Array, ""]:
    """Return the participation ratio (tr C)^2 / tr(C^2) of the covariance C of x.

    It is k if x varies equally in all directions, 1 if it lies on a line, 0 if it does not vary.
    """
    centred = x - x.mean(0)
    covariance = centred.T @ centred / x.shape[0]
    trace = jnp.trace(covariance)
    normalised = covariance / jnp.maximum(trace, TINY)
    return jnp.where(trace > TINY, 1.0 / jnp.maximum((normalised**2).sum(), TINY), 0.0)


def _drift(now: Float[Array, "N k"], then: Float[Array, "N k"]) -> Float[Array, ""]:
    """Return the root mean square change of points, as a fraction of their former spread."""
    spread = ((then - then.mean(0)) ** 2).mean()
    return jnp.sqrt(((now - then) ** 2).mean() / jnp.maximum(spread, TINY))


def _collisions(table: Float[Array, "n d"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return the fractions of actions that f never returns, and of those close to another.

    f returns the nearest action, the first of equal ones. So it never returns an action exactly if
    an earlier one has the same embedding.
    """
    n = table.shape[0]
    compared = _chosen(n, min(SAMPLE, max(64, PAIRS // n)))
    square = _square_distances(table[compared], table)
    others = jnp.arange(n, dtype=jnp.int32)
    square = jnp.where(others == compared[:, None], jnp.inf, square)
    dead = ((square == 0.0) & (others < compared[:, None])).any(-1)
    return _fraction(dead), _fraction(square.min(-1) < COINCIDE**2)


def _chosen(total: int, count: int) -> Int[np.ndarray, " chosen"]:
    """Return `count` random indices below `total`, sorted; always the same ones."""
    return np.sort(np.random.default_rng(0).permutation(total)[:count]).astype(np.int32)


def _some(transitions: Transition, count: int) -> Transition:
    """Return a sample of at most `count` transitions, `[N, ...]`."""
    steps, num_envs = transitions.reward.shape
    step, env = np.divmod(_chosen(steps * num_envs, count), np.int32(num_envs))
    return jax.tree.map(lambda column: column[step, env], transitions)


def _outputs(model: JointEmbedding) -> int:
    """Return the largest number of outputs of a prediction."""
    states = output_size(model.raw.features)
    return max(states, 0 if model.g.table is None else model.g.table.shape[0])


def _sample_size(model: JointEmbedding) -> int:
    return min(SAMPLE, max(64, LOGITS // _outputs(model)))


def _fraction(which: Bool[Array, " N"]) -> Float[Array, ""]:
    return which.mean(dtype=jnp.float32)


def _square_distances(here: Float[Array, "N k"], there: Float[Array, "P k"]) -> Float[Array, "N P"]:
    """Return the squared distances between points.

    Differences are computed directly, as the expanded form is not exactly 0 for equal points, and
    one coordinate at a time, so that XLA fuses them into one pass.
    """
    square = jnp.zeros((here.shape[0], there.shape[0]))
    for axis in range(here.shape[1]):
        square += (here[:, axis, None] - there[:, axis]) ** 2
    return square


def _distances(model: JointEmbedding, here: Transition, there: Transition) -> Float[Array, "N P"]:
    """Return squared distances of transitions' embedded states and actions in X and E.

    Distances in X and in E are each divided by the spread `there`, so that both count alike.
    """
    encoders = [lambda steps: model.g(steps.action)]
    if isinstance(model.phi, StateEncoder):
        encoders.append(lambda steps: model.phi(steps.observation))
    square = jnp.zeros((here.reward.shape[0], there.reward.shape[0]))
    for encode in encoders:
        points = encode(there)
        spread = ((points - points.mean(0)) ** 2).sum(-1).mean()
        square += _square_distances(encode(here), points) / jnp.maximum(spread, TINY)
    return square


# Losses


def _single_objectives(model: JointEmbedding, weights: Weights) -> dict[str, Any]:
    """Return the objectives that have losses of single transitions."""
    return {name: model.parts[name] for name in weights if hasattr(model.parts[name], "losses")}


def _losses(model: JointEmbedding, weights: Weights, steps: Transition) -> Float[Array, " N"]:
    """Return weighted losses of single transitions, of the objectives that have such."""

    def one_loss(step: Transition) -> Array:
        one = jax.tree.map(lambda leaf: leaf[None], step)
        terms = [
            weights[name] * part.losses(model, one)
            for name, part in _single_objectives(model, weights).items()
        ]
        return jnp.stack(terms).sum(0)[0]

    chunk = min(CHUNK, max(1, CHUNK * 4096 // _outputs(model)))
    return jax.lax.map(one_loss, steps, batch_size=chunk)


def _own_loss(model: JointEmbedding, weights: Weights, steps: Transition) -> Float[Array, ""]:
    """Return the loss of the method, one step ahead."""
    single = _single_objectives(model, weights)
    if len(single) == len(weights) and not any(part.segments for part in single.values()):
        return _losses(model, weights, steps).mean()
    segments = Segments(
        jax.tree.map(lambda leaf: leaf[None], steps), jnp.ones((1, *steps.reward.shape), bool)
    )
    return loss(model, segments, weights)


# Warnings


def embedding_warnings(seeds: Sequence[Mapping[str, float]]) -> dict[str, list[int]]:
    """Return warnings about the embedding of a run.

    Args:
        seeds: metrics of each seed; those that are missing or NaN give no warning.

    Returns:
        For each warning the indices in `seeds` that it concerns; empty if all is fine. The texts
        are the same at every evaluation.
    """
    found = {
        "the environment does not behave as the embedding predicts": _surprised(seeds),
        "the agent visits states that the embedding was not trained on": [
            index for index, metrics in enumerate(seeds) if _visits_unseen(metrics)
        ],
        "some actions are never chosen, as others have the same embedding": [
            index
            for index, metrics in enumerate(seeds)
            if metrics.get("dead_fraction", 0.0) > MAX_DEAD_FRACTION
        ],
        "nearly all actions are embedded so close to others that chance decides between them": [
            index
            for index, metrics in enumerate(seeds)
            if metrics.get("colliding_fraction", 0.0) > MAX_COLLIDING_FRACTION
        ],
    }
    return {text: indices for text, indices in found.items() if indices}


def _surprised(seeds: Sequence[Mapping[str, float]]) -> list[int]:
    """Return the indices of seeds whose surprise is above the limit."""
    surprise = np.array([metrics.get("surprise", math.nan) for metrics in seeds])
    known = surprise[~np.isnan(surprise)]
    limit = MAX_SURPRISE
    if known.size and known.mean() > MAX_SURPRISE / math.sqrt(known.size):
        limit = MAX_SURPRISE / math.sqrt(known.size)
    return np.flatnonzero(surprise > limit).tolist()


def _visits_unseen(metrics: Mapping[str, float]) -> bool:
    """Return whether a frozen phi meets new states more often than held-out data did."""
    if not metrics.get("phi_drift", math.nan) < MIN_DRIFT:
        return False
    seen = 1.0 - metrics.get("reference_unseen_fraction", 0.0)
    unseen = 1.0 - (1.0 - metrics.get("unseen_fraction", 0.0)) / max(seen, 1e-30)
    return unseen > MAX_UNSEEN_FRACTION
