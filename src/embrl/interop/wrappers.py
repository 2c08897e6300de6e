"""Gymnasium wrappers with an embedding in front: observations are points of X, actions points of E.

For any library that supports `Box` spaces. A wrapped environment is plain NumPy: it can be pickled
and copied, its `spec` makes it again, and it may be made and stepped in a forked process.
"""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

from embrl.core.errors import EmbrlError, SettingError
from embrl.deploy.plain_embedding import JSON_BYTES, PlainEmbedding
from embrl.envs.gym.contract import reset_of, step_of
from embrl.envs.gym.environment import name_of
from embrl.envs.gym.flat_actions import Actions
from embrl.envs.gym.masks import AUTO, OFF, MaskReader
from embrl.interop.space_adapters import ActionAdapter, Coupling, StateAdapter, Vectors
from embrl.interop.vector_masks import VectorMasks


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
    masks: bool | str = True
    """True to apply the environment's action masks; a key, to look for them under that name
    (`embrl.envs.gym.masks.MaskReader`)."""
    candidates: int = 32
    """Nearest actions that the environment's method `is_feasible` is asked about, in environments
    with one whose actions have several parts; 0: it is not asked."""
    reach: Vectors | None = None
    """Part of E that the `Box` of actions stands for, see `ActionAdapter`; None: where actions
    lie."""

    def __post_init__(self) -> None:
        if not (isinstance(self.candidates, int) and self.candidates >= 0):
            raise SettingError("candidates", "an integer of at least 0", self.candidates)

    def adapters(
        self,
        env: Any,
        embedding: PlainEmbedding,
        observations: gymnasium.Space,
        actions: gymnasium.Space,
    ) -> tuple[StateAdapter | None, ActionAdapter | None]:
        """Return adapters of a single environment's observations and actions.

        Either is None where that side stays as it is.

        Args:
            env: The environment, for its name in messages.
            embedding: The embedding.
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
        path = _reader(observations, actions, AUTO if self.masks is False else self._setting, name)
        return (
            StateAdapter(observations, embedding, name, self.norm, path and path.path)
            if with_states
            else None,
            ActionAdapter(actions, embedding, name, self.reach) if with_actions else None,
        )

    def reader(
        self,
        env: Any,
        observations: gymnasium.Space,
        actions: gymnasium.Space,
        adapter: ActionAdapter | None,
    ) -> MaskReader | None:
        """Return the reader of masks; None unless there are discrete actions that f chooses from.

        Args:
            env: The environment, for its name in messages.
            observations: The environment's observation space.
            actions: The environment's action space.
            adapter: The adapter of actions.
        """
        if not self.masks or adapter is None or adapter.count is None:
            return None
        reader = _reader(observations, actions, self._setting, name_of(env))
        # Masks have the form of the embedding's actions, which need not be the usual one.
        converter = adapter.converter
        if reader is not None and converter.space != Actions(actions).space:
            return MaskReader(observations, converter, self._setting, name_of(env))
        return reader

    @property
    def _setting(self) -> str:
        return self.masks if isinstance(self.masks, str) else AUTO if self.masks else OFF


class EmbeddedEnv(gymnasium.Wrapper, RecordConstructorArgs):
    """A Gymnasium environment whose observations are phi(s), and which takes e and does f(e).

    Where the environment says which actions it accepts (docs/action_masks.md), f chooses among
    these.
    """

    def __init__(self, env: gymnasium.Env, embedding: Any, **options: Any) -> None:
        """Wrap an environment.

        Args:
            env: The environment.
            embedding: An `embrl.Embedding`, the folder of one, or what a wrapper's `spec` has.
            options: Those of `WrapOptions`.

        Raises:
            EmbrlError: If the embedding does not fit the environment; the message names the
                dimension and both values.
        """
        gymnasium.Wrapper.__init__(self, env)
        chosen, spaces = WrapOptions(**options), (env.observation_space, env.action_space)
        self._embedding, self._options = plain_embedding(embedding), options
        self.states, self.actions = chosen.adapters(env, self._embedding, *spaces)
        if self.states is not None:
            self.observation_space = self.states.space
        if self.actions is not None:
            self.action_space = self.actions.space
        self._reader = chosen.reader(env, *spaces, self.actions)
        self._ask = None if self._reader is None else self._reader.method_of(env)
        self._mask: np.ndarray | None = None
        self._seen: Any = None
        self._candidates = chosen.candidates if hasattr(env.unwrapped, "is_feasible") else 0

    @property
    def _saved_kwargs(self) -> dict[str, Any]:  # type: ignore[override]
        """The arguments that `spec` has, which Gymnasium writes as JSON."""
        return {"embedding": _as_argument(self._embedding), **_plain_values(self._options)}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Reset the environment; return the embedded observation and the info."""
        observation, info = reset_of(self.env, seed=seed, options=options)
        self._read(observation, info)
        return (observation if self.states is None else self.states(observation)), info

    def step(self, action: Any) -> Any:
        """Take a step by the action that f finds for a point of the `Box`."""
        if self.actions is not None:
            if self._reader is not None and self._ask is not None:
                self._mask = self._reader.ask(self._ask)
            action = self.actions(action, self._mask, self._coupling())
        observation, reward, terminated, truncated, info = step_of(self.env, action)
        self._read(observation, info)
        if self.states is not None:
            observation = self.states(observation)
        return observation, reward, terminated, truncated, info

    def _coupling(self) -> Coupling | None:
        """Return what couples the parts of an action now; None if nothing does."""
        if not self._candidates:
            return None
        env: Any = self.env.unwrapped
        use = env.resource_use(self._seen) if hasattr(env, "resource_use") else None
        feasible = functools.partial(env.is_feasible, self._seen)
        return Coupling(feasible, use, self._candidates)

    def _read(self, observation: Any, info: Any) -> None:
        self._seen = observation
        if self._reader is not None and self._ask is None:
            self._mask = self._reader.read(observation, info)

    def original_action(self, action: Any) -> Any:
        """Return the action the environment would be given, if it allowed all of them."""
        return action if self.actions is None else self.actions(action)


