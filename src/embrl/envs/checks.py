"""Checks of environment settings; each error names the flag and the value."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from embrl.core.errors import EmbrlError


def check_whole(field: str, value: object, low: int, high: int | None = None) -> None:
    """Check that a setting is an integer in a range.

    Args:
        field: Name of the setting.
        value: Its value.
        low: Smallest value allowed.
        high: Largest value allowed; None: no limit.

    Raises:
        EmbrlError: If it is not.
    """
    limits = f"of at least {low}" if high is None else f"from {low} to {high:,}"
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):  # type: ignore[operator]
        raise EmbrlError(f"{_flag(field)} must be an integer {limits}, got {value!r}")


def check_number(field: str, value: object, low: float, high: float = math.inf) -> None:
    """Check that a setting is a finite number in a range, bounds included.

    Args:
        field: Name of the setting.
        value: Its value.
        low: Smallest value allowed.
        high: Largest value allowed.

    Raises:
        EmbrlError: If it is not.
    """
    limits = f"of at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
    if not _is_finite(value) or not low <= value <= high:  # type: ignore[operator]
        raise EmbrlError(f"{_flag(field)} must be a finite number {limits}, got {value!r}")


def check_positive(field: str, value: object) -> None:
    """Check that a setting is a finite number above 0.

    Raises:
        EmbrlError: If it is not.
    """
    if not _is_finite(value) or not value > 0:  # type: ignore[operator]
        raise EmbrlError(f"{_flag(field)} must be a finite number above 0, got {value!r}")


def check_choice(field: str, value: object, choices: Sequence[str]) -> None:
    """Check that a setting is one of some words.

    Raises:
        EmbrlError: If it is not.
    """
    if value not in choices:
        raise EmbrlError(f"{_flag(field)} must be {' or '.join(choices)}, got {value!r}")


def check_physics(config: Any) -> None:
    """Check the settings of a simulated mechanism: a step limit, and positive physical constants.

    Args:
        config: A dataclass with a field `step_limit`; all others are constants.

    Raises:
        EmbrlError: If one of them is out of range.
    """
    for field in dataclasses.fields(config):
        if field.name != "step_limit":
            check_positive(field.name, getattr(config, field.name))
    check_whole("step_limit", config.step_limit, 1)


def _is_finite(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)  # type: ignore[arg-type]


def _flag(field: str) -> str:
    return f"env.{field.replace('_', '-')}"
