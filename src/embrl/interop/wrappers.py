"""Gymnasium wrappers with an embedding in front: observations are points of X, actions points of E.

For any library that supports `Box` spaces. A step is plain NumPy.
"""

import dataclasses
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

from embrl.core.errors import EmbrlError
from embrl.envs.gym.environment import name_of
from embrl.interop.space_adapters import ActionAdapter, StateAdapter, Vectors

MASK = "action_mask"
"""Key of an environment's `info` with the actions it accepts."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class WrapOptions:
    """Options of both wrappers and of `embrl.wrap`."""

    states: bool | None = None
    """True to embed observations; None: if the embedding embeds states."""
    actions: bool | None = None
    """True or None to embed actions."""
    norm: bool = True
    """True to centre X and scale it to a mean square of 1 on the data that phi was fitted on, as
    embrl's own policies see it."""
    masks: bool = True
    """True to apply the environment's action masks."""
    reach: Vectors | None = None
    """Part of E that the `Box` of actions stands for, see `ActionAdapter`; None: where actions
    lie."""

    def adapters(
        self, env: Any, embedding: Any, observations: gymnasium.Space, actions: gymnasium.Space
    ) -> tuple[StateAdapter | None, ActionAdapter | None]:
        """Return adapters of a single environment's observations and actions.

        Either is None where that side stays as it is.

        Args:
            env: The environment, for its name in messages.
            embedding: An `embrl.Embedding`.
            observations: The environment's observation space.
            actions: The environment's action space.

        Raises:
            EmbrlError: If the embedding does not fit the environment or has no states to embed, or
                nothing is to be embedded.
        """
        if self.states and not embedding.states:
            raise EmbrlError(
                f"states must be None or False for an embedding by method {embedding.method}, "
                "which has none of states, got True"
            )
        with_states = embedding.states if self.states is None else self.states
        with_actions = self.actions is None or self.actions
        if not with_states and not with_actions:
            raise EmbrlError("states or actions must be embedded, got neither states nor actions")
        name = name_of(env)
        return (
            StateAdapter(observations, embedding, name, self.norm) if with_states else None,
            ActionAdapter(actions, embedding, name, self.reach) if with_actions else None,
        )

    def uses_masks(self, actions: ActionAdapter | None) -> bool:
        """Return True if masks apply, for which there must be discrete actions to choose from."""
        return self.masks and actions is not None and actions.count is not None