class EmbeddedVectorEnv(VectorWrapper):
    """A Gymnasium vector environment with an embedding in front, as `EmbeddedEnv` for one."""

    def __init__(self, env: VectorEnv, embedding: Any, **options: Any) -> None:
        """Wrap a vector environment.

        Args:
            env: The vector environment.
            embedding: An `embrl.Embedding`, the folder of one, or what a wrapper's `spec` has.
            options: Those of `WrapOptions`.

        Raises:
            EmbrlError: If the embedding does not fit the environment; the message names the
                dimension and both values.
        """
        super().__init__(env)
        chosen = WrapOptions(**options)
        spaces = (env.single_observation_space, env.single_action_space)
        self.states, self.actions = chosen.adapters(env, plain_embedding(embedding), *spaces)
        if self.states is not None:
            self.single_observation_space = self.states.space
            self.observation_space = batch_space(self.states.space, env.num_envs)
        if self.actions is not None:
            self.single_action_space = self.actions.space
            self.action_space = batch_space(self.actions.space, env.num_envs)
        reader = chosen.reader(env, *spaces, self.actions)
        self._masks = None if reader is None else VectorMasks(env, reader)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        """Reset the environments; return the embedded observations and the infos."""
        which = (options or {}).get("reset_mask")  # which Gymnasium takes out of it
        observations, infos = self.env.reset(seed=seed, options=options)
        if self._masks is not None:
            self._masks.begin(observations, infos, which)
        return self._embedded(observations, infos), infos

    def step(self, actions: Any) -> Any:
        """Take a step of each, by the actions that f finds for points of the `Box`."""
        if self.actions is not None:
            actions = self.actions(actions, None if self._masks is None else self._masks.now())
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        if self._masks is not None:
            self._masks.follow(observations, infos, terminated | truncated)
        return self._embedded(observations, infos), rewards, terminated, truncated, infos

    def _embedded(self, observations: Any, infos: dict[str, Any]) -> Any:
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
        options: Those of `WrapOptions`: `states`, `actions`, `norm`, `masks`, `candidates` and
            `reach`.

    Returns:
        An `EmbeddedEnv` or `EmbeddedVectorEnv`.

    Raises:
        EmbrlError: If there is no such environment or embedding, or the two do not fit.
    """
    if isinstance(env, str):
        try:
            env = gymnasium.make(env)
        except (gymnasium.error.Error, ImportError) as error:
            raise EmbrlError(f"{env}: {error}") from error
    if isinstance(env, VectorEnv):
        return EmbeddedVectorEnv(env, embedding, **options)
    if not isinstance(env, gymnasium.Env):
        raise EmbrlError(
            f"env must be a gymnasium.Env, a VectorEnv or an id, got {env!r}, which is no "
            "environment"
        )
    return EmbeddedEnv(env, embedding, **options)


def plain_embedding(embedding: Any) -> PlainEmbedding:
    """Return an embedding in plain steps.

    Args:
        embedding: An `embrl.Embedding`, the folder of one, or the plain values of one.

    Raises:
        EmbrlError: If it is none of these, or damaged.
    """
    if isinstance(embedding, Mapping):
        return PlainEmbedding.from_json(embedding)
    if isinstance(embedding, str | Path):
        from embrl.fitting.embedding import load_embedding  # imports JAX

        embedding = load_embedding(embedding)
    found = getattr(embedding, "plain", embedding)
    if not isinstance(found, PlainEmbedding):
        raise EmbrlError(f"embedding must be an embrl.Embedding or its folder, got {embedding!r}")
    return found


def _as_argument(embedding: PlainEmbedding) -> Any:
    """Return an embedding as plain values, unless it is large."""
    return embedding.to_json() if embedding.nbytes <= JSON_BYTES else embedding


def _plain_values(options: dict[str, Any]) -> dict[str, Any]:
    reach = options.get("reach")
    if reach is None:
        return options
    return {**options, "reach": [np.asarray(end).tolist() for end in reach]}


def _reader(
    observations: gymnasium.Space, actions: gymnasium.Space, setting: str, name: str
) -> MaskReader | None:
    """Return a reader of masks, or None if embrl does not support such actions."""
    try:
        converter = Actions(actions)
    except EmbrlError:
        return None
    return MaskReader(observations, converter, setting, name)
