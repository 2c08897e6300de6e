"""Command `embrl sweep`."""

import dataclasses
import functools
import inspect
import itertools
import shlex
import typing
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console

from embrl import envs
from embrl.cli.executor_flags import NAMES, chosen_executor, executor_flags, parse_with_executor
from embrl.cli.flags import configured
from embrl.cli.main import STARTED
from embrl.cli.parsing import Flag, Switch, parse_flags
from embrl.config.run import RunConfig
from embrl.config.settings_by_name import replaced, settings, validate_name
from embrl.config.used_settings import unused
from embrl.core.errors import EmbrlError, SettingError, require
from embrl.core.runtime import prepare_jax
from embrl.executors.tasks import FILE as TASKS
from embrl.report.console import plain_console
from embrl.report.progress_bar import ProgressBar
from embrl.storage import files
from embrl.sweep import runs as sweeps
from embrl.sweep import table as sweep_table
from embrl.sweep.runs import GRIDS
from embrl.sweep.search import Range, Search

OVER = "--over"

OWN = (
    *(OVER, "--grid", "--search", "--trials", "--batch", "--by", "--replicas"),
    *("--seed", "--seeds", "--out", "--resume"),
    *NAMES,
)
"""Flags of a sweep that `embrl train` does not take over."""


def sweep(arguments: Sequence[str]) -> None:
    """Parse the arguments, train every point and print which is best."""
    prepare_jax()
    if not arguments or arguments[0].startswith("-"):
        plan, out, resume, values = _resumed(arguments)
        rest = files.read_json(out / sweeps.FILE).get("train", [])
    else:
        environment, *rest = arguments
        over, flags = _without_over(rest)
        choices = _choices(over)
        variants, given = _variants(environment, flags, choices)
        config = variants[0].config
        grid = GRIDS[given.grid](config) if given.grid else {}
        mine = _values(config, over)
        ranges = {name: each for name, each in mine.items() if isinstance(each, Range)}
        lists = {name: each for name, each in mine.items() if not isinstance(each, Range)}
        grid = {name: each for name, each in {**grid, **lists}.items() if name not in ranges}
        chosen = tuple(variants) if choices else ()
        search = _search(given)
        plan = sweeps.Sweep(config, grid, given.by, given.replicas, chosen, ranges, search)
        _refuse_unused(plan, mine)
        taken = [f"--{name}" for name in choices]
        out, resume = given.out, given.resume
        rest = [environment, *_without((*OWN, *taken), rest)]
        values = vars(given)
    require("matplotlib", "plot")  # before the work, not after it
    console = plain_console()
    executor = chosen_executor(values, console)
    work = functools.partial(
        sweeps.run, plan, out, resume=resume, train_flags=rest, started=STARTED, executor=executor
    )
    if executor is not None:  # it has a bar of its own
        result = work()
    else:
        with ProgressBar(console, plan.config) as bar:
            result = work(begin=lambda number, of: bar.begin(f"run {number}{_of(plan, of)}"))
    _write(result, out, rest)
    _report(result, out, console)
    if result.missing:
        points = "; ".join(_point_text(point) for point in result.missing[:5])
        raise EmbrlError(
            f"{len(result.missing)} points are missing, as their runs failed ({points}; reasons "
            f"are in {out / TASKS}); {sweeps.AGAIN}"
        )


def _own_flags() -> list[Flag]:
    return [
        Flag(
            "over",
            tuple[str, ...],
            "Setting and values, as policy.hidden 8,8 64,64, or a range LOW:HIGH[:log] to search. "
            "Repeatable.",
            (),
        ),
        Flag(
            "search",
            Literal["grid", "optuna"],
            "All points, or those that optuna tries.",
            "grid",
        ),
        Flag(
            "trials",
            int,
            "Points that --search optuna tries, with each method.",
            Search.trials,
        ),
        Flag(
            "batch",
            int,
            "Number of trials that --search optuna proposes together, to train at the same time.",
            Search.batch,
            common=False,
        ),
        Flag(
            "grid",
            str | None,
            f"Named grid, to which --over adds: {', '.join(GRIDS)}.",
            None,
            common=False,
        ),
        Flag(
            "by",
            sweeps.By,
            "Score of a point: mean return over training, or final return.",
            "auc",
            common=False,
        ),
        Flag(
            "replicas",
            int,
            "Maximum number of replicas (seeds of all points) trained at once, 1 or more.",
            sweeps.REPLICAS,
            common=False,
        ),
    ]


