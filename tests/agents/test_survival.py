"""Whole episodes of many agents: as a plain loop plays them, whoever else is there."""

from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from embrl.agents.architecture import Architecture
from embrl.agents.episodes import survival
from embrl.core.errors import EmbrlError
from embrl.core.types import TimeStep
from embrl.envs import configure
from embrl.envs.environment import Environment

KEY = jax.random.key(5)
ENV = configure("cart_pole").build()
ARCHITECTURE = Architecture(4, (8, 6), 2)


def some_agents(count: int) -> np.ndarray:
    """Random ones, and every third of them leans the right way."""
    w = np.random.default_rng(0).normal(0, 0.6, (count, ARCHITECTURE.size)).astype(np.float32)
    for row in w[::3]:
        first, second, last = ARCHITECTURE.layers(row)  # views
        first.weight[:, 0], first.bias[0] = [0.05, 0.25, 0.8, 0.5], 0
        second.weight[:, 0], second.weight[0, 0] = 0, 1
        second.bias[0], last.bias[:] = 0, 0
        last.weight[:] *= 0.02
        last.weight[0] = [-9, 9]
    return w


def by_hand(w: np.ndarray, start: np.ndarray) -> int:
    """How long one agent keeps Gymnasium's own Cart-Pole up."""
    env: Any = gymnasium.make("CartPole-v1")
    env.reset(seed=0)
    env.unwrapped.state, seen = start.astype(np.float64), start
    for step in range(1, 501):
        for number, (weight, bias) in enumerate(ARCHITECTURE.layers(w)):
            seen = seen @ weight + bias
            seen = np.tanh(seen) if number < 2 else seen
        seen, _, terminated, truncated, _ = env.step(int(np.argmax(seen)))
        if terminated or truncated:
            return step
    raise AssertionError


def test_agents_live_as_long_as_in_gymnasium() -> None:
    w, episodes = some_agents(9), 4
    found = survival(ENV, ARCHITECTURE, w, KEY, episodes)
    keys = [jax.random.fold_in(KEY, episode) for episode in range(episodes)]
    starts = [np.asarray(ENV.reset(key)[1]) for key in keys]
    expected = np.array([[by_hand(row, start) for start in starts] for row in w])
    short = expected < 150  # rounding tells longer ones apart
    assert short.sum() > 12
    np.testing.assert_array_equal(found.lengths[short], expected[short])
    assert (found.lengths[~short] > 100).all()
    np.testing.assert_array_equal(found.returns, found.lengths)
    assert found.lengths.max() > 150
    assert len(np.unique(found.lengths)) > 5


def test_nothing_depends_on_the_company() -> None:
    w = some_agents(7)
    together = survival(ENV, ARCHITECTURE, w, KEY, 5)
    assert together.lengths.shape == together.returns.shape == (7, 5)
    for other in (
        survival(ENV, ARCHITECTURE, w, KEY, 5, chunk=2),
        survival(ENV, ARCHITECTURE, jnp.asarray(w), KEY, 5),
    ):
        np.testing.assert_array_equal(other.lengths, together.lengths)
        np.testing.assert_array_equal(other.returns, together.returns)
    for at in (0, 6):
        alone = survival(ENV, ARCHITECTURE, w[at : at + 1], KEY, 5)
        np.testing.assert_array_equal(alone.lengths[0], together.lengths[at])
    backwards = survival(ENV, ARCHITECTURE, w[::-1], KEY, 5)
    np.testing.assert_array_equal(backwards.lengths[::-1], together.lengths)
    assert survival(ENV, ARCHITECTURE, w[:0], KEY, 5).lengths.shape == (0, 5)
    other_key = survival(ENV, ARCHITECTURE, w, jax.random.key(6), 5)
    assert (other_key.lengths != together.lengths).any()


class Dice(Environment):
    """An episode ends by chance: after each step with probability a fifth. Action 1 earns 2."""

    @property
    def observation_space(self) -> spaces.Box:
        return spaces.Box(0.0, 100.0, (1,))

    @property
    def action_space(self) -> spaces.Discrete:
        return spaces.Discrete(2)

    def reset(self, key: jax.Array) -> Any:
        return jnp.int32(0), jnp.full(1, jax.random.uniform(key))

    def step(self, key: jax.Array, state: jax.Array, action: jax.Array) -> Any:
        over = jax.random.uniform(key) < 0.2
        seen = jnp.full(1, state.astype(jnp.float32))
        reward = jnp.where(action == 1, 2.0, 0.0).astype(jnp.float32)
        return state + 1, TimeStep(seen, reward, over, (state >= 99) & ~over)


def test_steps_by_chance_have_keys_of_their_own() -> None:
    env, architecture = Dice(), Architecture(1, (), 2, "relu")
    w = np.array([[0, 0, 0, 1], [0, 0, 1, 0]], np.float32)  # always 1; always 0
    found = survival(env, architecture, w, KEY, 500)
    assert found.lengths.mean() == pytest.approx(5.0, abs=0.8)
    np.testing.assert_array_equal(found.lengths[0], found.lengths[1])
    np.testing.assert_array_equal(found.returns[0], 2.0 * found.lengths[0])
    np.testing.assert_array_equal(found.returns[1], np.zeros(500))
    # The first episodes are the same, however many there are.
    fewer = survival(env, architecture, w, KEY, 10)
    np.testing.assert_array_equal(fewer.lengths, found.lengths[:, :10])


@pytest.mark.parametrize(
    ("architecture", "shape", "episodes", "message"),
    [
        (Architecture(3, (8,), 2), (1, 50), 1, "CartPole must have 4 inputs .* got 3-8-2 tanh"),
        (Architecture(4, (8,), 3), (1, 67), 1, "CartPole must have .* 2 outputs, got 4-8-3 tanh"),
        (Architecture(4, (8,), 2), (1, 57), 1, r"must be \[N, 58\] .*got \[1, 57\]"),
        (Architecture(4, (8,), 2), (58,), 1, r"must be \[N, 58\] .*got \[58\]"),
        (Architecture(4, (8,), 2), (1, 58), 0, "episodes must be 1 or more, got 0"),
    ],
)
def test_what_does_not_fit_is_refused(
    architecture: Architecture, shape: tuple[int, ...], episodes: int, message: str
) -> None:
    with pytest.raises(EmbrlError, match=message):
        survival(ENV, architecture, np.zeros(shape, np.float32), KEY, episodes)
