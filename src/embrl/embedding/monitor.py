"""Does the embedding still fit what the agent now sees? Cheap measures for every evaluation."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from embrl.core.types import Transition
from embrl.data.segments import Segments
from embrl.embedding.encoders import StateEncoder
from embrl.embedding.model import JointEmbedding
from embrl.embedding.pretraining import Weights, loss
from embrl.embedding.quality import COINCIDE
from embrl.embedding.seen_states import SeenStates, remember, unseen_fraction

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
"""Columns of metrics.csv; docs/monitoring.md says what they mean. An embedding that has nothing
for one (raw states have no phi, a method without objectives no loss) leaves it out."""

SAMPLE = 512
"""Transitions, states or actions that a measure looks at."""

CHUNK = 64
"""Transitions that are predicted at once: what that takes should stay in a core's cache."""

LOGITS = 2**23
"""Numbers that predictions of one sample may come to: with more outputs, fewer transitions."""

NEIGHBOURS = 40
"""Of a transition, in X and E, among the held-out ones: the worst loss of theirs is its ceiling."""

FAR = 3.0
"""A transition is a surprise if its loss is this many times its ceiling. See docs/monitoring.md for
why it is not enough that losses are large. Losses below 0, if there are such, count as 0."""

USUAL = 2.0
"""Mean losses that are added to both sides first: many times next to nothing is no surprise."""

PAIRS = 2**19
"""Of actions, whose distances are looked at: of many actions, fewer are held against all."""

TINY = 1e-30


class Reference(NamedTuple):
    """What the embedding was like at the end of pre-training."""

    seen: SeenStates
    unseen_fraction: Float[Array, ""]
    """Of the held-out states."""
    held_out: Transition
    """A sample, `[P, ...]`."""
    ceiling: Float[Array, " P"] | None
    """For each of them, the worst loss in its neighbourhood; None where no objective has losses
    for single transitions."""
    usual_loss: Float[Array, ""] | None
    """The mean of those losses."""
    phi: Float[Array, "P m"] | None
    """Of their states; None for raw states."""
    g: Float[Array, "n d"]


def reference(
    model: JointEmbedding,
    weights: Weights,
    transitions: Transition,
    held_out: Transition,
    *,
    states: int | None,
) -> Reference:
    """To be taken once, when pre-training is over.

    Arguments:
        transitions: `[T, B, ...]` of pre-training.
        held_out: `[T, B, ...]` like them, but not trained on.
        states: how many there are; None for a box.
    """
    sample = _some(held_out, _sample_size(model))
    ceiling = usual_loss = None
    if _judges(model, weights):
        judged = _some(held_out, 8 * _sample_size(model))
        losses = jnp.maximum(_losses(model, weights, judged), 0.0)
        square = _distances(model, sample, judged)
        _, near = jax.lax.top_k(-square, min(NEIGHBOURS, square.shape[1]))
        ceiling, usual_loss = losses[near].max(-1), losses.mean()
    seen, unseen = remember(model.raw, transitions, held_out, states)
    return Reference(
        seen,
        unseen,
        sample,
        ceiling,
        usual_loss,
        model.phi(sample.observation) if isinstance(model.phi, StateEncoder) else None,
        _places(model, sample),
    )


def measure(
    model: JointEmbedding, weights: Weights, reference: Reference, fresh: Transition
) -> dict[str, Float[Array, ""]]:
    """Those of `MEASURES` that the model has.

    Arguments:
        model: as it is now.
        fresh: the latest on-policy transitions, `[T, B, ...]`.
    """
    measures: dict[str, Array] = {}
    sample, held_out = _some(fresh, _sample_size(model)), reference.held_out
    if weights:
        measures["fresh_loss"] = _own_loss(model, weights, sample)
        # A part of them: the same ones each time, so that what changes is the model alone.
        part = jax.tree.map(lambda column: column[::4], held_out)
        measures["reference_loss"] = _own_loss(model, weights, part)
    if reference.ceiling is not None and reference.usual_loss is not None:
        losses = jnp.maximum(_losses(model, weights, sample), 0.0)
        square = _distances(model, sample, held_out)
        # Two plain passes instead of an argmin, which XLA does not vectorise on the CPU.
        nearest = square == square.min(-1, keepdims=True)
        ceiling = jnp.where(nearest, reference.ceiling, -jnp.inf).max(-1)
        usual = USUAL * reference.usual_loss + TINY
        beyond = jnp.log((losses + usual) / (FAR * (ceiling + usual)))
        measures["surprise"] = jnp.maximum(beyond, 0.0).mean()
        measures["surprise_fraction"] = _share(beyond > 0.0)
    measures["unseen_fraction"] = unseen_fraction(model.raw, reference.seen, fresh.observation)
    measures["reference_unseen_fraction"] = reference.unseen_fraction
    if reference.phi is not None:
        measures["phi_drift"] = _drift(model.phi(held_out.observation), reference.phi)
        measures["phi_rank"] = effective_rank(model.phi(sample.observation))
    places = _places(model, held_out)
    measures["g_drift"] = _drift(places, reference.g)
    measures["g_rank"] = effective_rank(places)
    if model.g.table is not None:
        measures["dead_fraction"], measures["colliding_fraction"] = _crowding(places)
    return measures


