"""phi, g and T together: the model that is learned from transitions."""

import dataclasses
from typing import Literal

import equinox as eqx
import gymnasium
import jax
from jaxtyping import Array

from embrl.embedding.encoders import ActionEncoder, StateEncoder
from embrl.embedding.transition import MetricTransition, SoftmaxTransition, TransitionModel
from embrl.spaces import action_count, factors
from embrl.types import Key, Observation


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The shape of the joint embedding."""

    m: int = 8
    """Dimensions of the state embedding."""
    d: int = 2
    """Dimensions of the action embedding."""
    state_hidden: tuple[int, ...] = ()
    """Hidden layers of phi. None: one row a state."""
    transition_hidden: tuple[int, ...] = (64,)
    """Hidden layers of T."""
    head: Literal["metric", "softmax"] = "metric"
    """metric: T predicts a point, and near states are likely. softmax: a free linear layer, as in
    the paper."""


class JointEmbedding(eqx.Module):
    """The environment model of Pritz et al. 2021, eq. 3: P(s'|s, a) = T(s' | phi(s), g(a))."""

    phi: StateEncoder
    g: ActionEncoder
    T: TransitionModel

    def __init__(
        self,
        observation_space: gymnasium.Space,
        action_space: gymnasium.Space,
        config: ModelConfig,
        *,
        key: Key,
    ) -> None:
        key_phi, key_g, key_t = jax.random.split(key, 3)
        self.phi = StateEncoder(observation_space, config.m, config.state_hidden, key=key_phi)
        self.g = ActionEncoder(action_count(action_space), config.d, key=key_g)
        kind = {"metric": MetricTransition, "softmax": SoftmaxTransition}[config.head]
        self.T = kind(
            config.m, config.d, config.transition_hidden, factors(observation_space), key=key_t
        )

    def predict(self, observation: Observation, action: Array) -> tuple[Array, ...]:
        """Logits of the next observation, an array for each factor."""
        return self.T(self.phi(observation), self.g(action), self.phi.points)
