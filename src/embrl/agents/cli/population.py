"""Commands `embrl agents collect [ENV]` and `embrl agents import FILE ...`."""

import dataclasses
import inspect
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import numpy as np
import tyro
from rich.console import Console

from embrl.agents import collect as collecting
from embrl.agents.collect import FILE, CollectConfig, planned
from embrl.agents.episodes import survival
from embrl.agents.groups import Groups
from embrl.agents.importing import import_agents
from embrl.agents.lineages import LineageConfig
from embrl.agents.population import RECORD, Population
from embrl.cli.executor_flags import chosen_executor, executor_flags
from embrl.cli.parsing import Flag, Switch, flags_of, parse_flags, section_values, value_of
from embrl.core.errors import SettingError
from embrl.core.nn import ACTIVATIONS
from embrl.core.runtime import prepare_jax
from embrl.envs import ENVIRONMENTS, EnvConfig
from embrl.report.console import plain_console
from embrl.report.progress_bar import ProgressBar

LINEAGE = tuple(
    part.name
    for part in dataclasses.fields(LineageConfig)
    if part.name not in ("environment", "env")
)
"""Settings of lineages that have a flag."""

COMMON = ("lineages", "episodes", "checkpoints", "hidden", "algorithm", "learning_rate", "seed")
"""Settings that `--help` shows."""


@dataclasses.dataclass(frozen=True)
class _Collect:
    """Train many small policies at once, and take agents of each along the way.

    The agents are of every skill, from untrained to optimal. Each is evaluated on whole episodes,
    and all are written to a population folder, which docs/agents/collecting.md describes.
    """

    env: Annotated[str, tyro.conf.Positional] = "cart_pole"
    """Environment whose observations are vectors."""
    out: Path = Path("runs/agents")
    """Folder to write."""
    resume: Switch = False
    """Continue the collection in that folder; the result is the same."""


def collect(arguments: Sequence[str]) -> None:
    """Parse the arguments, collect a population and print a summary."""
    prepare_jax()
    config, out, resume, values = _configured(arguments)
    console = plain_console()
    executor = chosen_executor(values, console)
    started = time.perf_counter()
    if executor is not None:  # it has a bar of its own
        population = collecting.collect(config, out, resume=resume, executor=executor)
    else:
        with ProgressBar(console, f"agents of {config.runs.environment}") as bar:
            population = collecting.collect(config, out, resume=resume, on_progress=bar.show)
    _report_collected(population, console, time.perf_counter() - started)


def _collect_defaults(environment: str) -> CollectConfig:
    return CollectConfig(LineageConfig(environment, ENVIRONMENTS[environment]()))


def _configured(
    arguments: Sequence[str],
) -> tuple[CollectConfig, Path, bool, dict[str, Any]]:
    """Return the collection of the flags, its folder, whether it is resumed, and all values."""
    named = bool(arguments) and not arguments[0].startswith("-")
    environment, rest = (arguments[0], arguments[1:]) if named else (_Collect.env, arguments)
    # The flags' defaults depend on these, so they are read first.
    out = Path(value_of("--out", rest, f"runs/agents/{environment}"))
    default = None
    if "--resume" in rest and (out / FILE).exists():
        default = planned(out)
        if named and default.runs.environment != environment:
            default = None
    default = default or _collect_defaults(environment)
    values = parse_flags(
        [*_collect_flags(default, out), *executor_flags()],
        [environment, *rest],
        "embrl agents collect",
        inspect.getdoc(_Collect) or "",
    )
    runs = {name: values[name] for name in LINEAGE}
    env = dataclasses.replace(default.runs.env, **section_values(values, "env"))  # type: ignore[type-var]
    config = dataclasses.replace(
        default,
        runs=dataclasses.replace(default.runs, env=env, **runs),
        **{name: values[name] for name in ("lineages", "episodes", "block")},
    )
    return config, values["out"], values["resume"], values


def _collect_flags(default: CollectConfig, out: Path) -> list[Flag]:
    """Return the flags for these defaults."""
    changed = {
        "env": {"text": f"Environment whose observations are vectors: {', '.join(ENVIRONMENTS)}."},
        "out": {"default": out},
        "algorithm": {"kind": Literal["vpg", "ppo"]},
    }
    flags = [
        *flags_of(_Collect),
        *(flag for flag in flags_of(default, common=COMMON) if flag.name != "runs"),
        *(flag for flag in flags_of(default.runs, common=COMMON) if flag.name in LINEAGE),
        *flags_of(default.runs.env, "env", common=()),
    ]
    return [dataclasses.replace(flag, **changed.get(flag.name, {})) for flag in flags]


