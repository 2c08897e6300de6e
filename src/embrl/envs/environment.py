"""The contract of compiled environments: pure functions of a key and a state, and two spaces."""

import abc
import dataclasses
from collections.abc import Mapping
from keyword import iskeyword
from typing import Any, ClassVar, NamedTuple, NoReturn, Protocol

import equinox as eqx
import gymnasium
import jax
import numpy as np
from jaxtyping import Array, Bool, Float

from embrl.core.errors import EmbrlError, SettingError
from embrl.core.products import dtype_of, is_product, mask_length, shape_of
from embrl.core.spaces import is_continuous
from embrl.core.types import Action, EnvState, Key, Observation, TimeStep


class Demonstrations(NamedTuple):
    """Situations, and what an expert does in each."""

    observation: Array
    """`[n, ...]`."""
    action: Array
    """`[n]`, or `[n, p]`."""
    mask: Array | None = None
    """Actions that may be chosen in each, bool `[n, actions]`; None: the same in all."""


class Environment(eqx.Module):
    """A single environment in JAX; `jax.vmap` makes any number of them.

    Parameters are fields, so that an environment is a pytree and can be passed to a compiled
    function. It never resets itself: the rollout does, and keeps the true final observation.
    """

    @property
    @abc.abstractmethod
    def observation_space(self) -> gymnasium.Space:
        """Space of the observations.

        A property, as Gymnasium's spaces cannot be hashed and so cannot be static fields of what is
        passed to a compiled function.
        """

    @property
    @abc.abstractmethod
    def action_space(self) -> gymnasium.Space:
        """Space of the actions."""

    @abc.abstractmethod
    def reset(self, key: Key) -> tuple[EnvState, Observation]:
        """Start an episode; return its state and first observation."""

    @abc.abstractmethod
    def step(self, key: Key, state: EnvState, action: Action) -> tuple[EnvState, TimeStep]:
        """Take one step; return the next state and what the agent sees of it.

        `terminated` and `truncated` are kept apart: the first is an end of the task; the second is
        a step limit, after which the value still counts.
        """

    def action_mask(self, state: EnvState) -> Bool[Array, " n"] | None:
        """Return which discrete actions may be chosen in a state, bool `[n]`; None: always all.

        Of actions with several parts, there is a flag for each value of each discrete part, one
        part after another.

        Whether it is None must not depend on the state. At least one action must be allowed, except
        where an episode has ended.
        """
        del state
        return None

    def is_feasible(self, observation: Observation, action: Action) -> Bool[Array, ""] | None:
        """Return whether a joint action is feasible at an observation; None: all always are.

        For what couples the parts of an action, as a budget, a capacity or a rule
        (docs/products.md). Policies in an embedding take the nearest feasible action. Random
        actions and policies without an embedding do not heed it, so `step` must define what an
        infeasible action does.

        Args:
            observation: one observation.
            action: a row of one joint action, `[parts]`.

        Returns:
            bool `[]`. Whether it is None must not depend on the arguments.
        """
        del observation, action
        return None

    def resource_use(self, observation: Observation) -> Float[Array, " values"] | None:
        """Return how much each value of each part uses of what is scarce, `[values]`; or None.

        It guides the search for a feasible action (`is_feasible`) beyond the nearest ones, where
        less use makes an action feasible, as with a budget or a capacity.

        Args:
            observation: one observation.

        Returns:
            Finite numbers for the values of all discrete parts, one part after another, in any
            unit. None: not known. Whether it is None must not depend on the observation.
        """
        del observation
        return None

    def action_effects(self) -> Float[Array, "n p"] | None:
        """Return the effect of each action as a vector, `[n, p]`, or None if it is not known.

        Quality reports measure action embeddings against it; learning never sees it.
        """
        return None

    def action_features(self) -> np.ndarray | None:
        """Return prior knowledge about each action, `[n, q]`, or None if there is none.

        Unlike `action_effects`, learning may see it: `embedding.action-features env`.
        """
        return None

    def state_coordinates(self, observation: Observation) -> Float[Array, "*batch p"] | None:
        """Return the coordinates that tell states apart, `[..., p]`, or None if not known.

        Like `action_effects`, for measuring only.
        """
        del observation
        return None

    @property
    def coordinate_names(self) -> tuple[str, ...] | None:
        """Names of the columns of `state_coordinates`; None where there are none."""
        return None

    @property
    def action_names(self) -> tuple[str, ...] | None:
        """Names of the discrete actions, in order; None where they have none."""
        return None

    @property
    def data_source(self) -> "EnvironmentData | None":
        """Files that the environment was made of; None where there are none."""
        return None

    @property
    def render_fps(self) -> float | None:
        """Steps per second in a film; None: the environment cannot be drawn."""
        return None

    def render(self, state: EnvState) -> np.ndarray:
        """Return a picture of a state, uint8 `[height, width, 3]`, where `render_fps` is given."""
        del state
        raise EmbrlError(f"{type(self).__name__} cannot be drawn")

    @property
    def max_episode_steps(self) -> Any:
        """Steps after which an episode is truncated, an integer or a scalar array; None: not known.

        By default the attribute `step_limit` of the environment or of its `config`. Evaluations cut
        episodes of more than 10,000 steps, and of more than these.
        """
        own = getattr(self, "step_limit", None)
        return getattr(getattr(self, "config", None), "step_limit", None) if own is None else own

    def demonstrations(self, key: Key, count: int) -> "Demonstrations | None":
        """Return what an expert does in `count` random situations, or None if there is none.

        A policy may learn from it before it is trained by rewards (`imitation`).
        """
        del key, count
        return None

    def transcript(
        self, observations: np.ndarray, actions: np.ndarray, rewards: np.ndarray
    ) -> tuple[str, ...] | None:
        """Return an episode as lines of text, or None where it has no such form.

        Args:
            observations: `[T + 1, ...]`, the last one too.
            actions: `[T, ...]`.
            rewards: `[T]`.
        """
        del observations, actions, rewards
        return None

    def references(self, key: Key) -> dict[str, float]:
        """Return returns to compare a policy with, such as `best_known_return`, by name.

        Called once a run, outside compiled code; may take seconds.
        """
        del key
        return {}


