"""Compact record of the states that were visited during pre-training."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32

from embrl.core.types import Observation, Transition
from embrl.embedding.encoders import RawStates

TABLE = 2**20
"""Largest number of states with a bit each; states of larger spaces and cells of boxes are hashed
to as many bits."""

WORD = 32
"""Bits of a word."""

WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Candidate widths of the cells of a box, in standard deviations of the observations."""

MAX_UNSEEN = 0.05
"""Largest fraction of held-out observations of a box in unseen cells. Wider cells are used until it
is met, as in many dimensions every observation is alone in a narrow cell."""

PROJECTIONS = 8
"""Number of random projections of an image."""

MIN_STD = 1e-3
"""Smallest standard deviation of a coordinate with a range of 2; smaller ones are rounding."""


class SeenStates(NamedTuple):
    """Set of visited states, or of visited cells of a box."""

    bits: UInt32[Array, " words"]
    """One bit per state or cell, 32 to a word."""
    centre: Float[Array, " p"] | None
    """Centre of the grid of cells; None for discrete observations."""
    width: Float[Array, " p"] | None
    """Width of a cell; None for discrete observations."""


def remember(
    raw: RawStates, transitions: Transition, held_out: Transition, states: int | None
) -> tuple[SeenStates, Float[Array, ""]]:
    """Return the visited states, and the fraction of held-out states that are not among them.

    Args:
        raw: raw features of observations.
        transitions: transitions of pre-training, `[T, B, ...]`.
        held_out: transitions that were held out, `[T, B, ...]`.
        states: number of states; None where they have numbers.
    """
    size = TABLE if states is None or states > TABLE else states
    blank = jnp.zeros(-(-size // WORD), jnp.uint32)

    def fill(seen: SeenStates) -> tuple[SeenStates, Array]:
        table = jnp.zeros(blank.shape[0] * WORD, bool)
        for column in (transitions.observation, transitions.next_observation):
            table = table.at[_cells(raw, seen, column)].set(True)
        seen = seen._replace(bits=_pack(table))
        return seen, unseen_fraction(raw, seen, held_out.observation)

    if states is not None:
        return fill(SeenStates(blank, None, None))
    points = _points(raw, transitions.observation)
    points = points.reshape(-1, points.shape[-1])
    centre, deviation = points.mean(0), jnp.maximum(points.std(0), MIN_STD)
    factor = np.arange(points.shape[-1]) < len(raw.sizes)  # a cell for each value of a factor
    centre = jnp.where(factor, 0.0, centre)
    *narrower, (chosen, unseen) = [
        fill(SeenStates(blank, centre, jnp.where(factor, 1.0, width * deviation)))
        for width in WIDTHS
    ]
    # The narrowest cells that are rarely unseen in held-out data, or else the widest.
    for candidate in reversed(narrower):
        better = candidate[1] <= MAX_UNSEEN
        chosen, unseen = jax.tree.map(
            lambda new, old, better=better: jnp.where(better, new, old),
            candidate,
            (chosen, unseen),
        )
    return chosen, unseen


def _points(raw: RawStates, observation: Observation) -> Array:
    """Return raw features, of an image random projections: cells of all pixels say nothing."""
    values = raw(observation)
    if raw.image is None:
        return values
    axes = np.random.default_rng(0).normal(size=(raw.image.pixels, PROJECTIONS))
    return values @ (axes / np.sqrt(raw.image.pixels)).astype(np.float32)


def _cells(raw: RawStates, seen: SeenStates, observation: Observation) -> Int[Array, " N"]:
    """Return the index of each observation's bit."""
    values = _points(raw, observation)
    if seen.centre is not None and seen.width is not None:
        values = jnp.round((values - seen.centre) / seen.width).astype(jnp.int32)
    values = values.reshape(-1, values.shape[-1])
    factors, bits = raw.features, seen.bits.shape[0] * WORD
    if isinstance(factors, tuple) and math.prod(factors) <= bits:
        strides = np.cumprod((1, *factors[:0:-1]), dtype=np.int32)[::-1]
        return (values * strides).sum(-1)
    # A multilinear hash, mixed so that its upper bits depend on all bits.
    random = np.random.default_rng(0).integers(0, 2**32, values.shape[-1], np.uint32) | 1
    mixed = (values.astype(jnp.uint32) * random).sum(-1, dtype=jnp.uint32)
    mixed = (mixed ^ (mixed >> 16)) * np.uint32(0x9E3779B1)
    return (mixed >> (32 - int(math.log2(TABLE)))).astype(jnp.int32)


def _pack(table: Bool[Array, " bits"]) -> UInt32[Array, " words"]:
    positions = jnp.arange(WORD, dtype=jnp.uint32)
    return (table.reshape(-1, WORD).astype(jnp.uint32) << positions).sum(-1, dtype=jnp.uint32)


def unseen_fraction(raw: RawStates, seen: SeenStates, observation: Observation) -> Float[Array, ""]:
    """Return the fraction of observations that are not among the seen states."""
    cells = _cells(raw, seen, observation)
    bit = seen.bits[cells // WORD] >> (cells % WORD).astype(jnp.uint32)
    return ((bit & 1) == 0).mean(dtype=jnp.float32)
