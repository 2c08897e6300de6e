"""Command `embrl agents import FILE ...`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import tyro
from rich.console import Console

from embrl.agents.architecture import ACTIVATIONS
from embrl.agents.episodes import survival
from embrl.agents.importing import import_agents
from embrl.agents.population import RECORD, Population
from embrl.cli.flags import field
from embrl.cli.parsing import finish_help, parse, value_of
from embrl.core import registry as plugins
from embrl.core.errors import EmbrlError
from embrl.core.runtime import prepare_jax
from embrl.envs import ENVIRONMENTS, EnvConfig

USAGE = """\
usage: embrl agents import FILE [FILE ...] --out POP [--environment ENV] [--env.* ...]
                           [--episodes N] [--seed K] [--activation {activations}]
                           [--layers NAME [NAME ...]]

Add policies that were trained elsewhere to a population, or create one. Each is evaluated and
becomes a lineage of its own. Nothing in a file is executed.

  FILE               a PyTorch state dict (.safetensors), or a Stable-Baselines3 model (.zip)
  --out POP          population folder
  --environment ENV  environment (default: the population's, or cart_pole), and its settings; one
                     of {names}
  --episodes N       evaluation episodes of each (default: the population's, or 100)
  --seed K           random seed of these episodes (default: 0)
  --activation A     activation between layers (default: as stored, else tanh or, for DQN, relu)
  --layers NAME ...  names of a state dict's layers in order, unless numbers in them determine it"""


@dataclasses.dataclass(frozen=True)
class _Default:
    """Defaults of flags, from the existing population if there is one."""

    environment: str
    env: EnvConfig
    episodes: int


def import_(arguments: Sequence[str]) -> None:
    """Parse the arguments, import agents and print their scores."""
    if not {"-h", "--help"}.isdisjoint(arguments):
        plugins.load_installed()  # so that their environments are listed
    names, activations = ", ".join(ENVIRONMENTS), "|".join(ACTIVATIONS)
    finish_help(arguments, USAGE.format(names=names, activations=activations))
    prepare_jax()
    default = _default(arguments)
    given: Any = parse(_flags(default), arguments, "embrl agents import")
    if not given.files:
        raise EmbrlError(
            "FILE must be one or more files, got none; embrl agents import FILE ... --out POP"
        )
    env, key = given.env.build(), jax.random.key(_checked(given.seed))
    before = Population(given.out).count if (given.out / RECORD).exists() else 0
    population = import_agents(
        given.files,
        given.out,
        given.environment,
        given.env,
        lambda architecture, w: survival(env, architecture, w, key, given.episodes),
        activation=given.activation,
        layers=given.layers or None,
    )
    _report(population, before, given.files)


def _checked(seed: int) -> int:
    if not 0 <= seed < 2**32:
        raise EmbrlError(f"seed must be 0 to 4294967295, got {seed}")
    return seed


def _default(arguments: Sequence[str]) -> _Default:
    out = value_of("--out", arguments, "")
    if out and (Path(out) / RECORD).exists():
        there = Population(out)
        default = _Default(there.environment, there.env, there.episodes)
    else:
        default = _Default("cart_pole", ENVIRONMENTS["cart_pole"](), 100)
    environment = value_of("--environment", arguments, default.environment)
    if environment != default.environment:
        return _Default(environment, ENVIRONMENTS[environment](), default.episodes)
    return default


def _flags(default: _Default) -> type:
    """Return a dataclass of the flags for these defaults."""
    activations = Literal[tuple(ACTIVATIONS)] | None  # type: ignore[valid-type]
    return dataclasses.make_dataclass(
        "Import",
        [
            ("files", Annotated[tuple[Path, ...], tyro.conf.Positional]),
            ("out", Path),
            field("environment", str, default.environment, "Environment of the agents."),
            field("episodes", int, default.episodes, "Evaluation episodes of each agent."),
            field("seed", int, 0, "Random seed of these episodes."),
            field("activation", activations, None, "Activation between layers."),
            field("layers", tuple[str, ...], (), "Names of a state dict's layers, in order."),
            ("env", type(default.env), default.env),
        ],
        frozen=True,
    )


def _report(population: Population, before: int, files: Sequence[Path]) -> None:
    console, table = Console(), population.table()
    for path, mean, survived in zip(
        files,
        table["return_mean"][before:].tolist(),
        table["survival_mean"][before:].tolist(),
        strict=True,
    ):
        console.print(
            f"{path}: mean return {mean:.1f}, mean survival {survived:.1f} steps over "
            f"{population.episodes} episodes",
            highlight=False,
            soft_wrap=True,
        )
    console.print(
        f"{population.count:,} agents {population.architecture}\n{population.path}",
        highlight=False,
        soft_wrap=True,
    )
