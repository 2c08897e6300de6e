"""Gymnasium's environments with an embedding in front: observations are points of X, actions points
of E, for any library that knows a `Box`. A step is plain NumPy.
"""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

from embrl.core.errors import EmbrlError
from embrl.envs.host.making import name_of
from embrl.interop.sides import ActionSide, StateSide, Vectors

MASK = "action_mask"
"""Where an environment's `info` says which actions it takes."""


class EmbeddedEnv(gymnasium.Wrapper, RecordConstructorArgs):
    """An environment whose observations are phi(s), and which takes e and does f(e).

    Where the environment says which actions it takes, by `info["action_mask"]` or a method
    `action_masks()` (bool `[n]`), f looks among these.
    """

    def __init__(
        self,
        env: gymnasium.Env,
        embedding: Any,
        *,
        states: bool | None = None,
        actions: bool | None = None,
        norm: bool = True,
        masks: bool = True,
        reach: Vectors | None = None,
    ) -> None:
        """
        Arguments:
            embedding: an `embrl.Embedding`.
            states: whether observations are embedded; None: if the embedding embeds states.
            actions: whether actions are.
            norm: whether X is centred, and scaled to a mean square of 1 (on what phi was fitted
                on), as embrl's own policies see it.
            masks: whether masks are heeded.
            reach: the part of E that the `Box` of actions stands for, see `ActionSide`.

        Raises:
            EmbrlError: the embedding does not fit the environment; the message says which
                dimension, what it has and what it needs.
        """
        RecordConstructorArgs.__init__(
            self,
            embedding=embedding,
            states=states,
            actions=actions,
            norm=norm,
            masks=masks,
            reach=reach,
        )
        gymnasium.Wrapper.__init__(self, env)
        name, wanted = name_of(env), _wanted(embedding, states, actions)
        given = env.observation_space, env.action_space
        self.states, self.actions = _sides(embedding, name, given, wanted, norm, reach)
        if self.states is not None:
            self.observation_space = self.states.space
        if self.actions is not None:
            self.action_space = self.actions.space
        self._heeds = masks and _listed(self.actions)
        self._ask = _own_method(env, "action_masks") if self._heeds else None
        self._mask: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """As the environment does."""
        observation, info = self.env.reset(seed=seed, options=options)
        if self._heeds:
            self._mask = info.get(MASK)
        return (observation if self.states is None else self.states(observation)), info

    def step(self, action: Any) -> Any:
        """A step by the action that f finds."""
        if self.actions is not None:
            mask = self._mask if self._ask is None else self._ask()
            action = self.actions(action, mask)
        observation, reward, terminated, truncated, info = self.env.step(action)
        if self._heeds:
            self._mask = info.get(MASK)
        if self.states is not None:
            observation = self.states(observation)
        return observation, reward, terminated, truncated, info

    def original_action(self, action: Any) -> Any:
        """What the environment is given for it, without regard to masks."""
        return action if self.actions is None else self.actions(action)


class EmbeddedVectorEnv(VectorWrapper):
    """The same of environments side by side; of masks, those in `infos["action_mask"]`."""

    def __init__(
        self,
        env: VectorEnv,
        embedding: Any,
        *,
        states: bool | None = None,
        actions: bool | None = None,
        norm: bool = True,
        masks: bool = True,
        reach: Vectors | None = None,
    ) -> None:
        """As `EmbeddedEnv`.

        Raises:
            EmbrlError: as there.
        """
        super().__init__(env)
        name, wanted = name_of(env), _wanted(embedding, states, actions)
        given = env.single_observation_space, env.single_action_space
        self.states, self.actions = _sides(embedding, name, given, wanted, norm, reach)
        if self.states is not None:
            self.single_observation_space = self.states.space
            self.observation_space = batch_space(self.states.space, env.num_envs)
        if self.actions is not None:
            self.single_action_space = self.actions.space
            self.action_space = batch_space(self.actions.space, env.num_envs)
        self._heeds = masks and _listed(self.actions)
        self._mask: np.ndarray | None = None

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        """As the environments do."""
        observations, infos = self.env.reset(seed=seed, options=options)
        return self._seen(observations, infos), infos

    def step(self, actions: Any) -> Any:
        """A step of each, by the actions that f finds."""
        if self.actions is not None:
            actions = self.actions(actions, self._mask)
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        return self._seen(observations, infos), rewards, terminated, truncated, infos

    def _seen(self, observations: Any, infos: dict[str, Any]) -> Any:
        if self._heeds:
            self._mask = _masks(infos)
        if self.states is None:
            return observations
        if "final_obs" in infos:
            final = np.full(len(infos["final_obs"]), None, object)
            for lane in np.flatnonzero(infos["_final_obs"]):
                final[lane] = self.states(infos["final_obs"][lane])
            infos["final_obs"] = final
        return self.states(observations)


