"""Which states pre-training has met, in a few kilobytes."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32

from embrl.core.types import Observation, Transition
from embrl.embedding.encoders import RawStates

TABLE = 2**20
"""States that are remembered one by one; of larger spaces and boxes, cells by their hash."""

WORD = 32
"""Bits of a word."""

WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Of the cells of a box, in standard deviations of what pre-training saw."""

FAMILIAR = 0.05
"""Share of held-out observations of a box that may fall into unseen cells: wider cells are taken
otherwise, as in many dimensions every observation is alone in a narrow one."""

STEADY = 1e-3
"""The least standard deviation of a coordinate, of a range of 2, that is not taken for rounding."""


class SeenStates(NamedTuple):
    """Which states, or cells, pre-training has met."""

    bits: UInt32[Array, " words"]
    """A bit for each, 32 to a word."""
    centre: Float[Array, " p"] | None
    """Of the cell around it; None for discrete observations."""
    width: Float[Array, " p"] | None


def remember(
    raw: RawStates, transitions: Transition, held_out: Transition, states: int | None
) -> tuple[SeenStates, Float[Array, ""]]:
    """What pre-training has met, and the share of held-out states that it has not.

    Arguments:
        transitions: `[T, B, ...]`; so are `held_out`.
        states: how many there are; None for a box.
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
    points = raw(transitions.observation)
    points = points.reshape(-1, points.shape[-1])
    centre, deviation = points.mean(0), jnp.maximum(points.std(0), STEADY)
    *narrower, (chosen, share) = [
        fill(SeenStates(blank, centre, width * deviation)) for width in WIDTHS
    ]
    # The narrowest cells that held-out data mostly finds full, or else the widest.
    for found in reversed(narrower):
        better = found[1] <= FAMILIAR
        chosen, share = jax.tree.map(
            lambda new, old, better=better: jnp.where(better, new, old), found, (chosen, share)
        )
    return chosen, share


def _cells(raw: RawStates, seen: SeenStates, observation: Observation) -> Int[Array, " N"]:
    """A number for each observation, below the number of bits."""
    values = raw(observation)
    if seen.centre is not None and seen.width is not None:
        values = jnp.round((values - seen.centre) / seen.width).astype(jnp.int32)
    values = values.reshape(-1, values.shape[-1])
    factors, bits = raw.features, seen.bits.shape[0] * WORD
    if isinstance(factors, tuple) and math.prod(factors) <= bits:
        places = np.cumprod((1, *factors[:0:-1]), dtype=np.int32)[::-1]
        return (values * places).sum(-1)
    # A multilinear hash, mixed so that its upper bits depend on all of it.
    random = np.random.default_rng(0).integers(0, 2**32, values.shape[-1], np.uint32) | 1
    mixed = (values.astype(jnp.uint32) * random).sum(-1, dtype=jnp.uint32)
    mixed = (mixed ^ (mixed >> 16)) * np.uint32(0x9E3779B1)
    return (mixed >> (32 - int(math.log2(TABLE)))).astype(jnp.int32)


def _pack(table: Bool[Array, " bits"]) -> UInt32[Array, " words"]:
    places = jnp.arange(WORD, dtype=jnp.uint32)
    return (table.reshape(-1, WORD).astype(jnp.uint32) << places).sum(-1, dtype=jnp.uint32)


def unseen_fraction(raw: RawStates, seen: SeenStates, observation: Observation) -> Float[Array, ""]:
    """The share of observations whose cells are not marked."""
    cells = _cells(raw, seen, observation)
    bit = seen.bits[cells // WORD] >> (cells % WORD).astype(jnp.uint32)
    return ((bit & 1) == 0).mean(dtype=jnp.float32)
