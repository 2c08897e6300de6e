"""The errors that embrl raises for things a user can put right."""

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class EmbrlError(Exception):
    """Bad input. The message is one line: what is wrong, where, and what would be right.

    The command line prints it and exits with code 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))  # some of what it quotes has line breaks


class UnknownNameError(EmbrlError):
    """A name that is in no registry; the message offers the nearest known ones, and `otherwise`."""

    def __init__(self, kind: str, name: str, known: Iterable[str], otherwise: str = "") -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(known)}"
        end = "" if near or not otherwise else "."
        super().__init__(f"unknown {kind} {name!r}: {hint}{end} {otherwise}")


def require(module: str, extra: str) -> ModuleType:
    """Imports an optional dependency.

    Raises:
        EmbrlError: it is not installed; the message names the pip command.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise EmbrlError(
            f"this needs {module.partition('.')[0]}: pip install 'embrl[{extra}]'"
        ) from error
