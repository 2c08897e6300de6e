"""An environment that Python steps, with everything that embrl asks of one."""

import copy
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import gymnasium

from embrl.core.errors import EmbrlError
from embrl.envs.host.actions import Actions
from embrl.envs.host.camera import following
from embrl.envs.host.lanes import HostLanes, lane_seeds
from embrl.envs.host.making import name_of
from embrl.envs.host.observations import Observations
from embrl.envs.host.pool import PoolLanes, pool_spaces
from embrl.envs.host.processes import AsyncLanes
from embrl.envs.host.sync import SyncLanes
from embrl.envs.host.threads import ThreadLanes

Vector = Literal["sync", "threads", "async", "envpool"]
"""How lanes are stepped: one after another, in a thread for each core, a process each, or in
envpool's threads."""

Maker = Callable[[str | None], gymnasium.Env]
"""From a render mode, or None, to a fresh environment."""


class HostEnvironment:
    """What is known of an environment before any lane of it is open.

    Its spaces are in embrl's forms: `observations` and `actions` convert from and to the
    environment's own.
    """

    host: ClassVar[bool] = True
    """That it is stepped on the host, not in a compiled program."""

    def __init__(
        self,
        name: str,
        maker: Maker,
        vector: Vector = "sync",
        pool: dict[str, Any] | None = None,
    ) -> None:
        """
        Arguments:
            name: for messages; with `pool`, the one that envpool knows.
            pool: envpool's options, where `vector` is `envpool`.

        Raises:
            EmbrlError: it cannot be made, or embrl knows no such spaces.
        """
        self.name = name
        self.vector: Vector = vector
        self._maker = maker
        self._pool = pool
        self.metadata: dict[str, Any] = {}
        """The environment's own: `render_modes`, `render_fps`. envpool's have none."""
        if pool is not None:
            observations, actions = pool_spaces(name, pool)
        elif vector == "envpool":
            raise EmbrlError(f"{name}: envpool has its own environments, by id: choose sync")
        else:
            env = maker(None)
            observations, actions = env.observation_space, env.action_space
            self.metadata = dict(env.metadata)
            env.close()
        try:
            self.observations = Observations(observations)
            self.actions = Actions(actions)
        except EmbrlError as error:
            raise EmbrlError(f"{name}: {error}") from error

    @classmethod
    def of(
        cls,
        source: gymnasium.Env | Callable[..., gymnasium.Env],
        name: str | None = None,
        vector: Vector = "sync",
    ) -> "HostEnvironment":
        """From an environment, or from a function that makes a fresh one each time.

        An environment is a pattern to copy and is itself never stepped: made again from its
        `spec` where it has one that can be, else copied as it stands. To be rendered, a function
        takes `render_mode`.

        Raises:
            EmbrlError: the environment can be neither made again nor copied, or what the function
                returns is none.
        """
        if isinstance(source, gymnasium.Env):
            maker = _copies(source)
            name = name or name_of(source)
        elif callable(source):
            maker = functools.partial(_from_factory, source)
            name = name or str(getattr(source, "__name__", type(source).__name__))
        else:
            raise EmbrlError(
                f"{source!r} is no environment: pass a gymnasium.Env, or a function that makes one"
            )
        return cls(name, maker, vector)

    @property
    def observation_space(self) -> gymnasium.Space:
        """`Discrete`, `MultiDiscrete` of one axis, or a float32 `Box` of one axis."""
        return self.observations.space

    @property
    def action_space(self) -> gymnasium.spaces.Discrete | gymnasium.spaces.Box:
        """`Discrete` from 0, or a float32 `Box` of one axis."""
        return self.actions.space

    @property
    def continuous_actions(self) -> bool:
        """Whether actions are vectors, not indices."""
        return isinstance(self.action_space, gymnasium.spaces.Box)

    def make(self, render_mode: str | None = None) -> gymnasium.Env:
        """A fresh environment of Gymnasium's, in its own spaces."""
        env = self._maker(render_mode)
        return env if render_mode is None else following(env)

    def action_features(self) -> Any:
        """What the environment itself says of each of its discrete actions: the attribute
        `action_features` of the unwrapped one, a table or a function that returns it; None where
        there is none. An environment is made to find out.
        """
        if self._pool is not None:
            return None
        env = self._maker(None)
        try:
            found = getattr(env.unwrapped, "action_features", None)
            return found() if callable(found) else found
        finally:
            env.close()

    def open(
        self, lanes: int, seed: int, render_mode: str | None = None, first: int = 0
    ) -> HostLanes:
        """Environments side by side, each reset with a seed of its own from `seed`.

        Arguments:
            render_mode: for `HostLanes.render`, as `"rgb_array"`; such lanes are always `sync`.
            first: the number of the first lane, where those before it are opened apart.

        Raises:
            EmbrlError: an environment cannot be made or reset.
        """
        seeds = lane_seeds(lanes, seed, first)
        kind = self.vector if render_mode is None else "sync"
        if kind == "envpool":
            assert self._pool is not None
            return PoolLanes(self.name, self.observations, self.actions, seeds, self._pool)
        if render_mode is None:
            make = functools.partial(self._maker, None)
        else:
            make = functools.partial(self.make, render_mode)
        kinds = {"sync": SyncLanes, "threads": ThreadLanes, "async": AsyncLanes}
        return kinds[kind](self.name, self.observations, self.actions, seeds, make)

    def render_lanes(self, lanes: int, seed: int) -> HostLanes:
        """Lanes whose pictures (`HostLanes.render`) are RGB arrays, uint8 `[H, W, 3]` each."""
        return self.open(lanes, seed, render_mode="rgb_array")


