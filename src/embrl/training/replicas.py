"""Replicas of one training side by side: seeds, and points of a sweep, spread over devices."""

import copy
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int

from embrl.core.runtime import WHOLE_OPERATIONS
from embrl.core.types import Key
from embrl.training.kept_programs import kept
from embrl.training.trainer import Trainer

AXIS = "replicas"


class Replicas:
    """All seeds of the first point of a sweep, of the second, ...; of an ordinary run, its seeds.

    Each replica has a key, and its own values of the settings that vary.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        config = trainer.config
        self.count = config.replicas
        self.keys = seed_keys(config.seed, config.seeds, config.points)
        self.values = {
            name: jnp.asarray(np.repeat(values, config.seeds), jnp.float32)
            for name, values in config.vary.items()
        }
        self.first = 0
        """Index of the first of these among all replicas."""
        self._devices: Sequence[Any] | None = None

    @property
    def devices(self) -> Sequence[Any]:
        """The devices that these are computed on."""
        return self._devices or jax.devices()

    def part(self, which: slice, devices: Sequence[Any] | None) -> "Replicas":
        """Return some of the replicas, computed on these devices (None: on all)."""
        part = copy.copy(self)
        part.keys = self.keys[which]
        part.first, part.count = which.start, len(part.keys)
        part.values = {name: values[which] for name, values in self.values.items()}
        part._devices = devices
        return part

    def spread(self, tree: Any) -> Any:
        """Put arrays of all replicas on the devices that `over` computes on."""
        sharding = NamedSharding(_even_mesh(self.count, self._devices), PartitionSpec(AXIS))
        return jax.device_put(tree, sharding)

    def taken(self, tree: Any) -> Any:
        """Select these replicas from arrays of all, on the devices that `over` computes on."""
        if self.count < self.trainer.config.replicas:
            which = slice(self.first, self.first + self.count)
            tree = jax.tree.map(lambda leaf: leaf[which], on_one_device(tree))
        return self.spread(tree)

    def over(
        self,
        function: Callable[..., Any],
        shared: tuple[int, ...] = (),
        donate: tuple[int, ...] = (),
        once: bool = False,
        in_place: bool = False,
    ) -> "Program":
        """Compile a method of `Trainer` over all replicas.

        On-policy algorithms take the replicas of a device one after another: their updates are
        products of small matrices, which XLA multiplies faster than stacks of them. Those with a
        replay buffer take them together, as it would have to be copied.

        Args:
            function: an unbound method; positions count without the trainer.
            shared: positions of arguments that all replicas have in common.
            donate: positions of arguments whose memory the results may take over.
            once: True if it is called a single time.
            in_place: as in `over_replicas`.
        """
        # Kept programs refer to the trainer, and should not hold its environment's arrays.
        trainer = dataclasses.replace(self.trainer, env=None)
        count, devices = self.count, self._devices

        def one(values: dict[str, jax.Array], *arguments: Any) -> Any:
            return function(trainer.with_settings(values), *arguments)

        def compiled() -> OverReplicas:
            return over_replicas(
                one,
                count,
                shared=tuple(at + 1 for at in shared),
                donate=tuple(at + 1 for at in donate),
                once=once,
                devices=devices,
                one_by_one=not trainer.config.hyperparameters.off_policy,
                in_place=in_place,
            )

        options = (function, count, shared, donate, once, in_place, devices and tuple(devices))
        return Program(kept(self.trainer, options, compiled), self.values)


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """Method of `Trainer`, compiled over all replicas of a run."""

    function: "OverReplicas"
    values: dict[str, jax.Array]
    """The replicas' own values of settings, which it takes first."""

    def __call__(self, *arguments: Any) -> Any:
        return self.function(self.values, *arguments)


def on_one_device(tree: Any) -> Any:
    """Copy arrays of all replicas to one device, to take some of them.

    Of arrays that are spread, devices would take them together, and XLA ends the process if one of
    them is kept waiting for the others.
    """
    return jax.device_put(tree, jax.devices()[0])


def seed_keys(seed: int, seeds: int, points: int = 1) -> Key:
    """Return a key for each replica, `[points * seeds]`.

    The k-th seed's key is the same however many seeds there are, and the same at every point of a
    sweep, so that points differ in their settings and not by chance.
    """
    return numbered_keys(seed, np.tile(np.arange(seeds), points))


def numbered_keys(seed: int, numbers: Int[np.ndarray, " n"]) -> Key:
    """Return the key of each number, `[n]`; it depends on the seed and that number alone."""
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), numbers.astype(np.uint32))