def _places(model: JointEmbedding, steps: Transition) -> Float[Array, "n d"]:
    """G of all actions; of those of the steps, where actions cannot be listed."""
    return model.g(steps.action) if model.g.table is None else model.g.table


def effective_rank(x: Float[Array, "N k"]) -> Float[Array, ""]:
    """The participation ratio (tr C)^2 / tr(C^2) of the covariance C: k if x varies alike in all
    directions, 1 if it lies on a line, 0 if it does not vary.
    """
    away = x - x.mean(0)
    covariance = away.T @ away / x.shape[0]
    trace = jnp.trace(covariance)
    shares = covariance / jnp.maximum(trace, TINY)
    return jnp.where(trace > TINY, 1.0 / jnp.maximum((shares**2).sum(), TINY), 0.0)


def _drift(now: Float[Array, "N k"], then: Float[Array, "N k"]) -> Float[Array, ""]:
    """The root mean square way of a point, as a share of their spread before."""
    spread = ((then - then.mean(0)) ** 2).mean()
    return jnp.sqrt(((now - then) ** 2).mean() / jnp.maximum(spread, TINY))


def _crowding(table: Float[Array, "n d"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The shares of actions that f never returns and of those that are hard to tell from another.

    f returns the nearest action, of equal ones the first. So an action's cell is empty just if
    one before it lies at the very same place.
    """
    n = table.shape[0]
    looked_at = _chosen(n, min(SAMPLE, max(64, PAIRS // n)))
    square = _square_distances(table[looked_at], table)
    others = jnp.arange(n, dtype=jnp.int32)
    square = jnp.where(others == looked_at[:, None], jnp.inf, square)
    dead = ((square == 0.0) & (others < looked_at[:, None])).any(-1)
    return _share(dead), _share(square.min(-1) < COINCIDE**2)


def _chosen(total: int, count: int) -> Int[np.ndarray, " chosen"]:
    """Which `count` of `total` are looked at: always the same."""
    return np.sort(np.random.default_rng(0).permutation(total)[:count]).astype(np.int32)


def _some(transitions: Transition, count: int) -> Transition:
    """At most `count` of them, `[N, ...]`."""
    steps, lanes = transitions.reward.shape
    row, lane = np.divmod(_chosen(steps * lanes, count), np.int32(lanes))
    return jax.tree.map(lambda column: column[row, lane], transitions)


def _outputs(model: JointEmbedding) -> int:
    """How many numbers a prediction may take."""
    features = model.raw.features
    states = features if isinstance(features, int) else sum(features)
    return max(states, 0 if model.g.table is None else model.g.table.shape[0])


def _sample_size(model: JointEmbedding) -> int:
    return min(SAMPLE, max(64, LOGITS // _outputs(model)))


def _share(which: Bool[Array, " N"]) -> Float[Array, ""]:
    return which.mean(dtype=jnp.float32)


def _square_distances(here: Float[Array, "N k"], there: Float[Array, "P k"]) -> Float[Array, "N P"]:
    """Differences are squared as they are: the expanded form is not exactly 0 for equal points.
    One coordinate at a time, so that XLA makes a single pass of it.
    """
    square = jnp.zeros((here.shape[0], there.shape[0]))
    for axis in range(here.shape[1]):
        square += (here[:, axis, None] - there[:, axis]) ** 2
    return square


def _distances(model: JointEmbedding, here: Transition, there: Transition) -> Float[Array, "N P"]:
    """Between the places in X and E where transitions begin; X and E count alike, by the spread
    that they have `there`. Squared.
    """
    encoders = [lambda steps: model.g(steps.action)]
    if isinstance(model.phi, StateEncoder):
        encoders.append(lambda steps: model.phi(steps.observation))
    square = jnp.zeros((here.reward.shape[0], there.reward.shape[0]))
    for encode in encoders:
        place = encode(there)
        spread = ((place - place.mean(0)) ** 2).sum(-1).mean()
        square += _square_distances(encode(here), place) / jnp.maximum(spread, TINY)
    return square


# Losses


def _judges(model: JointEmbedding, weights: Weights) -> dict[str, Any]:
    """The objectives that have a loss for every single transition."""
    return {name: model.parts[name] for name in weights if hasattr(model.parts[name], "losses")}


def _losses(model: JointEmbedding, weights: Weights, steps: Transition) -> Float[Array, " N"]:
    """Of single transitions, by all objectives that have such."""

    def judge(step: Transition) -> Array:
        one = jax.tree.map(lambda leaf: leaf[None], step)
        terms = [
            weights[name] * part.losses(model, one)
            for name, part in _judges(model, weights).items()
        ]
        return jnp.stack(terms).sum(0)[0]

    chunk = min(CHUNK, max(1, CHUNK * 4096 // _outputs(model)))
    return jax.lax.map(judge, steps, batch_size=chunk)


def _own_loss(model: JointEmbedding, weights: Weights, steps: Transition) -> Float[Array, ""]:
    """What the method trains, a step ahead."""
    judges = _judges(model, weights)
    if len(judges) == len(weights) and not any(part.segments for part in judges.values()):
        return _losses(model, weights, steps).mean()
    segments = Segments(
        jax.tree.map(lambda leaf: leaf[None], steps), jnp.ones((1, *steps.reward.shape), bool)
    )
    return loss(model, segments, weights)
