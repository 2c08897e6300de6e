"""Errors and warnings about input that a user can correct."""

import difflib
import importlib
import math
import warnings
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

LONGEST = 1600
"""Characters of a message, beyond which its middle is left out."""


class EmbrlError(Exception):
    """Bad input, described in one line: what is wrong, where, and what to do.

    The command line prints the message and exits with code 2.
    """

    def __init__(self, message: str) -> None:
        # Quoted text may contain line breaks; and Gymnasium, which brings errors from another
        # process, makes them again from the error itself.
        line = " ".join(str(message).split())
        if len(line) > LONGEST:  # it quotes a value of any length
            line = f"{line[: LONGEST - 400]} ... {line[-300:]}"
        super().__init__(line)


def told(error: BaseException) -> str:
    """Return the type of an exception of somebody's code, and its words, which may fail."""
    try:
        said = str(error)
    except Exception:
        said = ""
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


class EmbrlWarning(UserWarning):
    """Input that is taken as it is, and what a user should know of it, in one line."""


class WarnOnce:
    """Warnings of one owner, such as an environment or a policy: each subject is told once."""

    def __init__(self) -> None:
        self._told: set[object] = set()

    def __call__(self, subject: object, message: str) -> None:
        """Warn, unless there was a warning about this subject."""
        if subject not in self._told:
            self._told.add(subject)
            warnings.warn(EmbrlWarning(" ".join(message.split())), stacklevel=3)


class UnknownNameError(EmbrlError):
    """A name that is in no registry; the message offers the nearest known names."""

    def __init__(self, kind: str, name: str, known: Iterable[str], otherwise: str = "") -> None:
        """Compose the message.

        Args:
            kind: what the name should be, as `environment`.
            name: the unknown name.
            known: all names of that kind.
            otherwise: advice to append.
        """
        known = sorted(set(known) - {name})  # it may be known elsewhere, where it does not fit
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(known)}"
        end = "" if near or not otherwise else "."
        super().__init__(f"unknown {kind} {name!r}: {hint}{end} {otherwise}")


class SettingError(EmbrlError):
    """A setting with a value that it cannot have."""

    def __init__(self, setting: str, constraint: str, value: Any, advice: str = "") -> None:
        """Compose `<setting> must be <constraint>, got <value>; <advice>`."""
        super().__init__(
            f"{setting} must be {constraint}, got {value}" + (f"; {advice}" if advice else "")
        )


def check_positive(setting: str, value: float) -> None:
    """Raise `SettingError` unless the value is greater than 0."""
    if not value > 0:
        raise SettingError(setting, "greater than 0", value)


def check_at_least(setting: str, value: float, least: float) -> None:
    """Raise `SettingError` unless the value is `least` or greater."""
    if not value >= least:
        raise SettingError(setting, f"at least {least:g}", value)


def check_fraction(setting: str, value: float, *, zero: bool = True, one: bool = True) -> None:
    """Raise `SettingError` unless the value lies between 0 and 1.

    Args:
        setting: its dotted name.
        value: its value.
        zero: whether 0 itself is allowed.
        one: whether 1 itself is allowed.
    """
    if not (0.0 < value < 1.0 or (zero and value == 0.0) or (one and value == 1.0)):
        low, high = "[" if zero else "(", "]" if one else ")"
        raise SettingError(setting, f"in {low}0, 1{high}", value)


def check_multiple(setting: str, value: int, of: str, unit: int) -> None:
    """Raise `SettingError` unless the value is a positive multiple of another setting's."""
    if value < 1 or value % unit:
        raise SettingError(setting, f"a positive multiple of {of} ({unit})", value)


LARGEST_WHOLE = 2**31 - 1
"""Largest whole number that is counted with."""
LARGEST = 3.4e38
"""Largest number that float32 has."""


def check_numbers(settings: Mapping[str, Any], prefix: str = "") -> None:
    """Raise `SettingError` if a number among nested settings cannot be computed with.

    Numbers must be finite in float32, and whole numbers in int32, but for `total_timesteps` and
    `seed`, which have limits of their own.
    """
    for name, value in settings.items():
        if isinstance(value, dict):
            check_numbers(value, f"{prefix}{name}.")
        elif f"{prefix}{name}" not in ("total_timesteps", "seed"):
            for each in value if isinstance(value, list | tuple) else [value]:
                _check_number(f"{prefix}{name}", each)


def _check_number(setting: str, value: Any) -> None:
    if isinstance(value, list | tuple):
        for each in value:
            _check_number(setting, each)
    elif isinstance(value, int) and abs(value) > LARGEST_WHOLE:
        raise SettingError(setting, f"at most {LARGEST_WHOLE:,}", f"{value:,}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise SettingError(setting, "finite", value)
    elif isinstance(value, float) and abs(value) > LARGEST:
        raise SettingError(setting, f"at most {LARGEST:g}", value)


def require(module: str, extra: str) -> ModuleType:
    """Import an optional dependency.

    Raises:
        EmbrlError: it is not installed; the message gives the pip command.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # What is missing may also be something that the module itself imports.
        name = (error.name or module).partition(".")[0]
        raise EmbrlError(f"{name} is not installed; pip install 'embrl[{extra}]'") from error