@dataclasses.dataclass(frozen=True)
class _ResumeSweep:
    """Train every point of a grid of settings, and report the best.

    Points train side by side where possible; with --executor, the others in several processes or on
    a Ray cluster. Writes table.md, table.csv, grid.png and sweep.json,
    which has the best point as flags of embrl train.
    """

    env: Annotated[str | None, tyro.conf.Positional] = None
    """Environment, whose settings `embrl sweep ENV --help` lists: {names}."""
    resume: Switch = False
    """Continue the interrupted sweep in the folder --out, instead of ENV."""
    out: Path | None = None
    """Folder of the sweep."""


def _search(given: Any) -> Search | None:
    """Return the search that flags describe, None for a grid.

    Raises:
        SettingError: A flag has no effect.
    """
    found = Search(given.trials, given.batch)
    if given.search == "optuna":
        return found
    for name, value in dataclasses.asdict(found).items():
        if value != getattr(Search(), name):
            raise SettingError(name, "left out without --search optuna", value)
    return None


def _of(plan: sweeps.Sweep, number: int) -> str:
    return f" of {number}" if plan.search is None else ""


def _point_text(point: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {sweep_table.value_text(value)}" for name, value in point.items())


def _resumed(arguments: Sequence[str]) -> tuple[sweeps.Sweep, Path, bool, dict[str, Any]]:
    """Return the sweep in a folder, the folder, and the values of all flags."""
    given, values = parse_with_executor(
        _ResumeSweep, arguments, "embrl sweep", names=envs.listed_names()
    )
    if not given.resume:
        raise SettingError(
            "ENV", f"one of {envs.listed_names()}", "nothing", "embrl sweep gridworld --grid paper"
        )
    if given.out is None:
        raise SettingError("--out", "the folder of the sweep to continue", "nothing")
    return sweeps.planned(given.out), given.out, True, values


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


def _choices(over: Sequence[Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Return the values of each `--over` of a method, an algorithm or an environment."""
    return {
        name: tuple(texts)
        for name, *texts in (words or [""] for words in over)
        if name in sweeps.CHOICES
    }


def _variants(
    environment: str, flags: Sequence[str], choices: Mapping[str, Sequence[str]]
) -> tuple[list[sweeps.SweepVariant], Any]:
    """Return a configuration for each combination of choices, and the values of other flags."""
    given, found = None, []
    for values in itertools.product(*choices.values()):
        choice = dict(zip(choices, values, strict=True))
        rest = _without([f"--{name}" for name in choice], flags)
        more = [
            word
            for name, value in choice.items()
            if name != "environment"
            for word in (f"--{name}", value)
        ]
        config, own = configured(
            choice.get("environment", environment),
            [*rest, *more],
            "sweep",
            seed=1,  # not 0, which reports use: they must not see the seeds that chose a point
            extra=[*_own_flags(), *executor_flags(common=())],  # its help is long
            about=inspect.getdoc(_ResumeSweep) or "",
        )
        given = given or own
        found.append(sweeps.SweepVariant(choice, config))
    if not found:
        name = next(name for name, values in choices.items() if not values)
        raise EmbrlError(f"{OVER} {name} must have at least one value, got none")
    return found, given


def _values(config: RunConfig, over: Sequence[Sequence[str]]) -> dict[str, tuple[Any, ...] | Range]:
    """Parse the values or the range of each `--over`, by dotted name."""
    grid: dict[str, tuple[Any, ...] | Range] = {}
    for name, *texts in ([*words, *[""] * (not words)] for words in over):
        choice = name in sweeps.CHOICES
        name = name if choice else _dotted(config, name)
        if name in grid:
            raise EmbrlError(f"{OVER} {name} is given twice; put all values in one list")
        if not texts:
            raise EmbrlError(f"{OVER} {name} must have at least one value, got none")
        kind = str if choice else settings(config)[name]
        if len(texts) == 1 and ":" in texts[0] and {int, float} & {kind, *typing.get_args(kind)}:
            grid[name] = _range(name, kind, texts[0])
        else:
            grid[name] = tuple(_value(name, kind, text) for text in texts)
    return grid


def _range(name: str, kind: Any, text: str) -> Range:
    low, high, *scale = text.split(":")
    if scale not in ([], ["log"]):
        raise SettingError(f"{OVER} {name}", "LOW:HIGH or LOW:HIGH:log", text)
    found = Range(_value(name, kind, low), _value(name, kind, high), bool(scale))
    found.validate(f"{OVER} {name}")
    return found


def _refuse_unused(plan: sweeps.Sweep, names: Collection[str]) -> None:
    """Refuse settings that have no effect at any point."""
    grid = plan.settings_grid | {name: (each.low,) for name, each in plan.ranges.items()}
    hidden = [
        unused(replaced(variant.config, dict(zip(grid, point, strict=True))))
        for variant in plan.variants
        if not grid.keys() - settings(variant.config).keys()  # else refused, with the right names
        for point in itertools.product(*grid.values())
    ]
    for name in names:
        if hidden and all(name in one for one in hidden):
            constraint = f"left out with {hidden[0][name]}, which ignores it"
            raise SettingError(f"{OVER} {name}", constraint, " ".join(map(str, grid[name])))


def _dotted(config: RunConfig, name: str) -> str:
    """Return the dotted name of a setting from the name of its flag."""
    if not name:
        raise EmbrlError(f"{OVER} must be followed by a setting and the values to try, got nothing")
    plain = name.removeprefix("--").replace("-", "_")
    validate_name(config, plain)
    return plain


def _value(name: str, kind: Any, text: str) -> Any:
    words = text.split(",") if _is_list(kind) and text != "None" else [text]
    try:
        return parse_flags([Flag("over", kind)], [OVER, *words], "embrl sweep")["over"]
    except EmbrlError as error:
        raise EmbrlError(f"{OVER} {name} {text}: {error}") from error


def _is_list(kind: Any) -> bool:
    return "tuple" in str(kind)


def _write(result: sweeps.SweepResult, out: Path, rest: Sequence[str]) -> None:
    from embrl.sweep import figure as sweep_figure

    files.write_text(out / "table.md", sweep_table.to_markdown(result))
    files.write_text(out / "table.csv", sweep_table.to_csv(result))
    sweep_figure.draw(result, out / "grid.png")
    environment = result.best.settings.get("environment", rest[0] if rest else "")
    command = ["embrl", "train", environment, *rest[1:]]
    files.write_json(
        out / sweeps.FILE, {"train": list(rest), **sweep_table.as_json(result, command)}
    )


def _report(result: sweeps.SweepResult, out: Path, console: Console) -> None:
    console.print(sweep_table.to_rich(result))
    if result.best.diverged:
        console.print("every point diverged; try smaller learning rates")
    else:
        chosen = sweep_table.point_flags(result.sweep, result.best.settings)
        where = [
            result.best.settings[name] for name in ("environment",) if name in result.sweep.grid
        ]
        console.print(f"best: {shlex.join([*where, *chosen])}", soft_wrap=True)
        each = sweep_table.best_of_each(result)
        for point in each if len(each) > 1 else ():
            flags = sweep_table.point_flags(result.sweep, point.settings)
            choice = result.sweep.variant(point.settings).choice
            console.print(
                f"best of {' '.join(choice.values())}: {shlex.join(flags)}", soft_wrap=True
            )
        for name in sweep_table.edges(result):
            console.print(f"{name} is best at the edge of the values tried; try values beyond it")
    console.print(f"{result.wall_s:.1f} s\n{out}", soft_wrap=True)