def _copies(env: gymnasium.Env) -> Maker:
    try:
        spec = env.spec
        if spec is not None:
            gymnasium.make(spec).close()
            return functools.partial(_from_spec, spec)
    except Exception:
        pass
    try:
        kept = copy.deepcopy(env)
    except Exception as error:
        raise EmbrlError(
            f"{name_of(env)} can be neither made again from its spec nor copied "
            f"({type(error).__name__}: {error}): pass a function that makes one"
        ) from error
    return functools.partial(_from_copy, kept)


def _from_spec(spec: Any, render_mode: str | None) -> gymnasium.Env:
    options: dict[str, Any] = {} if render_mode is None else {"render_mode": render_mode}
    return gymnasium.make(spec, **options)


def _from_copy(kept: gymnasium.Env, render_mode: str | None) -> gymnasium.Env:
    if render_mode not in (None, kept.render_mode):
        raise EmbrlError(
            f"{name_of(kept)} was made with render_mode {kept.render_mode!r}: pass a function of "
            "render_mode that makes one"
        )
    return copy.deepcopy(kept)


def _from_factory(factory: Callable[..., Any], render_mode: str | None) -> gymnasium.Env:
    name = getattr(factory, "__name__", type(factory).__name__)
    options = {} if render_mode is None else {"render_mode": render_mode}
    if options and not _takes(factory, "render_mode"):
        raise EmbrlError(f"{name} takes no render_mode: give it one to see its environment")
    try:
        env = factory(**options)
    except EmbrlError:
        raise
    except Exception as error:
        raise EmbrlError(f"{name}() raised {type(error).__name__}: {error}") from error
    if not isinstance(env, gymnasium.Env):
        raise EmbrlError(f"{name}() made {type(env).__name__}, which is no gymnasium.Env")
    return env


def _takes(function: Callable[..., Any], name: str) -> bool:
    try:
        parameters: Sequence[inspect.Parameter] = tuple(
            inspect.signature(function).parameters.values()
        )
    except (TypeError, ValueError):  # has no signature
        return False
    return any(p.name == name or p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