def over_replicas(
    function: Callable[..., Any],
    count: int,
    shared: tuple[int, ...] = (),
    donate: tuple[int, ...] = (),
    once: bool = False,
    devices: Sequence[Any] | None = None,
    one_by_one: bool = False,
    in_place: bool = False,
) -> "OverReplicas":
    """Compile a function of one replica into one of all.

    Args:
        function: the function.
        count: number of replicas.
        shared: positions of arguments that all replicas have in common; the others, and all
            results, have a leading axis of replicas.
        donate: positions of arguments whose memory the results may take over.
        once: True if it is called a single time, so that fast compilation matters more than fast
            execution.
        devices: the devices to use; None: all.
        one_by_one: take the replicas of a device one after another, not together.
        in_place: never copy arguments or results to use more devices. Otherwise, replicas that
            devices cannot share evenly are filled up with copies of the last one.
    """
    mesh = _even_mesh(count, devices) if in_place else _mesh(count, devices)
    rows = -(-count // mesh.size) * mesh.size

    def each(*arguments: Any) -> Any:
        axes = tuple(None if index in shared else 0 for index in range(len(arguments)))
        if not one_by_one:
            return jax.vmap(function, in_axes=axes)(*arguments)
        own = [each for each, axis in zip(arguments, axes, strict=True) if axis == 0]

        def one(own: list[Any]) -> Any:
            rest = iter(own)
            return function(
                *(
                    each if axis is None else next(rest)
                    for each, axis in zip(arguments, axes, strict=True)
                )
            )

        if rows == mesh.size:  # a loop would copy what it takes and returns
            return jax.tree.map(lambda x: x[None], one(jax.tree.map(lambda x: x[0], own)))
        return jax.lax.map(one, own)

    def everywhere(*arguments: Any) -> Any:
        common = [index in shared for index in range(len(arguments))]
        return jax.shard_map(
            each,
            mesh=mesh,
            in_specs=tuple(PartitionSpec() if each else PartitionSpec(AXIS) for each in common),
            out_specs=PartitionSpec(AXIS),
            check_vma=False,
        )(*arguments)

    options: dict[str, Any] = {"xla_backend_optimization_level": 0} if once else {}
    if mesh.size > 1 and mesh.devices.flat[0].platform == "cpu":
        options |= WHOLE_OPERATIONS
    compiled = jax.jit(everywhere, donate_argnums=donate, compiler_options=options)
    return OverReplicas(compiled, count, mesh, frozenset(shared))


class OverReplicas:
    """Compiled function of all replicas, which fills them up where devices cannot share them."""

    def __init__(self, compiled: Any, count: int, mesh: Mesh, shared: frozenset[int]) -> None:
        """Wrap a program.

        Args:
            compiled: a result of `jax.jit` for as many replicas as the devices can share evenly.
            count: number of replicas.
            mesh: the devices.
            shared: positions of arguments that all replicas have in common.
        """
        self.compiled, self.count, self.shared = compiled, count, shared
        self.rows = -(-count // mesh.size) * mesh.size
        self.sharding = NamedSharding(mesh, PartitionSpec(AXIS))
        self.called = False
        self.wait: Callable[[], Any] | None = None
        """Waits for another thread that compiles the program."""
        copies = self.rows - count

        @jax.jit
        def filled_up(tree: Any) -> Any:
            return jax.tree.map(lambda x: jnp.concatenate([x, *[x[-1:]] * copies]), tree)

        @jax.jit
        def cut(tree: Any) -> Any:
            return jax.tree.map(lambda x: x[:count], tree)

        self._filled_up, self._cut = filled_up, cut

    def __call__(self, *arguments: Any) -> Any:
        if self.wait is not None:
            self.wait()
            self.wait = None
        self.called = True
        if self.rows == self.count:
            return self.compiled(*arguments)
        every = [
            each
            if index in self.shared
            else jax.device_put(self._filled_up(on_one_device(each)), self.sharding)
            for index, each in enumerate(arguments)
        ]
        return self._cut(on_one_device(self.compiled(*every)))

    def lower(self, *arguments: Any) -> tuple[jax.stages.Lowered, Any]:
        """Trace and lower the program, so that it can be compiled before it is called.

        Args:
            arguments: arrays, or shapes that this returned for another program.

        Returns:
            What can be compiled, and the shapes of the results, as they lie on the devices.
        """
        uneven = self.rows != self.count

        def filled_up(x: Any) -> jax.ShapeDtypeStruct:
            shape = (self.rows, *x.shape[1:])
            return jax.ShapeDtypeStruct(shape, x.dtype, sharding=self.sharding)

        def result(x: Any) -> jax.ShapeDtypeStruct:
            shape, sharding = (self.count, *x.shape[1:]), None if uneven else self.sharding
            return jax.ShapeDtypeStruct(shape, x.dtype, sharding=sharding, weak_type=x.weak_type)

        shapes = [
            jax.tree.map(filled_up, each) if uneven and index not in self.shared else each
            for index, each in enumerate(arguments)
        ]
        lowered = self.compiled.lower(*shapes)
        return lowered, jax.tree.map(result, lowered.out_info)


def _mesh(count: int, devices: Sequence[Any] | None) -> Mesh:
    """Return a mesh of as few devices as have no more replicas each than with all of them."""
    devices = devices or jax.devices()
    return Mesh(np.array(devices[: -(-count // -(-count // len(devices)))]), (AXIS,))


def _even_mesh(count: int, devices: Sequence[Any] | None) -> Mesh:
    """Return a mesh of as many devices as divide the replicas evenly."""
    devices = devices or jax.devices()
    used = max(n for n in range(1, len(devices) + 1) if count % n == 0)
    return Mesh(np.array(devices[:used]), (AXIS,))
