"""Populations for tests: agents that push towards where the pole falls, with more or less skill."""

from pathlib import Path

import jax
import numpy as np

from embrl.agents.architecture import Architecture
from embrl.agents.episodes import survival
from embrl.agents.population import Population, append, create
from embrl.envs.cart_pole import CartPoleConfig

SMALL = Architecture(4, (6, 6), 2)
GOOD = np.array([0.1, 0.3, 1.0, 1.0])
"""Weights of a linear policy that balances for as long as it is let."""


def skilled(
    lineages: int, each: int, seed: int = 0, architecture: Architecture = SMALL
) -> np.ndarray:
    """Random networks in which `GOOD`, disturbed less and less along a lineage, has a say:
    `[lineages * each, size]`.
    """
    rng, found = np.random.default_rng(seed), []
    for _ in range(lineages):
        base = rng.normal(scale=0.15, size=architecture.size).astype(np.float32)
        wrong = rng.normal(size=4)
        units = [rng.integers(width) for width in architecture.hidden]
        for step in range(each):
            w = base + rng.normal(scale=0.02, size=architecture.size).astype(np.float32)
            share = (step + 1) / each
            layers = architecture.layers(w)  # views
            layers[0].weight[:, units[0]] = share * GOOD + 0.8 * (1 - share) * wrong
            layers[0].bias[units[0]] = 0.0
            layers[1].weight[units[0], units[1]] = 1.5
            layers[2].weight[units[1]] = [-2 * share, 2 * share]
            found.append(w)
    return np.stack(found)


def population(
    path: Path, lineages: int, each: int, *, steps: int = 500, episodes: int = 10, seed: int = 0,
    architecture: Architecture = SMALL,
) -> Population:  # fmt: skip
    """On disk, evaluated."""
    config = CartPoleConfig(step_limit=steps)
    w = skilled(lineages, each, seed, architecture)
    found = survival(config.build(), architecture, w, jax.random.key(seed), episodes)
    create(path, architecture, "cart_pole", config, episodes)
    table = {
        "lineage": np.repeat(np.arange(lineages), each),
        "step": np.tile(np.arange(each), lineages),
        "seed": np.full(len(w), seed),
        "return_mean": found.returns.mean(1),
        "return_std": found.returns.std(1),
        "survival_mean": found.lengths.mean(1),
    }
    append(path, w, table)
    return Population(path)
