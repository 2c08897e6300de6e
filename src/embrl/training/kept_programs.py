"""Compiled programs of the trainer, kept for the next run of the same configuration.

Tracing and lowering a run's programs takes seconds even where the compilation cache has them. A
notebook that trains with another seed, or a run that is resumed in the same process, needs none of
it. Only what embrl itself defines is kept: the source of a plugin may read a global variable that
has changed since, and must be traced anew.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

import gymnasium
import jax
import numpy as np

from embrl.core.errors import EmbrlError
from embrl.decoding.base import DECODERS
from embrl.embedding.methods import METHODS
from embrl.embedding.objectives import OBJECTIVES
from embrl.envs import Environment

if TYPE_CHECKING:
    from embrl.training.trainer import Trainer

MOST = 48
"""Programs and results that are kept; a run has about ten, of 5 MB each."""

MOST_BYTES = 100_000
"""Size of the largest array by which a configuration may be recognised."""


class _ForeignError(Exception):
    """A value that is not embrl's own, or too large to compare."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that a compiled program, or a result, depends on apart from its arguments."""

    key: Any
    options: tuple[Any, ...]
    make: Callable[[], Any] = dataclasses.field(compare=False)


def kept(trainer: "Trainer", options: tuple[Any, ...], make: Callable[[], Any]) -> Any:
    """Return the program that was made for an equal trainer, or a new one.

    Args:
        trainer: whose method it is; its seed and its environment may differ, which are arguments.
        options: everything else that the program depends on; hashable.
        make: compiles the program. It must not refer to large arrays, as it may be kept.
    """
    try:
        key = _key(trainer)
    except (_ForeignError, EmbrlError):
        return make()
    return _made(Recipe(key, options, make))


def kept_result(env: Environment, options: tuple[Any, ...], make: Callable[[], Any]) -> Any:
    """Return what was computed for an equal environment of embrl's, or compute it.

    Args:
        env: whose arrays and settings all count.
        options: everything else that the result depends on; hashable.
        make: computes the result, which must not be changed afterwards.
    """
    leaves, tree = jax.tree.flatten(env)
    if not type(env).__module__.startswith("embrl.envs."):
        return make()
    try:
        key = tree, _frozen([np.asarray(leaf) for leaf in leaves])
        hash(key)
    except (_ForeignError, TypeError):  # an array is large, or a setting has no hash
        return make()
    return _made(Recipe(key, options, make))


def forget() -> None:
    """Drop all of them, as before something that they were traced from is replaced."""
    _made.cache_clear()


@functools.lru_cache(MOST)
def _made(recipe: Recipe) -> Any:
    return recipe.make()


def _key(trainer: "Trainer") -> Any:
    """Return a hashable value that only trainers with the same programs have in common.

    Raises:
        _ForeignError: something in it is not embrl's own.
    """
    config = trainer.config
    if trainer.custom_objectives or config.transfer.run:
        raise _ForeignError
    named = [OBJECTIVES[name] for name in config.objectives]
    for kind in (*named, DECODERS[config.decoder.kind], type(trainer.env)):
        _check_own(kind)
    return _frozen(
        (
            dataclasses.replace(config, seed=0),
            METHODS[config.method],
            trainer.observation_space,
            trainer.action_space,
            trainer.action_inputs,
            trainer.masked,
        )
    )


def _check_own(kind: Any) -> None:
    if kind is not type(None) and not getattr(kind, "__module__", "").startswith("embrl."):
        raise _ForeignError


def _frozen(value: Any) -> Any:
    """Return a hashable value that is equal for equal values of the same types."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str) or isinstance(value, np.dtype | Enum):
        return kind, value
    if isinstance(value, np.ndarray):
        if value.nbytes > MOST_BYTES or value.dtype.hasobject:
            raise _ForeignError
        return kind, value.shape, value.dtype.str, value.tobytes()
    if isinstance(value, np.generic):
        return kind, value.tobytes()
    if isinstance(value, tuple | list):
        return kind, tuple(map(_frozen, value))
    if isinstance(value, Mapping):
        # Their order counts: losses are added in it.
        return kind, tuple((_frozen(name), _frozen(each)) for name, each in value.items())
    if isinstance(value, gymnasium.Space):
        parts = {name: part for name, part in vars(value).items() if name != "_np_random"}
        return kind, _frozen(parts)
    if dataclasses.is_dataclass(value):
        _check_own(kind)
        return kind, tuple(
            _frozen(getattr(value, field.name)) for field in dataclasses.fields(value)
        )
    raise _ForeignError
