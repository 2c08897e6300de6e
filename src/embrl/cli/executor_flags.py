"""Flags of executors, shared by the commands whose work is many runs."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from embrl.cli.parsing import Flag, flags_of
from embrl.executors.options import ExecutorOptions
from embrl.executors.tasks import Executor

COMMON = ("executor", "workers")
"""Settings that `--help` shows."""

NAMES = tuple(f"--{field.name}".replace("_", "-") for field in dataclasses.fields(ExecutorOptions))
"""Flags of executors on the command line."""


def executor_flags() -> list[Flag]:
    """Return the flags of executors."""
    return flags_of(ExecutorOptions(), common=COMMON)


def make_chosen(values: Mapping[str, Any], console: Console) -> Executor:
    """Return the executor that flags describe.

    Args:
        values: values of all flags by name.
        console: where to show progress.

    Raises:
        EmbrlError: a flag is wrong, or Ray is not installed.
    """
    from embrl.executors.choose import make_executor

    return make_executor(_options(values), console)


def chosen_executor(values: Mapping[str, Any], console: Console) -> Executor | None:
    """Return the executor that flags describe; None for this process.

    Without one, commands work as they do where all is done in this process.
    """
    made = make_chosen(values, console)
    return None if _options(values).executor == "local" else made


def _options(values: Mapping[str, Any]) -> ExecutorOptions:
    names = [field.name for field in dataclasses.fields(ExecutorOptions)]
    return ExecutorOptions(**{name: values[name] for name in names})
