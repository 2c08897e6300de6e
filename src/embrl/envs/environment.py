"""What an environment is: pure functions of a key and a state, and two spaces."""

import abc
from typing import Any, ClassVar, Protocol

import equinox as eqx
import gymnasium
import numpy as np
from jaxtyping import Array, Float

from embrl.core.types import Action, EnvState, Key, Observation, TimeStep


class Environment(eqx.Module):
    """A single environment in JAX; `jax.vmap` makes any number of them.

    Parameters are fields, so that an environment is a pytree and can be passed to a compiled
    function. It never resets itself: the rollout does, and keeps the true final observation.
    """

    @property
    @abc.abstractmethod
    def observation_space(self) -> gymnasium.Space:
        """What observations look like. (A property: Gymnasium's spaces cannot be hashed, and so
        cannot be static fields of what is passed to a compiled function.)
        """

    @property
    @abc.abstractmethod
    def action_space(self) -> gymnasium.Space:
        """What actions look like."""

    @abc.abstractmethod
    def reset(self, key: Key) -> tuple[EnvState, Observation]:
        """Starts an episode."""

    @abc.abstractmethod
    def step(self, key: Key, state: EnvState, action: Action) -> tuple[EnvState, TimeStep]:
        """Takes one step. `terminated` and `truncated` are kept apart: only the first is an end
        of the world; the second is a step limit, after which the value still counts.
        """

    def action_effects(self) -> Float[Array, "n p"] | None:
        """What each action does, as a vector, where the environment knows it; else None.

        Quality reports measure action embeddings against it; learning never sees it.
        """
        return None

    def action_features(self) -> np.ndarray | None:
        """What may be known of each action beforehand, `[n, q]`; None: nothing but its number.

        Unlike `action_effects`, learning may see it: `embedding.action-features env`.
        """
        return None

    def state_coordinates(self, observation: Observation) -> Float[Array, "*batch p"] | None:
        """What tells states apart, as vectors, where the environment knows it; else None.

        Like `action_effects`, for measuring only.
        """
        del observation
        return None

    @property
    def coordinate_names(self) -> tuple[str, ...] | None:
        """What the columns of `state_coordinates` are called; None where there are none."""
        return None

    def references(self, key: Key) -> dict[str, float]:
        """Returns to compare a policy with (`best_known_return`, oracles), computed here.

        Called once a run, outside compiled code; may take seconds.
        """
        del key
        return {}


class EnvConfig(Protocol):
    """The settings of one kind of environment: a frozen dataclass of plain values.

    Its fields are the command line's `--env.*` flags and stand in `config.json`.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def build(self) -> Environment:
        """Makes the environment.

        Raises:
            EmbrlError: a setting is out of range; the message names the field.
        """
        ...


def named_factor(env: EnvConfig) -> int | None:
    """The factor of observations whose values the actions name, action a the value a, as in a
    recommender: the class attribute `named_factor` of its settings. None where there is none.

    Of the settings, not of the environment, as a trained policy is restored without one.
    """
    return getattr(env, "named_factor", None)


def is_host(env: Any) -> bool:
    """Whether these are settings of an environment that Python steps on the host
    (`embrl.envs.host`), by their class attribute `host`; else it is compiled.
    """
    return getattr(env, "host", False)
