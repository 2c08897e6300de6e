"""Command `embrl sweep`."""

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
from embrl.core import registry as plugins
from embrl.core.errors import EmbrlError
from embrl.core.runtime import prepare_jax
from embrl.envs import ENVIRONMENTS
from embrl.storage import files
from embrl.sweep import runs as sweeps
from embrl.sweep import table as sweep_table
from embrl.sweep.grids import GRIDS

USAGE = """\
usage: embrl sweep ENV --over NAME VALUE [VALUE ...] [--over ...] [--grid {grids}]
                   [--by auc|final] [--replicas N] [--out DIR] [all flags of embrl train]
       embrl sweep --resume --out DIR

Train every point of a grid of settings, with points in parallel where possible, and write table.md,
table.csv, grid.png and sweep.json, which has the best point as flags of embrl train.

  --over NAME VALUE ...   name of a setting's flag, and the values to try; values that are lists are
                          written with commas: --over policy.hidden 64,64 128,128
  --grid NAME             named grid; --over adds settings to it, or replaces their values
  --by auc|final          score of a point: mean return over training (default), or final return
  --replicas N            maximum number of replicas (seeds of all points) trained at once
                          (default: {replicas})
  --seed N                random seed (default: 1); not 0, which embrl train reports with: a point
                          must be chosen on seeds that the report does not use
  --resume                continue an interrupted sweep

embrl sweep ENV --help lists all flags of an environment."""

OVER = "--over"

OWN = (OVER, "--grid", "--by", "--replicas", "--seed", "--seeds", "--out", "--resume")
"""Flags of a sweep that `embrl train` does not take over."""


def sweep(arguments: Sequence[str]) -> None:
    """Parse the arguments, train every point and print which is best."""
    prepare_jax()
    if not arguments or not {"-h", "--help"}.isdisjoint(arguments):
        plugins.load_installed()  # so that the help names their environments
    if not arguments or arguments[0].startswith("-"):
        finish_help(arguments, USAGE.format(grids="|".join(GRIDS), replicas=sweeps.REPLICAS))
        plan, out, resume = _resumed(arguments)
        rest = files.read_json(out / sweeps.FILE).get("train", [])
    else:
        environment, *rest = arguments
        over, flags = _without_over(rest)
        config, given = configured(environment, flags, "sweep", seed=1, extra=_own_flags())
        grid = GRIDS[given.grid](config) if given.grid else {}
        grid = {**grid, **_values(config, over)}
        plan = sweeps.Sweep(config, grid, given.by, given.replicas)
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
            "Name of a setting's flag, and the values to try. May be given several times.",
        ),
        field("grid", str, "", f"Named grid: {', '.join(GRIDS)}."),
        field("by", sweeps.By, "auc", "Score of a point: mean return over training, or the last."),
        field(
            "replicas",
            int,
            sweeps.REPLICAS,
            "Maximum number of replicas trained at once, 1 or more.",
        ),
    ]


@dataclasses.dataclass(frozen=True)
class _ResumeSweep:
    out: Path
    """Folder of the sweep to continue."""
    resume: bool = False
    """Continue an interrupted sweep."""


def _resumed(arguments: Sequence[str]) -> tuple[sweeps.Sweep, Path, bool]:
    if "--resume" not in arguments:
        raise EmbrlError(
            f"ENV must be one of {', '.join(ENVIRONMENTS)}, got nothing; for example embrl sweep "
            "gridworld --grid paper"
        )
    given = parse(_ResumeSweep, arguments, "embrl sweep")
    return sweeps.planned(given.out), given.out, True


def _without_over(arguments: Sequence[str]) -> tuple[list[list[str]], list[str]]:
    """Return the words that follow each `--over`, and the other arguments."""
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
    """Return the arguments without the flags `names` and their values."""
    rest: list[str] = []
    dropping = False
    for argument in arguments:
        if argument.startswith("--"):
            dropping = argument.partition("=")[0] in names
        if not dropping:
            rest.append(argument)
    return rest


def _values(config: RunConfig, over: Sequence[Sequence[str]]) -> dict[str, tuple[Any, ...]]:
    """Parse the values of each `--over`, by dotted name."""
    grid: dict[str, tuple[Any, ...]] = {}
    for name, *texts in ([*words, *[""] * (not words)] for words in over):
        name = _dotted(config, name)
        if name in grid:
            raise EmbrlError(f"{OVER} {name} is given twice; put all values in one list")
        if not texts:
            raise EmbrlError(f"{OVER} {name} must have at least one value, got none")
        kind = settings(config)[name]
        grid[name] = tuple(_value(name, kind, text) for text in texts)
    return grid


def _dotted(config: RunConfig, name: str) -> str:
    """Return the dotted name of a setting from the name of its flag."""
    if not name:
        raise EmbrlError(f"{OVER} must be followed by a setting and the values to try, got nothing")
    plain = name.removeprefix("--").replace("-", "_")
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


def _write(result: sweeps.SweepResult, out: Path, rest: Sequence[str]) -> None:
    from embrl.sweep import figure as sweep_figure

    files.write_text(out / "table.md", sweep_table.to_markdown(result))
    files.write_text(out / "table.csv", sweep_table.to_csv(result))
    sweep_figure.draw(result, out / "grid.png")
    command = ["embrl", "train", *rest]
    files.write_json(
        out / sweeps.FILE, {"train": list(rest), **sweep_table.as_json(result, command)}
    )


def _report(result: sweeps.SweepResult, out: Path, console: Console) -> None:
    console.print(sweep_table.to_rich(result))
    if result.best.diverged:
        console.print("every point diverged; try smaller learning rates")
    else:
        chosen = sweep_table.flags(result.sweep.config, dict(result.best.settings))
        console.print(f"best: {' '.join(chosen)}", highlight=False, soft_wrap=True)
        for name in sweep_table.edges(result):
            console.print(f"{name} is best at the edge of the values tried; try values beyond it")
    console.print(f"{result.wall_s:.1f} s\n{out}", highlight=False, soft_wrap=True)