class EnvironmentData(Protocol):
    """Files that an environment was made of, as logs of purchases."""

    def notes(self) -> tuple[str, ...]:
        """Return what a user has to know of how they were read, in a line each."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return plain values for `environment.json`; `files` has checksums (SHA-256) by path."""
        ...


class EnvConfig(Protocol):
    """The settings of one kind of environment: a frozen dataclass of plain values.

    Its fields are the command line's `--env.*` flags and are saved in `config.json`.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def build(self) -> Environment:
        """Make the environment.

        Raises:
            EmbrlError: If a setting is out of range; the message names it.
        """
        ...


def has_masks(env: Environment) -> bool:
    """Return True if a compiled environment says which actions may be chosen (`action_mask`).

    Raises:
        EmbrlError: its mask is not bool `[n]`, or its actions are continuous.
    """
    if type(env).action_mask is Environment.action_mask:
        return False
    shape = jax.eval_shape(lambda key: env.action_mask(env.reset(key)[0]), jax.random.key(0))
    if shape is None:
        return False
    name, space = type(env).__name__, env.action_space
    wanted = None if is_continuous(space) else (mask_length(space),)
    if wanted is None or shape.shape != wanted or shape.dtype != bool:
        needed = "None where actions are continuous" if wanted is None else f"bool {list(wanted)}"
        raise SettingError(f"action_mask of {name}", needed, _form(shape))
    return True


def has_constraint(env: Environment) -> bool:
    """Return True if an environment couples the parts of an action (`is_feasible`).

    Raises:
        EmbrlError: its actions have one part, or its functions return something else than they
            should.
    """
    if type(env).is_feasible is Environment.is_feasible:
        return False
    name, space = type(env).__name__, env.action_space
    action = jax.ShapeDtypeStruct(shape_of(space), dtype_of(space))

    def asked(key: Key, action: Action) -> tuple[Any, Any]:
        observation = env.reset(key)[1]
        return env.is_feasible(observation, action), env.resource_use(observation)

    flag, use = jax.eval_shape(asked, jax.random.key(0), action)
    if flag is None:
        return False
    if not is_product(space):
        advice = "say which actions are allowed by action_mask"
        raise SettingError(f"is_feasible of {name}", f"None for {space}", _form(flag), advice)
    if flag.shape != () or flag.dtype != bool:
        advice = "return one flag for the one action given, as by .all()"
        raise SettingError(f"is_feasible of {name}", "bool []", _form(flag), advice)
    values = mask_length(space)
    if use is not None and (use.shape != (values,) or use.dtype.kind not in "iuf"):
        advice = "return a number for each value of each part"
        raise SettingError(f"resource_use of {name}", f"numbers [{values}]", _form(use), advice)
    return True


def _form(array: Any) -> str:
    return f"{array.dtype.name} {list(array.shape)}"


def named_factor(env: EnvConfig) -> int | None:
    """Return the index of the observation factor whose values the actions name, or None.

    In a recommender, action a recommends item a, and a factor of the observation is the last item
    bought. It is the class attribute `named_factor` of the settings, not of the environment, as a
    trained policy is restored without an environment.
    """
    return getattr(env, "named_factor", None)


def many_actions(env: Any) -> bool:
    """Return whether actions of an environment are a long list, whatever its settings are.

    It is the class attribute `many_actions` of the settings, so that defaults and help texts do not
    wait for data to be read, nor need them.
    """
    return getattr(env, "many_actions", False)


def data_settings(env: Any) -> tuple[str, ...]:
    """Return the names of the settings that are paths of the environment's data.

    They are the class attribute `data_settings` of the settings. A run may continue with its data
    in another place.
    """
    return getattr(env, "data_settings", ())


def is_host(env: Any) -> bool:
    """Return True if settings are of an environment that Python steps (`embrl.envs.gym`).

    It is the class attribute `host` of the settings; other environments are compiled.
    """
    return getattr(env, "host", False)


def environment_name(env: Any) -> str:
    """Return the name of an environment object; of a JAX environment without one, its class's."""
    name = getattr(env, "name", None)
    return name if isinstance(name, str) else type(env).__name__


def unavailable(settings: Mapping[str, Any], why: str) -> type[EnvConfig]:
    """Return a class of settings for an environment that cannot be made here.

    Args:
        settings: Settings by name, in plain values, which become its fields.
        why: What `build` says.
    """

    def build(self: Any) -> NoReturn:
        del self
        raise EmbrlError(why)

    if bad := [name for name in settings if not name.isidentifier() or iskeyword(name)]:
        raise EmbrlError(f"env must have the names of settings, got {bad[0]!r}")
    return dataclasses.make_dataclass(
        "UnavailableConfig",
        [(name, Any) for name in settings],
        frozen=True,
        namespace={"build": build, "__doc__": "Settings of an environment that is not here."},
    )
