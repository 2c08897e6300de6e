"""Flags of executors, shared by the commands whose work is many runs."""

import dataclasses
import inspect
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from rich.console import Console

from embrl.cli.parsing import Flag, flags_of, parse_flags
from embrl.executors.options import ExecutorOptions
from embrl.executors.tasks import Executor

Command = TypeVar("Command")

COMMON = ("executor", "workers")
"""Settings that `--help` shows."""

NAMES = tuple(f"--{field.name}".replace("_", "-") for field in dataclasses.fields(ExecutorOptions))
"""Flags of executors on the command line."""


def executor_flags(common: Collection[str] = COMMON) -> list[Flag]:
    """Return the flags of executors, of which `--help` shows those named in `common`."""
    return flags_of(ExecutorOptions(), common=common)


def parse_with_executor(
    kind: type[Command], arguments: Sequence[str], program: str, names: str = ""
) -> tuple[Command, dict[str, Any]]:
    """Return an instance of a dataclass as `parse` does, and the values of flags of executors.

    Args:
        kind: the dataclass; its fields are the command's own flags.
        arguments: of the command line.
        program: the command, for help texts.
        names: replaces `{names}` in help texts.

    Raises:
        EmbrlError: an argument is wrong.
    """
    own = [
        dataclasses.replace(flag, text=flag.text.replace("{names}", names))
        for flag in flags_of(kind)
    ]
    about = inspect.getdoc(kind) or ""
    values = parse_flags([*own, *executor_flags()], arguments, program, about)
    return kind(**{flag.name: values.pop(flag.name) for flag in own}), values


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
