"""Adapters between gymnax's environments and embrl's compiled ones, both ways.

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
from embrl.envs.gym.flat_actions import Actions
from embrl.envs.gym.flat_observations import Observations

_gymnax: Any = require("gymnax", "gymnax")
_spaces: Any = require("gymnax.environments.spaces", "gymnax")
_environment: Any = require("gymnax.environments.environment", "gymnax")


class FromGymnax(Environment):
    """A gymnax environment as an embrl environment.

    It does not reset itself: the rollout resets, and keeps the true last observation. A `Box` with
    any axes becomes one vector; `Dict` and `Tuple` are not supported.
    """

    params: Any
    env: Any = eqx.field(static=True)
    _flat_spaces: "_FlatSpaces" = eqx.field(static=True)

    def __init__(self, env: Any, params: Any = None) -> None:
        """Adapt an environment.

        Args:
            env: First result of `gymnax.make`.
            params: Second result of `gymnax.make`; None: the environment's defaults.

        Raises:
            EmbrlError: If gymnax is older than 1.0, the parameters are those of another kind of
                environment, or the spaces are not supported.
        """
        if not hasattr(env, "is_truncated"):
            raise EmbrlError(
                f"env must have is_truncated, got {env!r}; this needs gymnax 1.0 or newer"
            )
        self.env = env
        kind = type(env.default_params)
        if params is not None and not isinstance(params, kind):
            raise EmbrlError(
                f"params of {env.name} must be its {kind.__name__}, got {params!r}; gymnax.make "
                "returns them"
            )
        params = env.default_params if params is None else params
        self.params = jax.tree.map(jnp.asarray, params)
        self._flat_spaces = _FlatSpaces(env)

    @property
    def name(self) -> str:
        """Name that gymnax gives it, as `CartPole-v1`."""
        return str(self.env.name)

    @property
    def max_episode_steps(self) -> Any:
        """Steps after which an episode is truncated; None: not known."""
        return getattr(self.params, "max_steps_in_episode", None)

    @property
    def observation_space(self) -> gymnasium.Space:
        """`Discrete`, a `Box` with one axis, or an image."""
        return self._flat_spaces.observations

    @property
    def action_space(self) -> gymnasium.Space:
        """`Discrete`, or a `Box` with one axis."""
        return self._flat_spaces.actions

    def reset(self, key: Key) -> tuple[EnvState, Observation]:
        """Start an episode."""
        observation, state = self.env.reset_env(key, self.params)
        return state, self._flat(observation)

    def step(self, key: Key, state: EnvState, action: Action) -> tuple[EnvState, TimeStep]:
        """Take one step; gymnax gets the key as it is."""
        if is_continuous(self.action_space):
            action = action.reshape(self._flat_spaces.shape)
        observation, state, reward, terminated, _ = self.env.step_env(
            key, state, action, self.params
        )
        terminated = jnp.asarray(terminated, bool).reshape(())
        truncated = jnp.asarray(self.env.is_truncated(state, self.params), bool).reshape(())
        return state, TimeStep(
            observation=self._flat(observation),
            reward=jnp.asarray(reward, jnp.float32).reshape(()),
            terminated=terminated,
            truncated=truncated & ~terminated,
        )

    def _flat(self, observation: Any) -> Observation:
        if (image := self._flat_spaces.image) is not None:
            pixels = jnp.rint(jnp.asarray(observation) * image.scale).astype(jnp.uint8)
            return pixels.transpose(image.axes).reshape(image.after)
        if is_continuous(self.observation_space):
            return jnp.asarray(observation, jnp.float32).reshape(-1)
        return jnp.asarray(observation, jnp.int32).reshape(())


FLAGS = "-MinAtar"
"""End of the names of games whose planes of flags gymnax calls floats."""


class _FlatSpaces:
    """Flat spaces of a gymnax environment.

    Made once and outside compiled code, where their bounds are plain numbers; in an object, as
    Gymnasium's spaces cannot be hashed.
    """

    def __init__(self, env: Any) -> None:
        params = env.default_params
        observations, actions = env.observation_space(params), env.action_space(params)
        flat = Observations(_gymnasium_space("observation", env, observations))
        self.observations, self.image = flat.space, flat.image
        self.actions = Actions(_gymnasium_space("action", env, actions)).space
        self.shape = actions.shape


def _gymnasium_space(what: str, env: Any, space: Any) -> gymnasium.Space:
    """Return the space as one of Gymnasium's."""
    if isinstance(space, _spaces.Discrete):
        return spaces.Discrete(int(space.n))
    if not isinstance(space, _spaces.Box):
        raise EmbrlError(f"{what} space of {env.name} must be Discrete or Box, got {space!r}")
    low, high = (
        np.broadcast_to(np.asarray(bound, np.float32), space.shape)
        for bound in (space.low, space.high)
    )
    if what == "observation" and str(env.name).endswith(FLAGS):
        return spaces.Box(0, 1, space.shape, np.uint8)
    return spaces.Box(low, high, dtype=np.float32)


