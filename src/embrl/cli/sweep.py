"""`embrl sweep ENV --over NAME VALUE VALUE ...`"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from embrl.cli.flags import configured, field
from embrl.cli.main import STARTED
from embrl.cli.parsing import finish_help, parse
from embrl.cli.progress import ProgressBar
from embrl.config.run import RunConfig
from embrl.config.settings_by_name import settings, validate_name
from embrl.core.errors import EmbrlError
from embrl.core.registry import load_installed_plugins
from embrl.core.runtime import prepare_jax
from embrl.envs import ENVIRONMENTS
from embrl.experiments import sweep as sweeps
from embrl.experiments import sweep_table
from embrl.experiments.grids import GRIDS
from embrl.storage import files

USAGE = """\
usage: embrl sweep ENV --over NAME VALUE [VALUE ...] [--over ...] [--grid {grids}]
                   [--by auc|final] [--rows N] [--out DIR] [all flags of embrl train]
       embrl sweep --resume --out DIR

Trains every point of a grid, the points side by side as seeds are, and writes table.md, table.csv,
grid.png and sweep.json with the best point as flags of embrl train.

  --over NAME VALUE ...   a setting by its flag's name and the values to try; the lists of a setting
                          that is one itself have commas: --over policy.hidden 64,64 128,128
  --grid NAME             a grid that is known by name; --over adds to it, or replaces its values
  --by auc|final          what is best: the mean return over training (default), or the last
  --rows N                seeds of all points that are trained at once, at most (default {rows})
  --seed N                default 1: reports (embrl train) use 0, and a point must be chosen on
                          seeds that the report does not use

