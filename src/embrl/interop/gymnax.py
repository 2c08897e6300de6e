"""gymnax's environments in embrl's compiled loop, and embrl's in code written for gymnax.

Needs gymnax 1.0 or newer, which keeps terminated and truncated apart: `pip install
'embrl[gymnax]'`.
"""

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Bool, Int

from embrl.core.errors import EmbrlError, require
from embrl.core.spaces import dimensions, is_continuous
from embrl.core.types import Action, EnvState, Key, Observation, TimeStep
from embrl.envs import Environment
from embrl.envs.host.actions import Actions
from embrl.envs.host.observations import Observations

_gymnax: Any = require("gymnax", "gymnax")
_spaces: Any = require("gymnax.environments.spaces", "gymnax")
_environment: Any = require("gymnax.environments.environment", "gymnax")


class FromGymnax(Environment):
    """An environment of gymnax's as one of embrl's.

    Its own resetting is left out: the rollout resets, and keeps the true last observation. A `Box`
    of any axes becomes one vector; of `Dict` and `Tuple` there are none here.
    """

    params: Any
    env: Any = eqx.field(static=True)
    _forms: "_Forms" = eqx.field(static=True)

    def __init__(self, env: Any, params: Any = None) -> None:
        """
        Arguments:
            env: what `gymnax.make` gives first.
            params: what it gives second; None: the environment's defaults.

        Raises:
            EmbrlError: gymnax is older than 1.0, or embrl knows no such spaces.
        """
        if not hasattr(env, "is_truncated"):
            raise EmbrlError(f"{env!r} tells no truncation: this needs gymnax 1.0 or newer")
        self.env = env
        params = env.default_params if params is None else params
        self.params = jax.tree.map(jnp.asarray, params)
        self._forms = _Forms(env)

    @property
    def observation_space(self) -> gymnasium.Space:
        """`Discrete`, or a `Box` of one axis."""
        return self._forms.observations

    @property
    def action_space(self) -> gymnasium.Space:
        """`Discrete`, or a `Box` of one axis."""
        return self._forms.actions

    def reset(self, key: Key) -> tuple[EnvState, Observation]:
        """Starts an episode."""
        seen, state = self.env.reset_env(key, self.params)
        return state, self._seen(seen)

    def step(self, key: Key, state: EnvState, action: Action) -> tuple[EnvState, TimeStep]:
        """Takes one step, with this key as it is."""
        if is_continuous(self.action_space):
            action = action.reshape(self._forms.shape)
        seen, state, reward, terminated, _ = self.env.step_env(key, state, action, self.params)
        terminated = jnp.asarray(terminated, bool).reshape(())
        truncated = jnp.asarray(self.env.is_truncated(state, self.params), bool).reshape(())
        return state, TimeStep(
            observation=self._seen(seen),
            reward=jnp.asarray(reward, jnp.float32).reshape(()),
            terminated=terminated,
            truncated=truncated & ~terminated,
        )

    def _seen(self, seen: Any) -> Observation:
        if is_continuous(self.observation_space):
            return jnp.asarray(seen, jnp.float32).reshape(-1)
        return jnp.asarray(seen, jnp.int32).reshape(())


class _Forms:
    """The spaces, asked for once and outside of compiled code: their bounds must be plain numbers.
    (An object, as Gymnasium's spaces cannot be hashed.)
    """

    def __init__(self, env: Any) -> None:
        params = env.default_params
        seen, done = env.observation_space(params), env.action_space(params)
        self.observations = Observations(_gymnasium_space("observations", env, seen)).space
        self.actions = Actions(_gymnasium_space("actions", env, done)).space
        self.shape = done.shape


