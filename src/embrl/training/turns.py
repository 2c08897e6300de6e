"""Updates in turns, where devices cannot share the replicas of a run evenly."""

import functools
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from embrl.core.types import Key
from embrl.embedding.monitor import MEASURES
from embrl.envs import Environment
from embrl.training.compile_ahead import Expect
from embrl.training.replicas import Program, Replicas, on_one_device
from embrl.training.state import TrainState
from embrl.training.trainer import RECALL, Trainer

LATEST = frozenset((*MEASURES, RECALL))
"""Metrics of the last update; the others are means over all updates."""


class Turns:
    """`Trainer.iterate` over replicas that are more than the devices, but no multiple of them.

    The updates of each replica are cut into pieces, and in a turn each device takes a piece of
    another replica. So three replicas on two devices take three turns of half of the updates, where
    a copy of the last one would make it four.
    """

    def __init__(self, replicas: Replicas) -> None:
        self.count, self.keys, self.values = replicas.count, replicas.keys, replicas.values
        self.size = len(replicas.devices)
        self.pieces = self.size // math.gcd(self.count, self.size)
        self._first = replicas.part(slice(0, self.size), replicas.devices)
        self.program: Program = self._first.over(_iterate, shared=(0,), donate=(1,))

    @staticmethod
    def pay(replicas: Replicas) -> bool:
        """Return whether turns save time: replay buffers would have to be copied in each."""
        devices = len(replicas.devices)
        uneven = replicas.count > devices and replicas.count % devices > 0
        return uneven and not replicas.trainer.config.hyperparameters.off_policy

    def compile_ahead(self, expect: Expect, env: Environment, state: Any) -> None:
        """Compile the program for states of these shapes, `[replicas, ...]`."""
        keys, numbers = self._first.spread((self.keys[: self.size], jnp.zeros(self.size, int)))

        def one_turn(leaf: Any) -> jax.ShapeDtypeStruct:
            shape = (self.size, *leaf.shape[1:])
            return jax.ShapeDtypeStruct(shape, leaf.dtype, sharding=numbers.sharding)

        packed = jax.tree.map(one_turn, jax.eval_shape(_packed, state))
        expect(self.program, env, packed, keys, numbers, numbers)

    def __call__(
        self, env: Environment, state: TrainState, first: int, count: int
    ) -> tuple[TrainState, dict[str, np.ndarray]]:
        """Run `count` updates of every replica, from number `first` on."""
        bounds = first + count * np.arange(self.pieces + 1) // self.pieces
        packed = _packed(on_one_device(state))
        metrics: dict[str, np.ndarray] = {}
        for turn in range(self.count * self.pieces // self.size):
            piece, which = np.divmod(turn * self.size + np.arange(self.size), self.count)
            begin, steps = bounds[piece], bounds[piece + 1] - bounds[piece]
            values, rows, keys = self._first.spread(_taken((self.values, packed, self.keys), which))
            numbers = self._first.spread((jnp.asarray(begin), jnp.asarray(steps)))
            rows, found = self.program.function(values, env, rows, keys, *numbers)
            packed = _put(packed, on_one_device(rows), which)
            taken = steps > 0  # there may be fewer updates than pieces
            for name, value in jax.device_get(found).items():
                total = metrics.setdefault(name, np.zeros(self.count, value.dtype))
                if name in LATEST:
                    total[which[taken]] = value[taken]
                else:
                    total[which[taken]] += (value * steps / count)[taken]
        return _unpacked(packed), metrics


class Packed(eqx.Module):
    """Arrays of a replica as one vector for each of their dtypes: fewer arrays are moved faster."""

    vectors: tuple[Array, ...]
    dtypes: tuple[Any, ...] = eqx.field(static=True)
    """Of each vector."""
    structure: Any = eqx.field(static=True)
    leaves: tuple[Any, ...] = eqx.field(static=True)
    """Shape and dtype of each array."""

    @classmethod
    def of(cls, tree: Any) -> "Packed":
        """Pack arrays."""
        leaves, structure = jax.tree.flatten(tree)
        leaves = [jnp.asarray(leaf) for leaf in leaves]
        dtypes = tuple(dict.fromkeys(leaf.dtype for leaf in leaves))
        vectors = tuple(
            jnp.concatenate([leaf.ravel() for leaf in leaves if leaf.dtype == dtype])
            for dtype in dtypes
        )
        return cls(vectors, dtypes, structure, tuple((each.shape, each.dtype) for each in leaves))

    def unpacked(self) -> Any:
        """Return the arrays."""
        left = dict(zip(self.dtypes, self.vectors, strict=True))
        leaves = []
        for shape, dtype in self.leaves:
            vector, size = left[dtype], math.prod(shape)
            leaves.append(vector[:size].reshape(shape))
            left[dtype] = vector[size:]
        return jax.tree.unflatten(self.structure, leaves)


def _iterate(
    trainer: Trainer, env: Environment, packed: Packed, key: Key, first: Array, count: Array
) -> tuple[Packed, dict[str, Array]]:
    state, metrics = trainer.iterate(env, packed.unpacked(), key, first, count)
    return Packed.of(state), metrics


_packed = jax.jit(jax.vmap(Packed.of))
_unpacked = jax.jit(jax.vmap(Packed.unpacked))


@jax.jit
def _taken(tree: Any, which: Array) -> Any:
    return jax.tree.map(lambda leaf: leaf[which], tree)


@functools.partial(jax.jit, donate_argnums=0)
def _put(tree: Any, rows: Any, which: Array) -> Any:
    return jax.tree.map(lambda leaf, row: leaf.at[which].set(row), tree, rows)