@dataclasses.dataclass(frozen=True)
class GymnaxConfig:
    """Settings of an environment that gymnax makes by name.

    `embrl.register_environment("gymnax")(GymnaxConfig)` makes it available by name in embrl.
    """

    id: str = "CartPole-v1"
    """Name of the environment, as for `gymnax.make`."""

    @property
    def continuous_actions(self) -> bool:
        """True if actions are vectors, not indices."""
        return is_continuous(self.build().action_space)

    def build(self) -> FromGymnax:
        """Make the environment.

        Raises:
            EmbrlError: If gymnax does not know the name, or the spaces are not supported.
        """
        try:
            env, params = _gymnax.make(self.id)
        except Exception as error:  # gymnax's own, of several kinds
            raise EmbrlError(
                f"env.id must be an environment of gymnax, got {self.id!r}: {error}"
            ) from error
        return FromGymnax(env, params)


class GymnaxState(NamedTuple):
    """State of an embrl environment as gymnax carries it."""

    inner: EnvState
    """State of the embrl environment."""
    time: Int[Array, ""]
    """Number of steps taken."""
    truncated: Bool[Array, ""]
    """True if the last step reached a step limit."""


class ToGymnax(_environment.Environment):
    """An embrl environment as a gymnax environment.

    `step(key, state, action, params)` resets it by itself and keeps the last observation in
    `info["final_observation"]`. It has no gymnax parameters.
    """

    def __init__(self, env: Environment) -> None:
        """Adapt an environment.

        Args:
            env: The embrl environment.
        """
        super().__init__()
        self.env = env

    @property
    def default_params(self) -> Any:
        """Default parameters of gymnax, which are ignored."""
        return _environment.EnvParams()

    @property
    def name(self) -> str:
        """Name of the environment's class."""
        return type(self.env).__name__

    @property
    def num_actions(self) -> int:
        """Number of discrete actions, or length of a continuous one."""
        space = self.env.action_space
        return int(space.n) if isinstance(space, spaces.Discrete) else dimensions(space)

    def reset_env(self, key: Key, params: Any) -> tuple[Observation, GymnaxState]:
        """Start an episode."""
        del params
        state, observation = self.env.reset(key)
        return observation, GymnaxState(state, jnp.int32(0), jnp.bool_(False))

    def step_env(
        self, key: Key, state: GymnaxState, action: Action, params: Any
    ) -> tuple[Observation, GymnaxState, Array, Array, dict[str, Any]]:
        """Take one step, without resetting."""
        del params
        inner, step = self.env.step(key, state.inner, action)
        after = GymnaxState(inner, state.time + 1, step.truncated)
        discount = jnp.where(step.terminated, 0.0, 1.0)
        return step.observation, after, step.reward, step.terminated, {"discount": discount}

    def is_truncated(self, state: GymnaxState, params: Any) -> Bool[Array, ""]:
        """Return True if the last step reached a step limit."""
        del params
        return state.truncated

    def observation_space(self, params: Any = None) -> Any:
        """Return gymnax's `Discrete` or `Box`; for several factors, an int32 `Box`."""
        del params
        return _gymnax_space(self.env.observation_space)

    def action_space(self, params: Any = None) -> Any:
        """Return gymnax's `Discrete` or `Box`."""
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
