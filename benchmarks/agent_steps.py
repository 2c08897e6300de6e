"""Steps of many Cart-Pole agents, 100 episodes each: compiled, against a Gymnasium loop."""

from collections.abc import Iterator

import gymnasium
import jax
import numpy as np

from benchmarks.timing import Row, compare
from embrl.agents.architecture import Architecture
from embrl.agents.episodes import survival
from embrl.envs.cart_pole import CartPoleConfig

AGENTS, EPISODES, LOOP_STEPS = 256, 100, 20_000
ARCHITECTURE = Architecture(4, (32, 32), 2)


def skilled(agents: int) -> np.ndarray:
    """Return weights of networks that balance the pole, each in a slightly different way."""
    random = np.random.default_rng(0)
    w = random.normal(0.0, 0.1, (agents, ARCHITECTURE.size)).astype(np.float32)
    first, second, last = ARCHITECTURE.layers(w)  # views
    first.weight[..., 0], first.bias[..., 0] = [0.1, 0.5, 1.6, 1.0], 0.0
    second.weight[..., 0], second.bias[..., 0], second.weight[..., 0, 0] = 0.0, 0.0, 1.5
    last.weight[...] *= 0.1
    last.weight[..., 0, :], last.bias[...] = [-2.0, 2.0], 0.0
    return w


def run() -> Iterator[Row]:
    """Yield agent steps per second."""
    env, w, key = CartPoleConfig().build(), skilled(AGENTS), jax.random.key(0)
    steps = int(survival(env, ARCHITECTURE, w, key, EPISODES).lengths.sum())
    rival = gymnasium.make("CartPole-v1")
    layers = ARCHITECTURE.layers(w[0])

    def loop() -> None:
        seen, _ = rival.reset(seed=0)
        for _ in range(LOOP_STEPS):
            for weight, bias in layers[:-1]:
                seen = np.tanh(seen @ weight + bias)
            action = int(np.argmax(seen @ layers[-1].weight + layers[-1].bias))
            seen, _, terminated, truncated, _ = rival.step(action)
            if terminated or truncated:
                seen, _ = rival.reset()

    yield compare(
        f"Cart-Pole agent-steps, {AGENTS} agents {ARCHITECTURE}",
        lambda: survival(env, ARCHITECTURE, w, key, EPISODES),
        steps,
        "Gymnasium loop",
        loop,
        LOOP_STEPS,
    )
