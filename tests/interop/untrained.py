"""Embeddings that nobody trained, for the spaces of an environment."""

from copy import deepcopy
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from embrl.decoding.base import DecoderConfig
from embrl.embedding.config import EchoConfig, EmbeddingConfig, PretrainConfig
from embrl.embedding.encoders import Norm, StateEncoder
from embrl.embedding.model import JointEmbedding
from embrl.embedding.saved import EmbeddingSettings
from embrl.envs.gym.flat_actions import Actions
from embrl.envs.gym.flat_observations import Observations
from embrl.fitting.embedding import Embedding


def drawn(space: gymnasium.Space) -> list[Any]:
    """The same fifty members each time; the space itself draws on as it would have."""
    space = deepcopy(space)
    space.seed(0)
    return [space.sample() for _ in range(50)]


def embedding_of(env: Any, *, states: bool = True, m: int = 3, d: int = 2) -> Any:
    """Wide enough that f tells actions apart."""
    observations = Observations(env.observation_space)
    actions = Actions(env.action_space).space
    config = EmbeddingConfig(state_dim=m, action_dim=d, state_spread=0.7, action_spread=0.7)
    model = JointEmbedding(
        observations.space, actions, config, states=states, objectives=(), key=jax.random.key(1)
    )
    seen = np.stack([observations(value) for value in drawn(env.observation_space)])
    model = model.scaled_by(jnp.asarray(seen), jnp.stack(drawn(actions)))
    embeds = isinstance(model.phi, StateEncoder)
    return Embedding(
        model=model,
        method="jsae" if states else "ra",
        settings=EmbeddingSettings(config, EchoConfig(), {}, PretrainConfig(), DecoderConfig()),
        observation_space=observations.space,
        action_space=actions,
        norm=Norm.of(model.phi(jnp.asarray(seen))) if embeds else None,
    )
