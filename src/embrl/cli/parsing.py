"""Parsing of flags into dataclasses with tyro, whose boxed messages become one line."""

import contextlib
import io
import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TypeVar

import tyro

from embrl.core.errors import EmbrlError

Settings = TypeVar("Settings")


def parse(kind: type[Settings], arguments: Sequence[str], program: str) -> Settings:
    """Return an instance of a dataclass, from command line arguments.

    Args:
        kind: the dataclass; its fields are the flags.
        arguments: of the command line.
        program: the command, for help texts.

    Raises:
        EmbrlError: an argument is wrong; the message names the flag, what it got and what it takes.
    """
    message = io.StringIO()
    try:
        with contextlib.redirect_stderr(message), _wide_screen("--help" not in arguments):
            return tyro.cli(kind, args=list(arguments), prog=program)
    except SystemExit as exit_:
        if not exit_.code:
            raise  # --help
        raise EmbrlError(_one_line(message.getvalue())) from None


def value_of(flag: str, arguments: Sequence[str], default: str) -> str:
    """Return the value of `--flag value` or `--flag=value`, before the rest can be parsed."""
    for here, after in itertools.zip_longest(arguments, arguments[1:]):
        if here == flag and after is not None:
            return after
        if here.startswith(f"{flag}="):
            return here.partition("=")[2]
    return default


def require_first(arguments: Sequence[str], problem: str, usage: str = "") -> None:
    """Check that a command's positional argument stands first.

    Args:
        arguments: of the command line.
        problem: the message if it does not.
        usage: printed instead, if help was requested; empty: tyro will print it.

    Raises:
        EmbrlError: the first argument is a flag, or there is none.
    """
    if arguments and not arguments[0].startswith("-"):
        return
    if usage:
        finish_help(arguments, usage)
    raise EmbrlError(problem)


def finish_help(arguments: Sequence[str], text: str) -> None:
    """Print `text` and end the command, if help was requested."""
    if "-h" in arguments or "--help" in arguments:
        print(text)
        sys.exit(0)


def _one_line(box: str) -> str:
    lines = [
        line.strip(" │╭╮╰╯─-━┃") if not _is_flag(line) else line.strip(" │")
        for line in box.splitlines()
    ]
    _, *lines = [line for line in lines if line]  # the first is the box's title
    lines = [line for line in lines if not line.startswith("For full helptext")]
    return " ".join(lines).replace("Argument helptext:", "; it takes").replace(" .", ".")


def _is_flag(line: str) -> bool:
    return line.strip(" │").startswith("--") and any(c.isalpha() for c in line)


@contextlib.contextmanager
def _wide_screen(wide: bool) -> Iterator[None]:
    """Keep messages from being broken into lines; help keeps the real width."""
    before = os.environ.get("COLUMNS")
    if wide:
        os.environ["COLUMNS"] = "1000"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("COLUMNS", None)
        else:
            os.environ["COLUMNS"] = before