embrl sweep ENV --help lists all flags of an environment."""

OVER = "--over"

OWN = (OVER, "--grid", "--by", "--rows", "--seed", "--seeds", "--out", "--resume")
"""Flags that `embrl train` is not to have from a sweep."""


def sweep(arguments: Sequence[str]) -> None:
    """Parses, trains every point, says which is best."""
    prepare_jax()
    if not arguments or not {"-h", "--help"}.isdisjoint(arguments):
        load_installed_plugins()  # to be named
    if not arguments or arguments[0].startswith("-"):
        finish_help(arguments, USAGE.format(grids="|".join(GRIDS), rows=sweeps.ROWS))
        plan, out, resume = _resumed(arguments)
        rest = files.read_json(out / sweeps.FILE).get("train", [])
    else:
        environment, *rest = arguments
        over, flags = _without_over(rest)
        config, given = configured(environment, flags, "sweep", seed=1, extra=_own_flags())
        grid = GRIDS[given.grid](config) if given.grid else {}
        grid = {**grid, **_values(config, over)}
        plan = sweeps.Sweep(config, grid, given.by, given.rows)
        out, resume, rest = given.out, given.resume, [environment, *_without(OWN, rest)]
    console = Console()
    with ProgressBar(console, plan.config) as bar:
        result = sweeps.run(
            plan,
            out,
            resume=resume,
            train_flags=rest,
            begin=lambda number, of: bar.begin(f"run {number} of {of}"),
            started=STARTED,
        )
    _write(result, out, rest)
    _report(result, out, console)


def _own_flags() -> list[Any]:
    return [
        field(
            "over",
            tuple[str, ...],
            (),
            "A setting by its flag's name, and the values to try. May be given several times.",
        ),
        field("grid", str, "", f"A grid that is known by name: {', '.join(GRIDS)}."),
        field("by", sweeps.By, "auc", "What makes a point the best."),
        field("rows", int, sweeps.ROWS, "Seeds of all points that are trained at once, at most."),
    ]


@dataclasses.dataclass(frozen=True)
class _Resume:
    out: Path
    """The folder of a sweep to go on with."""
    resume: bool = False
    """Go on where it stopped."""


def _resumed(arguments: Sequence[str]) -> tuple[sweeps.Sweep, Path, bool]:
    if "--resume" not in arguments:
        raise EmbrlError(
            f"sweep what? embrl sweep ENV --over NAME VALUE VALUE, where ENV is one of "
            f"{', '.join(ENVIRONMENTS)}"
        )
    given = parse(_Resume, arguments, "embrl sweep")
    return sweeps.planned(given.out), given.out, True


def _without_over(arguments: Sequence[str]) -> tuple[list[list[str]], list[str]]:
    """What each `--over` names, and the other arguments."""
    over: list[list[str]] = []
    rest: list[str] = []
    taking = False
    for argument in arguments:
        if argument.partition("=")[0] == OVER:
            over.append([argument.partition("=")[2]] if "=" in argument else [])
            taking = True
        elif argument.startswith("--") or argument == "-h":
            taking = False
            rest.append(argument)
        else:
            (over[-1] if taking else rest).append(argument)
    return over, rest


def _without(names: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """The arguments but for these flags and what stands behind them."""
    rest: list[str] = []
    dropping = False
    for argument in arguments:
        if argument.startswith("--"):
            dropping = argument.partition("=")[0] in names
        if not dropping:
            rest.append(argument)
    return rest


def _values(config: RunConfig, over: Sequence[Sequence[str]]) -> dict[str, tuple[Any, ...]]:
    """Values of the right type, by dotted name."""
    grid: dict[str, tuple[Any, ...]] = {}
    for name, *texts in ([*words, *[""] * (not words)] for words in over):
        name = _dotted(config, name)
        if name in grid:
            raise EmbrlError(f"{OVER} {name} is given twice: put its values in one list")
        if not texts:
            raise EmbrlError(f"{OVER} {name} takes the values to try")
        kind = settings(config)[name]
        grid[name] = tuple(_value(name, kind, text) for text in texts)
    return grid


def _dotted(config: RunConfig, name: str) -> str:
    """A setting's name in the configuration, from its flag's."""
    if not name:
        raise EmbrlError(f"{OVER} takes a setting and the values to try")
    plain = name.removeprefix("--").replace("-", "_")
    section, dot, field_ = plain.partition(".")
    if section == config.algorithm:
        plain = f"hyper{dot}{field_}"
    validate_name(config, plain)
    return plain


def _value(name: str, kind: Any, text: str) -> Any:
    words = text.split(",") if _is_list(kind) and text != "None" else [text]
    one = dataclasses.make_dataclass(
        "Value", [("value", Annotated[kind, tyro.conf.arg(name="over")])], frozen=True
    )
    try:
        value: Any = parse(one, [OVER, *words], "embrl sweep")
    except EmbrlError as error:
        raise EmbrlError(f"{OVER} {name} {text}: {error}") from error
    return value.value


def _is_list(kind: Any) -> bool:
    return "tuple" in str(kind)


def _write(result: sweeps.Result, out: Path, rest: Sequence[str]) -> None:
    from embrl.experiments import sweep_figure

    files.write_text(out / "table.md", sweep_table.to_markdown(result))
    files.write_text(out / "table.csv", sweep_table.to_csv(result))
    sweep_figure.draw(result, out / "grid.png")
    command = ["embrl", "train", *rest]
    files.write_json(
        out / sweeps.FILE, {"train": list(rest), **sweep_table.as_json(result, command)}
    )


def _report(result: sweeps.Result, out: Path, console: Console) -> None:
    console.print(sweep_table.to_rich(result))
    if result.best.diverged:
        console.print("every point diverged: try smaller learning rates")
    else:
        chosen = sweep_table.flags(result.sweep.config, dict(result.best.settings))
        console.print(f"best: {' '.join(chosen)}", highlight=False, soft_wrap=True)
        for name in sweep_table.edges(result):
            console.print(f"{name} is best at the end of what was tried: try beyond it")
    console.print(f"{result.wall_s:.1f} s\n{out}", highlight=False, soft_wrap=True)
