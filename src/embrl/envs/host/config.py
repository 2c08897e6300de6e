"""The settings of one of Gymnasium's environments."""

import ast
import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium
from gymnasium.envs.registration import EnvSpec

from embrl.core.errors import EmbrlError
from embrl.envs.checks import check_whole
from embrl.envs.host.environment import HostEnvironment, Vector
from embrl.envs.host.making import make, spec_of

OWN_FIELD = {"max_episode_steps": "env.max-episode-steps", "id": "env.id"}
OURS = ("render_mode", "disable_env_checker")


@dataclasses.dataclass(frozen=True)
class GymnasiumConfig:
    """One of Gymnasium's environments, stepped by Python on the host."""

    host: ClassVar[bool] = True
    """Tells such settings from those of compiled environments (`embrl.envs.is_host`)."""

    only: ClassVar[str | None] = None
    """The only id that there is to choose, if any."""

    id: str
    """Gymnasium's id."""
    max_episode_steps: int | None = None
    """Steps until an episode is truncated; None: the environment's own limit."""
    vector: Vector = "sync"
    """How environments side by side are stepped. sync: one after another. threads: a part of them
    on each core, for simulators that spend their time outside of Python. async: a process each.
    envpool: in threads, by that package's own environments of these names."""
    kwargs: tuple[tuple[str, str], ...] = ()
    """The environment's own arguments, names and values, as in healthy_reward 2.0 frame_skip 4.
    Values are read as Python's literals; what is none is text."""

    def __post_init__(self) -> None:
        """Brings `kwargs`, which may be a dictionary of values, into its one form.

        Raises:
            EmbrlError: its names or values cannot be passed on, or the id is not the one here.
        """
        if self.only is not None and self.id != self.only:
            raise EmbrlError(f"env.id is {self.id}: here it is {self.only}; name it after train")
        given: Any = self.kwargs
        if isinstance(given, Mapping):
            given = tuple((name, _text(name, value)) for name, value in given.items())
        object.__setattr__(self, "kwargs", tuple((name, value) for name, value in given))
        names = [name for name, _ in self.kwargs]
        for name in names:
            if names.count(name) > 1:
                raise EmbrlError(f"env.kwargs has {name} twice")
            if name in OWN_FIELD:
                raise EmbrlError(f"env.kwargs: {name} has its own setting, {OWN_FIELD[name]}")
            if name in OURS or not name.isidentifier():
                raise EmbrlError(f"env.kwargs: {name} is no argument that can be given here")

    @property
    def arguments(self) -> dict[str, Any]:
        """`kwargs` by name, their values read."""
        return {name: _value(text) for name, text in self.kwargs}

    @property
    def continuous_actions(self) -> bool:
        """Whether actions are vectors, not indices. The environment is made to find out, once."""
        return self.build().continuous_actions

    def build(self) -> HostEnvironment:
        """The environment; the same one for the same settings.

        Raises:
            EmbrlError: there is no such id, its package is missing, it cannot be made or has
                spaces that embrl does not know, or a setting is out of range.
        """
        return _built(self)


def named(name: str) -> type[GymnasiumConfig]:
    """Settings of the environment with this id and no other; the same class each time."""
    return _named(name)


@functools.cache
def _named(name: str) -> type[GymnasiumConfig]:
    return dataclasses.make_dataclass(
        "GymnasiumConfig",
        [("id", str, name)],
        bases=(GymnasiumConfig,),
        namespace={"only": name, "__doc__": GymnasiumConfig.__doc__, "__module__": __name__},
        frozen=True,
    )


@functools.lru_cache(maxsize=64)
def _built(config: GymnasiumConfig) -> HostEnvironment:
    if config.max_episode_steps is not None:
        check_whole("max_episode_steps", config.max_episode_steps, 1)
    limit = config.max_episode_steps
    maker = functools.partial(_made, spec_of(config.id), config.kwargs, limit)
    pool = None
    if config.vector == "envpool":
        pool = config.arguments | ({} if limit is None else {"max_episode_steps": limit})
    return HostEnvironment(config.id, maker, config.vector, pool)


def _made(
    spec: EnvSpec,
    kwargs: tuple[tuple[str, str], ...],
    max_episode_steps: int | None,
    render_mode: str | None,
) -> gymnasium.Env:
    arguments = {key: _value(text) for key, text in kwargs}
    return make(spec, arguments, max_episode_steps, render_mode)


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _text(name: Any, value: Any) -> str:
    text = value if isinstance(value, str) and _value(value) == value else repr(value)
    try:
        same = ast.literal_eval(repr(value)) == value
    except (ValueError, SyntaxError):
        same = False
    if not same:
        raise EmbrlError(
            f"env.kwargs: {name} is {value!r}: give a plain value, or make the "
            "environment in a function (HostEnvironment.of)"
        )
    return text
