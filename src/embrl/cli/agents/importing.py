"""`embrl agents import FILE ...`"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import tyro
from rich.console import Console

from embrl.agents.architecture import ACTIVATIONS
from embrl.agents.importing import import_agents
from embrl.agents.population import RECORD, Population
from embrl.agents.survival import survival
from embrl.cli.flags import field
from embrl.cli.parsing import finish_help, parse, value_of
from embrl.core.errors import EmbrlError
from embrl.core.registry import load_installed_plugins
from embrl.core.runtime import prepare_jax
from embrl.envs import ENVIRONMENTS, EnvConfig

USAGE = """\
usage: embrl agents import FILE [FILE ...] --out POP [--environment ENV] [--env.* ...]
                           [--episodes N] [--seed K] [--activation {activations}]
                           [--layers NAME [NAME ...]]

Adds policies that were trained elsewhere to a population, or makes one of them. Each is evaluated
and becomes a lineage of its own. Nothing in a file is run.

  FILE               a PyTorch state dict (.safetensors), or a Stable-Baselines3 model (.zip)
  --out POP          the population folder
  --environment ENV  where they act (default: the population's, or cart_pole), and its settings;
                     there are {names}
  --episodes N       that each is evaluated on (default: the population's, or 100)
  --seed K           of these episodes (default: 0)
  --activation A     between layers (default: what the file says, else tanh or, for DQN, relu)
  --layers NAME ...  a state dict's layers in order, where numbers in their names do not tell"""


@dataclasses.dataclass(frozen=True)
class _Default:
    """Of flags, from the population that is there, if one is."""

    environment: str
    env: EnvConfig
    episodes: int


def import_(arguments: Sequence[str]) -> None:
    """Parses, imports, says how good they are."""
    if not {"-h", "--help"}.isdisjoint(arguments):
        load_installed_plugins()  # to be named
    names, activations = ", ".join(ENVIRONMENTS), "|".join(ACTIVATIONS)
    finish_help(arguments, USAGE.format(names=names, activations=activations))
    prepare_jax()
    default = _default(arguments)
    given: Any = parse(_flags(default), arguments, "embrl agents import")
    if not given.files:
        raise EmbrlError("import what? embrl agents import FILE ... --out POP")
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
        raise EmbrlError(f"seed is {seed}: choose 0 to 4294967295")
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
    """A dataclass of the flags for these defaults."""
    activations = Literal[tuple(ACTIVATIONS)] | None  # type: ignore[valid-type]
    return dataclasses.make_dataclass(
        "Import",
        [
            ("files", Annotated[tuple[Path, ...], tyro.conf.Positional]),
            ("out", Path),
            field("environment", str, default.environment, "Where they act."),
            field("episodes", int, default.episodes, "That each is evaluated on."),
            field("seed", int, 0, "Of these episodes."),
            field("activation", activations, None, "Between layers."),
            field("layers", tuple[str, ...], (), "A state dict's layers, in order."),
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