class EmbeddedEnv(gymnasium.Wrapper, RecordConstructorArgs):
    """A Gymnasium environment whose observations are phi(s), and which takes e and does f(e).

    Where the environment says which actions it accepts, by `info["action_mask"]` or a method
    `action_masks()` (bool `[n]`), f chooses among these.
    """

    def __init__(self, env: gymnasium.Env, embedding: Any, **options: Any) -> None:
        """Wrap an environment.

        Args:
            env: The environment.
            embedding: An `embrl.Embedding`.
            options: Those of `WrapOptions`.

        Raises:
            EmbrlError: If the embedding does not fit the environment; the message names the
                dimension and both values.
        """
        RecordConstructorArgs.__init__(self, embedding=embedding, **options)
        gymnasium.Wrapper.__init__(self, env)
        chosen = WrapOptions(**options)
        self.states, self.actions = chosen.adapters(
            env, embedding, env.observation_space, env.action_space
        )
        if self.states is not None:
            self.observation_space = self.states.space
        if self.actions is not None:
            self.action_space = self.actions.space
        self._uses_masks = chosen.uses_masks(self.actions)
        self._ask = _own_method(env, "action_masks") if self._uses_masks else None
        self._mask: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Reset the environment; return the embedded observation and the info."""
        observation, info = self.env.reset(seed=seed, options=options)
        if self._uses_masks:
            self._mask = info.get(MASK)
        return (observation if self.states is None else self.states(observation)), info

    def step(self, action: Any) -> Any:
        """Take a step by the action that f finds for a point of the `Box`."""
        if self.actions is not None:
            mask = self._mask if self._ask is None else self._ask()
            action = self.actions(action, mask)
        observation, reward, terminated, truncated, info = self.env.step(action)
        if self._uses_masks:
            self._mask = info.get(MASK)
        if self.states is not None:
            observation = self.states(observation)
        return observation, reward, terminated, truncated, info

    def original_action(self, action: Any) -> Any:
        """Return the action the environment would be given, without regard to masks."""
        return action if self.actions is None else self.actions(action)


class EmbeddedVectorEnv(VectorWrapper):
    """A Gymnasium vector environment with an embedding in front, as `EmbeddedEnv` for one.

    Of action masks, those in `infos["action_mask"]` apply.
    """

    def __init__(self, env: VectorEnv, embedding: Any, **options: Any) -> None:
        """Wrap a vector environment.

        Args:
            env: The vector environment.
            embedding: An `embrl.Embedding`.
            options: Those of `WrapOptions`.

        Raises:
            EmbrlError: If the embedding does not fit the environment; the message names the
                dimension and both values.
        """
        super().__init__(env)
        chosen = WrapOptions(**options)
        self.states, self.actions = chosen.adapters(
            env, embedding, env.single_observation_space, env.single_action_space
        )
        if self.states is not None:
            self.single_observation_space = self.states.space
            self.observation_space = batch_space(self.states.space, env.num_envs)
        if self.actions is not None:
            self.single_action_space = self.actions.space
            self.action_space = batch_space(self.actions.space, env.num_envs)
        self._uses_masks = chosen.uses_masks(self.actions)
        self._mask: np.ndarray | None = None

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        """Reset the environments; return the embedded observations and the infos."""
        observations, infos = self.env.reset(seed=seed, options=options)
        return self._embedded(observations, infos), infos

    def step(self, actions: Any) -> Any:
        """Take a step of each, by the actions that f finds for points of the `Box`."""
        if self.actions is not None:
            actions = self.actions(actions, self._mask)
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        return self._embedded(observations, infos), rewards, terminated, truncated, infos

    def _embedded(self, observations: Any, infos: dict[str, Any]) -> Any:
        if self._uses_masks:
            self._mask = _masks(infos)
        if self.states is None:
            return observations
        if "final_obs" in infos:
            final = np.full(len(infos["final_obs"]), None, object)
            for index in np.flatnonzero(infos["_final_obs"]):
                final[index] = self.states(infos["final_obs"][index])
            infos["final_obs"] = final
        return self.states(observations)


def wrap(env: Any, embedding: Any, **options: Any) -> Any:
    """Wrap a Gymnasium environment, or a vector of them, with an embedding in front.

    Args:
        env: A `gymnasium.Env`, a `gymnasium.vector.VectorEnv`, or an id for `gymnasium.make`.
        embedding: An `embrl.Embedding`, or the folder of one.
        options: Those of `WrapOptions`: `states`, `actions`, `norm`, `masks` and `reach`.

    Returns:
        An `EmbeddedEnv` or `EmbeddedVectorEnv`.

    Raises:
        EmbrlError: If there is no such environment or embedding, or the two do not fit.
    """
    if isinstance(embedding, str | Path):
        from embrl.fitting.embedding import load_embedding  # imports JAX

        embedding = load_embedding(embedding)
    if isinstance(env, str):
        try:
            env = gymnasium.make(env)
        except gymnasium.error.Error as error:
            raise EmbrlError(f"{env}: {error}") from error
    if isinstance(env, VectorEnv):
        return EmbeddedVectorEnv(env, embedding, **options)
    if not isinstance(env, gymnasium.Env):
        raise EmbrlError(
            f"env must be a gymnasium.Env, a VectorEnv or an id, got {env!r}, which is no "
            "environment"
        )
    return EmbeddedEnv(env, embedding, **options)


def _masks(infos: dict[str, Any]) -> np.ndarray | None:
    """Return the masks of all environments, bool `[B, n]`, or None if there are none.

    An environment that gives no mask accepts every action.
    """
    if MASK not in infos:
        return None
    given = np.asarray(infos["_" + MASK])
    # Environments that give none may have None in their place.
    first = np.asarray(infos[MASK][int(np.argmax(given))])
    masks = np.ones((len(given), *first.shape), bool)
    for index in np.flatnonzero(given):
        masks[index] = infos[MASK][index]
    return masks


def _own_method(env: gymnasium.Env, name: str) -> Any:
    return env.get_wrapper_attr(name) if env.has_wrapper_attr(name) else None