def _report_collected(population: Population, console: Console, seconds: float) -> None:
    table = population.table()
    lines = [f"{population.count:,} agents {population.architecture}"]
    if population.count:
        returns, survived = table["return_mean"], table["survival_mean"]
        lines[0] += (
            f", {population.episodes} episodes each: mean survival {survived.mean():.1f} steps, "
            f"mean return {returns.mean():.1f} (worst {returns.min():.1f}, "
            f"best {returns.max():.1f})"
        )
        groups = Groups.default(population.environment, returns)
        fractions = np.bincount(groups.of(returns), minlength=groups.count) / population.count
        parts = (
            f"{name} {fraction:.0%}" for name, fraction in zip(groups.names, fractions, strict=True)
        )
        lines.append(f"mean return {', '.join(parts)}")
    lines += [f"{seconds:.1f} s", str(population.path)]
    console.print("\n".join(lines), soft_wrap=True)


@dataclasses.dataclass(frozen=True)
class _Import:
    """Add policies that were trained elsewhere to a population.

    The population is created if there is none. Each policy is evaluated and becomes a lineage of
    its own. Nothing in a file is executed.
    """

    file: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """PyTorch state dicts (.safetensors), or models of Stable-Baselines3 (.zip)."""
    out: Path
    """Population folder."""
    environment: str = "cart_pole"
    """Environment of the agents. Default: the population's."""
    episodes: int = 100
    """Evaluation episodes of each agent. Default: the population's."""
    seed: int = 0
    """Random seed of these episodes, 0 to 4294967295."""
    activation: Literal[tuple(ACTIVATIONS)] | None = None  # type: ignore[valid-type]
    """Activation between layers. Default: as stored, else tanh or, for DQN, relu."""
    layers: tuple[str, ...] = ()
    """Names of a state dict's layers in order. Default: numbers in them determine it."""


@dataclasses.dataclass(frozen=True)
class _ImportDefaults:
    """Defaults of flags, from the existing population if there is one."""

    environment: str
    env: EnvConfig
    episodes: int


def import_(arguments: Sequence[str]) -> None:
    """Parse the arguments, import agents and print their scores."""
    prepare_jax()
    default = _import_defaults(arguments)
    own = [
        dataclasses.replace(flag, default=getattr(default, flag.name, flag.default))
        for flag in flags_of(_Import)
    ]
    values = parse_flags(
        [*own, *flags_of(default.env, "env", common=())],
        arguments,
        "embrl agents import",
        inspect.getdoc(_Import) or "",
    )
    given = _Import(**{flag.name: values[flag.name] for flag in own})
    config: Any = dataclasses.replace(default.env, **section_values(values, "env"))  # type: ignore[type-var]
    if not given.file:
        raise SettingError("FILE", "one or more files", "none")
    env, key = config.build(), jax.random.key(_checked(given.seed))
    before = Population(given.out).count if (given.out / RECORD).exists() else 0
    population = import_agents(
        given.file,
        given.out,
        given.environment,
        config,
        lambda architecture, w: survival(env, architecture, w, key, given.episodes),
        activation=given.activation,
        layers=given.layers or None,
    )
    _report_imported(population, before, given.file)


def _checked(seed: int) -> int:
    if not 0 <= seed < 2**32:
        raise SettingError("seed", "0 to 4294967295", seed)
    return seed


def _import_defaults(arguments: Sequence[str]) -> _ImportDefaults:
    out = value_of("--out", arguments, "")
    if out and (Path(out) / RECORD).exists():
        there = Population(out)
        default = _ImportDefaults(there.environment, there.env, there.episodes)
    else:
        name = _Import.environment
        default = _ImportDefaults(name, ENVIRONMENTS[name](), _Import.episodes)
    environment = value_of("--environment", arguments, default.environment)
    if environment != default.environment:
        return _ImportDefaults(environment, ENVIRONMENTS[environment](), default.episodes)
    return default


def _report_imported(population: Population, before: int, files: Sequence[Path]) -> None:
    console, table = plain_console(), population.table()
    for path, mean, survived in zip(
        files,
        table["return_mean"][before:].tolist(),
        table["survival_mean"][before:].tolist(),
        strict=True,
    ):
        console.print(
            f"{path}: mean return {mean:.1f}, mean survival {survived:.1f} steps over "
            f"{population.episodes} episodes",
            soft_wrap=True,
        )
    console.print(
        f"{population.count:,} agents {population.architecture}\n{population.path}",
        soft_wrap=True,
    )
