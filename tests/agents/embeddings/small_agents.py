"""Small populations made by hand: no training, but every skill."""

import numpy as np

from embrl.agents.architecture import Architecture
from embrl.agents.population import Population, append, create
from embrl.envs.cart_pole import CartPoleConfig

SMALL = Architecture(4, (4,), 2)


def pushers(lineages: int, each: int = 2, seed: int = 0) -> np.ndarray:
    """Agents that push to where a random mixture of what they see is leaning: most of those with a
    positive mixture hold the pole for a while.
    """
    draw = np.random.default_rng(seed)
    count = lineages * each
    w = 0.1 * draw.standard_normal((count, SMALL.size)).astype(np.float32)
    first, last = SMALL.layers(w)
    lean = np.abs(draw.standard_normal((count, 4))) * [0.05, 0.2, 1.0, 1.0]
    np.asarray(first.weight)[:, :, 0] += lean
    np.asarray(last.weight)[:, 0] += [-2.0, 2.0]
    return w


def population(path, lineages: int = 12, each: int = 2, seed: int = 0) -> Population:
    """With made-up returns, between 0 and 500."""
    w = pushers(lineages, each, seed)
    create(path, SMALL, "cart_pole", CartPoleConfig(step_limit=50), 3)
    value = np.linspace(0, 500, len(w)).astype(np.float32)
    np.random.default_rng(seed).shuffle(value)
    table = {
        "lineage": np.repeat(np.arange(lineages), each),
        "step": np.tile(np.arange(each), lineages),
        "seed": np.zeros(len(w), np.int64),
        "return_mean": value,
        "return_std": np.zeros_like(value),
        "survival_mean": value,
    }
    append(path, w, table)
    return Population(path)
