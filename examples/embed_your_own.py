"""An environment of your own: embed its states and actions, and see which actions are alike.

A ring of 12 cells. Each of 30 actions moves by -2 to 2 cells, and nothing in its number says by how
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
from embrl.data.rollout import random_transitions
from embrl.data.segments import draw_segments
from embrl.embedding import pretraining as fit
from embrl.embedding.config import EmbeddingConfig
from embrl.embedding.model import JointEmbedding
from embrl.envs import Environment

CELLS, ACTIONS = 12, 30
MOVES = np.random.default_rng(0).integers(-2, 3, ACTIONS)


class RingState(NamedTuple):
    cell: Array


class Ring(Environment):
    """Pays 1 in cell 0; never ends."""

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
    env = Ring()
    key_collect, key_model, key_fit = jax.random.split(jax.random.key(0), 3)
    transitions = random_transitions(env, key_collect, samples=3_000, lanes=30)
    model = JointEmbedding(
        env.observation_space,
        env.action_space,
        EmbeddingConfig(state_dim=2, action_dim=2),
        key=key_model,
    )
    settings = fit.FitConfig(gradient_steps=500, batch_size=256)

    @jax.jit
    def train(state: fit.FitState, keys: Array) -> tuple[fit.FitState, Array]:
        return fit.fit(
            state,
            lambda key: draw_segments(transitions, key, settings.batch),
            keys,
            fit.learning_rate(settings, jnp.arange(settings.steps)),
            weights={"forward": 1.0},
        )

    state, losses = train(fit.start(model), jax.random.split(key_fit, settings.steps))
    table = np.asarray(state.model.g.table)
    print(f"loss {losses[0]:.2f} -> {losses[-1]:.2f} nats")
    for move in range(-2, 3):
        members = table[move == MOVES]
        print(f"moves by {move:+d}: {len(members):2d} actions around {members.mean(0).round(2)}")
    distance = ((table[:, None] - table) ** 2).sum(-1) + np.diag(np.full(ACTIONS, np.inf))
    alike = float((MOVES[distance.argmin(1)] == MOVES).mean())
    print(f"{alike:.0%} of actions have one of the same effect as their nearest neighbour")
    return alike


if __name__ == "__main__":
    main()
