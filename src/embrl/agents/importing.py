"""Policies that were trained elsewhere, as a population."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from embrl.agents.architecture import Architecture
from embrl.agents.population import RECORD, Population, append, create
from embrl.agents.stable_baselines import read_stable_baselines
from embrl.agents.state_dict import Agent, read_state_dict
from embrl.core.errors import EmbrlError
from embrl.envs import EnvConfig
from embrl.training.evaluation import Episodes

Evaluate = Callable[[Architecture, Float[np.ndarray, "N size"]], Episodes]
"""Returns and lengths `[N, episodes]` of agents."""

UNKNOWN_SEED = -1


def read_agent(
    path: str | Path, activation: str | None = None, layers: Sequence[str] | None = None
) -> Agent:
    """A policy from a file: PyTorch's state dict as `.safetensors`, or Stable-Baselines3's `.zip`.

    Arguments:
        activation: between layers; None: what the file says, else tanh or, for DQN, relu.
        layers: names of a state dict's layers in order, where numbers do not tell.

    Raises:
        EmbrlError: the file is of neither kind, or not as expected.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        return read_state_dict(path, activation or "tanh", layers)
    if path.suffix == ".zip":
        if layers:
            raise EmbrlError(f"{path}: layers of Stable-Baselines3 have an order: leave layers out")
        return read_stable_baselines(path, activation)
    raise EmbrlError(
        f"{path}: expected a state dict (.safetensors) or a zip of Stable-Baselines3 (.zip)"
    )


def import_agents(
    paths: Sequence[str | Path],
    out: str | Path,
    environment: str,
    env: EnvConfig,
    evaluate: Evaluate,
    *,
    activation: str | None = None,
    layers: Sequence[str] | None = None,
) -> Population:
    """Makes a population of policies from files, or adds them to one. Each is a lineage of its own,
    at step 0, and its seed is -1: not known.

    Arguments:
        environment: its registered name.
        env: its settings.
        evaluate: measures the agents, all at once.
        activation: see `read_agent`.
        layers: see `read_agent`.

    Raises:
        EmbrlError: a file cannot be read, agents are of different architectures, or `out` is a
            population of something else; what is there stays as it is.
    """
    agents = [read_agent(path, activation, layers) for path in paths]
    if not agents:
        raise EmbrlError("no files to import agents from")
    architecture = agents[0].architecture
    for path, agent in zip(paths, agents, strict=True):
        if agent.architecture != architecture:
            raise EmbrlError(
                f"{path} is an agent {agent.architecture}, {paths[0]} one {architecture}: "
                "a population has one architecture"
            )
    there = Population(out) if (Path(out) / RECORD).exists() else None
    if there is not None:
        _check(there, architecture, environment, env)
    weights = np.stack([agent.weights for agent in agents])
    returns, lengths = (np.asarray(part, np.float64) for part in evaluate(architecture, weights))
    if there is None:
        there = create(out, architecture, environment, env, returns.shape[1])
    elif there.episodes != returns.shape[1]:
        raise EmbrlError(
            f"{out} is of agents evaluated on {there.episodes} episodes, not {returns.shape[1]}: "
            "evaluate these as they were"
        )
    first = int(there.table()["lineage"].max(initial=-1)) + 1
    table = {
        "lineage": first + np.arange(len(agents)),
        "step": np.zeros(len(agents), np.int64),
        "seed": np.full(len(agents), UNKNOWN_SEED),
        "return_mean": returns.mean(1),
        "return_std": returns.std(1),
        "survival_mean": lengths.mean(1),
    }
    append(out, weights, table, architecture=architecture)
    return Population(out)


def _check(
    population: Population, architecture: Architecture, environment: str, env: EnvConfig
) -> None:
    where = population.path
    if population.architecture != architecture:
        raise EmbrlError(
            f"{where} is of agents {population.architecture}, not {architecture}: "
            "make another population"
        )
    if population.environment != environment or population.env != env:
        raise EmbrlError(
            f"{where} is of {population.environment} {population.env}, not {environment} {env}: "
            "make another population"
        )
