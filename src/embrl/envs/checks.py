"""Checks that the settings of several environments need."""

import math

from embrl.core.errors import EmbrlError


def check_whole(field: str, value: object, low: int, high: int | None = None) -> None:
    """Refuses settings that are no whole number in `low` to `high`, both inclusive.

    Raises:
        EmbrlError: in one line that names the flag.
    """
    flag = f"env.{field.replace('_', '-')}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise EmbrlError(f"{flag} is {value!r}: give a whole number")
    if value < low or (high is not None and value > high):
        choice = f"{low} or more" if high is None else f"{low} to {high:,}"
        raise EmbrlError(f"{flag} is {value}: choose {choice}")


def check_positive(field: str, value: object) -> None:
    """Refuses settings that are no finite number above 0.

    Raises:
        EmbrlError: in one line that names the flag.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0.0 < value < math.inf:  # type: ignore[operator]
        flag = f"env.{field.replace('_', '-')}"
        raise EmbrlError(f"{flag} is {value!r}: give a finite number above 0")
