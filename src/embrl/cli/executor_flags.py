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


def chosen_executor(values: Mapping[str, Any], console: Console) -> Executor | None:
    """Return the executor that flags describe.

    Args:
        values: values of all flags by name.
        console: where to show progress.

    Returns:
        None for this process, in which commands run as they do without tasks.

    Raises:
        EmbrlError: a flag is wrong, or Ray is not installed.
    """
    from embrl.executors.choose import make_executor

    names = [field.name for field in dataclasses.fields(ExecutorOptions)]
    options = ExecutorOptions(**{name: values[name] for name in names})
    made = make_executor(options, console)
    return None if options.executor == "local" else made
