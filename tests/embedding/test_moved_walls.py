"""The planted case: walls that move after pre-training must be noticed at once."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embrl.core.types import Transition
from embrl.data.replay import draw_segments
from embrl.data.rollout import open_envs, random_transitions, rollout
from embrl.embedding import pretraining as fitting
from embrl.embedding.config import EmbeddingConfig, PretrainConfig
from embrl.embedding.model import JointEmbedding
from embrl.embedding.monitor import embedding_warnings, measure, reference
from embrl.envs import Environment
from embrl.envs.gridworld import GridworldConfig
from embrl.training.replicas import over_replicas, seed_keys

SEEDS, LANES, WEIGHTS = 8, 30, {"forward": 1.0}
CONFIG = PretrainConfig(timesteps=30_000, gradient_steps=500)
WALLS = GridworldConfig(actuators=9, bins=40)
MIRRORED = dataclasses.replace(WALLS, obstacles=((0.5, 0.375, 1.0, 0.4), (0.475, 0.375, 0.5, 0.75)))


def pretrained(env: Environment, key: jax.Array) -> tuple:
    """A model of `env`, and what it is like."""
    seen = random_transitions(env, key, CONFIG.timesteps, LANES)
    train, held_out = (jax.tree.map(lambda c, at=at: c[at], seen) for at in np.s_[100:, :100])
    model = JointEmbedding(env.observation_space, env.action_space, EmbeddingConfig(), key=key)
    steps = jnp.arange(CONFIG.gradient_steps)
    (model, _), _ = fitting.fit(
        fitting.start(model),
        lambda key: draw_segments(train, key, CONFIG.batch_size),
        jax.random.split(key, CONFIG.gradient_steps),
        fitting.learning_rate(CONFIG, steps),
        weights=WEIGHTS,
    )
    return model, reference(model, WEIGHTS, train, held_out, states=WALLS.bins**2)


def first_epoch(env: Environment, model: JointEmbedding, key: jax.Array) -> Transition:
    """What an agent meets that acts in E, and has learned nothing yet."""
    noise = 0.6 * jax.random.normal(key, (50, LANES, 2))

    def act(observation: jax.Array, e: jax.Array, mask: Any) -> tuple[jax.Array, None]:
        square = ((e[:, None] - model.g.table) ** 2).sum(-1)
        return square.argmin(-1).astype(jnp.int32), None

    return rollout(env, act, open_envs(env, key, LANES), key, noise)[1]


@pytest.fixture(scope="module")
def seen() -> tuple:
    """Keys, models and references of all seeds."""
    keys = seed_keys(0, SEEDS)
    return (keys, *over_replicas(pretrained, SEEDS, shared=(0,))(WALLS.build(), keys))


@pytest.mark.slow
@pytest.mark.parametrize("config", [WALLS, MIRRORED], ids=["where they were", "mirrored"])
def test_walls_that_moved_are_noticed_before_anything_is_learned(
    seen: tuple, config: GridworldConfig
) -> None:
    def look(env: Environment, key: jax.Array, model: JointEmbedding, before: tuple) -> dict:
        return measure(model, WEIGHTS, before, first_epoch(env, model, key))  # type: ignore[arg-type]

    found = over_replicas(look, SEEDS, shared=(0,))(config.build(), *seen)
    seeds = [{name: float(v[at]) for name, v in found.items()} for at in range(SEEDS)]
    if config is WALLS:
        assert embedding_warnings(seeds) == {}
        assert np.mean(found["surprise"]) < 0.004
    else:
        [(text, _)] = embedding_warnings(seeds).items()
        assert text == "the environment does not behave as the embedding predicts"
        assert np.mean(found["surprise"]) > 0.012
