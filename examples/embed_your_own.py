"""A custom environment: embed its states and actions, and see which actions are alike.

A ring of 12 cells. Each of 30 actions moves by -2 to 2 cells, and nothing in its index says by how
many: the embedding must find out from random experience.

    python examples/embed_your_own.py
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array

from embrl.core.types import TimeStep
from embrl.data.replay import draw_segments
from embrl.data.rollout import random_transitions
from embrl.embedding import pretraining
from embrl.embedding.config import EmbeddingConfig, PretrainConfig
from embrl.embedding.model import JointEmbedding
from embrl.envs import Environment

CELLS, ACTIONS = 12, 30
MOVES = np.random.default_rng(0).integers(-2, 3, ACTIONS)


class RingState(NamedTuple):
    cell: Array


class Ring(Environment):
    """A ring of cells: a reward of 1 in cell 0, and episodes that never end."""

    @property
    def observation_space(self) -> spaces.Discrete:
        return spaces.Discrete(CELLS)

    @property
    def action_space(self) -> spaces.Discrete:
        return spaces.Discrete(ACTIONS)

    def reset(self, key: Array) -> tuple[RingState, Array]:
        cell = jax.random.randint(key, (), 0, CELLS, jnp.int32)
        return RingState(cell), cell

    def step(self, key: Array, state: RingState, action: Array) -> tuple[RingState, TimeStep]:
        del key
        cell = (state.cell + jnp.asarray(MOVES, jnp.int32)[action]) % CELLS
        reward = (cell == 0).astype(jnp.float32)
        return RingState(cell), TimeStep(cell, reward, jnp.bool_(False), jnp.bool_(False))


def main() -> float:
    """Return the fraction of actions whose nearest neighbour in E has the same effect."""
    env = Ring()
    key_collect, key_model, key_fit = jax.random.split(jax.random.key(0), 3)
    transitions = random_transitions(env, key_collect, timesteps=3_000, num_envs=30)
    model = JointEmbedding(
        env.observation_space,
        env.action_space,
        EmbeddingConfig(state_dim=2, action_dim=2),
        key=key_model,
    )
    settings = PretrainConfig(gradient_steps=500, batch_size=256)

    @jax.jit
    def train(state: pretraining.FitState, keys: Array) -> tuple[pretraining.FitState, Array]:
        return pretraining.fit(
            state,
            lambda key: draw_segments(transitions, key, settings.batch_size),
            keys,
            pretraining.learning_rate(settings, jnp.arange(settings.gradient_steps)),
            weights={"forward": 1.0},
        )

    steps = jax.random.split(key_fit, settings.gradient_steps)
    state, losses = train(pretraining.start(model), steps)
    table = np.asarray(state.model.g.table)
    print(f"loss {losses[0]:.2f} -> {losses[-1]:.2f} nats")
    for move in range(-2, 3):
        members = table[move == MOVES]
        print(f"moves by {move:+d}: {len(members):2d} actions around {members.mean(0).round(2)}")
    distance = ((table[:, None] - table) ** 2).sum(-1) + np.diag(np.full(ACTIONS, np.inf))
    alike = float((MOVES[distance.argmin(1)] == MOVES).mean())
    print(f"{alike:.0%} of actions have a nearest neighbour with the same effect")
    return alike


if __name__ == "__main__":
    main()
