"""Command `embrl batch RUNS.toml`."""

import dataclasses
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from embrl.cli.executor_flags import make_chosen, parse_with_executor
from embrl.core.errors import EmbrlError, SettingError
from embrl.core.runtime import prepare_jax
from embrl.executors.tasks import FILE, Task, TaskReport, check_complete, missing, write_reports
from embrl.report.console import plain_console
from embrl.storage import files
from embrl.storage.lock import locked
from embrl.storage.run_folder import RunFolder

if TYPE_CHECKING:
    from rich.table import Table

    from embrl.config.run import RunConfig

TABLE = "table.md"

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ +-]*")
"""Names of runs, which are those of folders."""

OWN = ("out", "resume", "log")
"""Flags of `embrl train` that a run of a list cannot have."""


@dataclasses.dataclass(frozen=True)
class _Batch:
    """Train a list of runs, each in a folder of its own.

    The file has a table [[runs]] for each run with its name, its environment and flags of embrl
    train as keys, and may have a table [defaults] with flags of all runs. The same command
    continues after an interruption.
    """

    file: Annotated[Path, tyro.conf.Positional]
    """TOML file with the runs."""
    out: Path | None = None
    """Folder to write. Default: runs/FILE, without its ending."""


def batch(arguments: Sequence[str]) -> None:
    """Train all runs of a file and print a table of them."""
    given, values = parse_with_executor(_Batch, arguments, "embrl batch")
    prepare_jax()
    console = plain_console()
    executor = make_chosen(values, console)
    configs = read_runs(given.file)
    from embrl.executors.train_task import run_task
    from embrl.sweep.runs import check_configs

    check_configs(list(configs.values()))
    out = given.out or Path("runs") / given.file.stem
    with locked(out):
        tasks = [run_task(name, config, out / name) for name, config in configs.items()]
        # Also of those that are complete: they are checked to be the same runs.
        reports = executor.run(tasks, given.file.stem)
        write_reports(reports, out)
        rows = [_row(task, report) for task, report in zip(tasks, reports, strict=True)]
        files.write_text(out / TABLE, _markdown(rows))
    console.print(_rich(rows))
    console.print(str(out), soft_wrap=True)
    advice = f"the same command tries them again (reasons are in {out / FILE})"
    check_complete(missing(reports), len(tasks), advice)


def read_runs(path: Path) -> "dict[str, RunConfig]":
    """Return the configurations that a file describes, by name.

    Raises:
        EmbrlError: the file is missing or no TOML, or a run is wrong; the message names it.
    """
    from embrl.cli.flags import configured

    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EmbrlError(f"{path} must be a TOML file with runs, got {reason}") from error
    runs, defaults = content.pop("runs", []), content.pop("defaults", {})
    if content:
        raise EmbrlError(
            f"{path} must have only [defaults] and [[runs]], got {', '.join(content)}; settings "
            "stand below one of them"
        )
    if not isinstance(runs, list) or not runs or not all(isinstance(run, dict) for run in runs):
        raise EmbrlError(f"{path} must have one or more tables [[runs]], got none")
    if not isinstance(defaults, dict):
        raise EmbrlError(f"{path}: defaults must be a table, got {defaults!r}")
    found: dict[str, RunConfig] = {}
    for number, run in enumerate(runs, start=1):
        settings = _merged(defaults, run)
        name, environment = settings.pop("name", None), settings.pop("environment", None)
        where = f"{path}: run {number}"
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise EmbrlError(
                f"{where}: name must be letters, digits and . _ - + with one of the first two "
                f"first, got {name!r}"
            )
        if name in found:
            raise EmbrlError(f"{where}: name must differ from those of other runs, got {name}")
        if not isinstance(environment, str):
            raise EmbrlError(f"{where}: environment must be a name, got {environment!r}")
        for forbidden in OWN:
            if forbidden in settings:
                raise EmbrlError(
                    f"{where}: {forbidden} must be left out, got {settings[forbidden]!r}; it is a "
                    "matter of the whole list"
                )
        try:
            found[name], _ = configured(environment, list(_flags(settings)), "batch")
        except EmbrlError as error:
            raise EmbrlError(f"{where} ({name}): {error}") from error
    return found


def _merged(defaults: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a run over the defaults, table by table."""
    found = dict(defaults)
    for name, value in run.items():
        before = found.get(name)
        both = isinstance(value, dict) and isinstance(before, dict)
        found[name] = _merged(before, value) if both else value  # type: ignore[arg-type]
    return found


def _flags(settings: Mapping[str, Any], section: str = "") -> Iterator[str]:
    """Yield the flags of `embrl train` that settings in TOML stand for."""
    for name, value in settings.items():
        flag = f"{section}{name}".replace("_", "-")
        if name == "objectives" and isinstance(value, dict):
            yield "--objectives"
            yield from (str(word) for pair in value.items() for word in pair)
        elif isinstance(value, dict):
            yield from _flags(value, f"{flag}.")
        elif isinstance(value, bool):
            before, dot, last = flag.rpartition(".")
            yield f"--{before}{dot}{'' if value else 'no-'}{last}"
        else:
            yield f"--{flag}"
            yield from map(str, _words(value))


def _words(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _words(item)
    elif isinstance(value, str | int | float):
        yield value
    else:
        raise SettingError("value", "a number, a text, true, false or a list", value)


def _row(task: Task, report: TaskReport) -> dict[str, str]:
    """Return what a table says of a run."""
    row = {"run": task.name, "state": report.state, "final return": "", "attempts": ""}
    row["attempts"] = str(report.attempts)
    if report.state == "done":
        summary = RunFolder(task.out).summary()
        row["final return"] = f"{summary['final_return_mean']:.3f}"
        if (interval := summary["final_return_ci95"]) is not None:
            row["final return"] += " [{:.3f}, {:.3f}]".format(*interval)
    row["reason"] = report.message
    return row


def _markdown(rows: Sequence[Mapping[str, str]]) -> str:
    header = list(rows[0])
    cells = [header, ["---"] * len(header), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |".replace("\n", " ") for line in cells) + "\n"


def _rich(rows: Sequence[Mapping[str, str]]) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    shown = [name for name in rows[0] if name != "reason" or any(row["reason"] for row in rows)]
    for name in shown:
        table.add_column(name)
    for row in rows:
        table.add_row(*(Text(row[name]) for name in shown))
    return table
