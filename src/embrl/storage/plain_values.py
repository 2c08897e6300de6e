"""Conversion of plain values, as JSON holds them, to typed configuration."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from embrl.core.errors import EmbrlError

T = TypeVar("T")


def from_plain(value: Any, kind: type[T], where: str) -> T:
    """Convert a plain value to a type, such as a dataclass of settings.

    Args:
        value: numbers, strings, lists and dictionaries.
        kind: the type to build; unknown keys are refused.
        where: the file and entry, for the message.

    Raises:
        EmbrlError: the value does not fit the type.
    """
    import cattrs

    try:
        return cattrs.Converter(forbid_extra_keys=True).structure(value, kind)
    except Exception as error:  # cattrs raises groups of whatever a value's type raises
        reasons = "; ".join(cattrs.transform_error(error))
        raise EmbrlError(f"{where} is damaged: {reasons}") from error


def require_keys(value: Mapping[str, Any], keys: Iterable[str], where: str | Path) -> None:
    """Check that a JSON object has all of these keys.

    Raises:
        EmbrlError: some are missing; the message names them.
    """
    if missing := sorted(key for key in keys if key not in value):
        raise EmbrlError(f"{where} lacks {', '.join(missing)}")