def _gymnasium_space(what: str, env: Any, space: Any) -> gymnasium.Space:
    """With one axis."""
    if isinstance(space, _spaces.Discrete):
        return spaces.Discrete(int(space.n))
    if not isinstance(space, _spaces.Box):
        raise EmbrlError(f"{what} of gymnax's {env.name} are {space!r}: embrl takes Discrete, Box")
    low, high = (
        np.broadcast_to(np.asarray(bound, np.float32), space.shape).ravel()
        for bound in (space.low, space.high)
    )
    return spaces.Box(low, high, dtype=np.float32)


@dataclasses.dataclass(frozen=True)
class GymnaxConfig:
    """An environment that gymnax knows by name, with settings as all others have.

    `embrl.register_environment("gymnax")(GymnaxConfig)` makes it one to train in by name.
    """

    id: str = "CartPole-v1"
    """As `gymnax.make` takes it."""

    @property
    def continuous_actions(self) -> bool:
        """Whether actions are vectors, not indices."""
        return is_continuous(self.build().action_space)

    def build(self) -> FromGymnax:
        """Makes the environment.

        Raises:
            EmbrlError: gymnax knows no such name, or embrl no such spaces.
        """
        try:
            env, params = _gymnax.make(self.id)
        except Exception as error:  # gymnax's own, of several kinds
            raise EmbrlError(f"gymnax makes no {self.id!r}: {error}") from error
        return FromGymnax(env, params)


class GymnaxState(NamedTuple):
    """An environment of embrl's, as gymnax carries it."""

    inner: EnvState
    time: Int[Array, ""]
    """Steps taken."""
    truncated: Bool[Array, ""]
    """What the last step said."""


class ToGymnax(_environment.Environment):
    """An environment of embrl's as one of gymnax's: `reset(key, params)`, and
    `step(key, state, action, params)` that resets it by itself and keeps the last observation in
    `info["final_observation"]`. It has no parameters but its own.
    """

    def __init__(self, env: Environment) -> None:
        super().__init__()
        self.env = env

    @property
    def default_params(self) -> Any:
        """None of them mean anything."""
        return _environment.EnvParams()

    @property
    def name(self) -> str:
        """The class's."""
        return type(self.env).__name__

    @property
    def num_actions(self) -> int:
        """Choices, or the numbers of a vector."""
        space = self.env.action_space
        return int(space.n) if isinstance(space, spaces.Discrete) else dimensions(space)

    def reset_env(self, key: Key, params: Any) -> tuple[Observation, GymnaxState]:
        """Starts an episode."""
        del params
        state, seen = self.env.reset(key)
        return seen, GymnaxState(state, jnp.int32(0), jnp.bool_(False))

    def step_env(
        self, key: Key, state: GymnaxState, action: Action, params: Any
    ) -> tuple[Observation, GymnaxState, Array, Array, dict[str, Any]]:
        """Takes one step."""
        del params
        inner, step = self.env.step(key, state.inner, action)
        after = GymnaxState(inner, state.time + 1, step.truncated)
        discount = jnp.where(step.terminated, 0.0, 1.0)
        return step.observation, after, step.reward, step.terminated, {"discount": discount}

    def is_truncated(self, state: GymnaxState, params: Any) -> Bool[Array, ""]:
        """Whether the last step reached a limit."""
        del params
        return state.truncated

    def observation_space(self, params: Any = None) -> Any:
        """Gymnax's `Discrete` or `Box`; of several factors, an int32 `Box`."""
        del params
        return _gymnax_space(self.env.observation_space)

    def action_space(self, params: Any = None) -> Any:
        """Gymnax's `Discrete` or `Box`."""
        del params
        return _gymnax_space(self.env.action_space)


def _gymnax_space(space: gymnasium.Space) -> Any:
    match space:
        case spaces.Discrete():
            return _spaces.Discrete(int(space.n))
        case spaces.MultiDiscrete():
            return _spaces.Box(0, jnp.asarray(space.nvec - 1), space.shape, jnp.int32)
        case _:
            assert isinstance(space, spaces.Box)
            return _spaces.Box(jnp.asarray(space.low), jnp.asarray(space.high), space.shape)