def wrap(env: Any, embedding: Any, **options: Any) -> Any:
    """An environment of Gymnasium's, or a vector of them, with an embedding in front.

    Arguments:
        env: a `gymnasium.Env`, a `gymnasium.vector.VectorEnv`, or an id for `gymnasium.make`.
        embedding: an `embrl.Embedding`, or the folder of one.
        options: those of `EmbeddedEnv`.

    **Returns** an `EmbeddedEnv` or `EmbeddedVectorEnv`.

    Raises:
        EmbrlError: there is no such environment or embedding, or the two do not fit.
    """
    if isinstance(embedding, str | Path):
        from embrl.fitting.embedding import load_embedding  # with it comes JAX

        embedding = load_embedding(embedding)
    if isinstance(env, str):
        try:
            env = gymnasium.make(env)
        except gymnasium.error.Error as error:
            raise EmbrlError(f"{env}: {error}") from error
    if isinstance(env, VectorEnv):
        return EmbeddedVectorEnv(env, embedding, **options)
    if not isinstance(env, gymnasium.Env):
        raise EmbrlError(f"{env!r} is no environment: pass a gymnasium.Env, or an id")
    return EmbeddedEnv(env, embedding, **options)


def _wanted(embedding: Any, states: bool | None, actions: bool | None) -> tuple[bool, bool]:
    """Which sides to embed."""
    has = embedding.states
    if states and not has:
        raise EmbrlError(
            f"this embedding, by method {embedding.method}, has none of states: leave states out"
        )
    wanted = has if states is None else states, actions is None or actions
    if not any(wanted):
        raise EmbrlError("neither states nor actions are to be embedded: nothing is left to wrap")
    return wanted


def _sides(
    embedding: Any,
    name: str,
    given: tuple[gymnasium.Space, gymnasium.Space],
    wanted: tuple[bool, bool],
    norm: bool,
    reach: Vectors | None,
) -> tuple[StateSide | None, ActionSide | None]:
    """Those of the two that are wanted, of a single environment's observations and actions."""
    states = StateSide(given[0], embedding, name, norm) if wanted[0] else None
    actions = ActionSide(given[1], embedding, name, reach) if wanted[1] else None
    return states, actions


def _listed(actions: ActionSide | None) -> bool:
    """Whether there is a list of actions that a mask could pick from."""
    return actions is not None and actions.count is not None


def _masks(infos: dict[str, Any]) -> np.ndarray | None:
    """Of all lanes; those that say nothing may do everything."""
    if MASK not in infos:
        return None
    said = np.asarray(infos["_" + MASK])
    # Lanes that say nothing may stand there as None.
    first = np.asarray(infos[MASK][int(np.argmax(said))])
    masks = np.ones((len(said), *first.shape), bool)
    for lane in np.flatnonzero(said):
        masks[lane] = infos[MASK][lane]
    return masks


def _own_method(env: gymnasium.Env, name: str) -> Any:
    return env.get_wrapper_attr(name) if env.has_wrapper_attr(name) else None
