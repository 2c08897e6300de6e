"""The form of a purchase log, as a user gives it, and a record of what was read."""

import dataclasses
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from embrl.core.errors import SettingError, UnknownNameError
from embrl.envs.recommender.log_layouts import ROLES
from embrl.envs.recommender.log_values import IN_FILE, UNITS, looks_like_format

Returns = Literal["drop", "cancel", "keep"]
Duplicates = Literal["keep", "drop"]
Header = Literal["auto", "yes", "no"]


@dataclasses.dataclass(frozen=True)
class LogFormat:
    """The form of a log. What is left empty is found out."""

    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Names or numbers of columns by role (`ROLES`)."""
    separator: str = ""
    """Separator of a CSV, or its name: comma, semicolon, tab, pipe, space."""
    header: Header = "auto"
    """Whether the first line of a CSV has the names of its columns."""
    time_format: str = ""
    """s, ms, us or ns since a start; a format of strptime; or none: rows are in order."""
    constant_price: float | None = None
    """Price of each item, where there is no column of prices."""
    events: tuple[str, ...] = ()
    """Values of the column of events that are purchases; `all` for all rows."""
    returns: Returns = "drop"
    """What to do with returns: leave them out, also the purchase before, or take them as one."""
    duplicates: Duplicates = "keep"
    """What to do with rows that repeat an earlier one."""
    join: str = ""
    """Another table, whose columns are added where the columns that both have are equal."""

    def __post_init__(self) -> None:
        for role in self.columns:
            if role not in ROLES:
                raise UnknownNameError("role of a column in env.columns", role, ROLES)
        for name, kind in (("returns", Returns), ("duplicates", Duplicates), ("header", Header)):
            if (value := getattr(self, name)) not in get_args(kind):
                raise SettingError(f"env.{name}", " or ".join(get_args(kind)), repr(value))
        known = ("", *UNITS, IN_FILE)
        if self.time_format not in known and not looks_like_format(self.time_format):
            raise SettingError(
                "env.time-format",
                f"{', '.join(known[1:])} or a format such as '%d.%m.%Y %H:%M'",
                repr(self.time_format),
            )
        price = self.constant_price
        if price is not None and not 0 < price < float("inf"):
            raise SettingError("env.constant-price", "a finite number above 0", price)

    def over(self, path: str | Path) -> "LogFormat":
        """Return this format, completed by a mapping file where a field is not set.

        Args:
            path: A TOML or JSON file with the names of these fields.

        Raises:
            EmbrlError: If it cannot be read, or says something else.
        """
        theirs = _read(Path(path))
        default = LogFormat()
        mine: dict[str, Any] = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != getattr(default, field.name)
        }
        if "columns" in mine:
            mine["columns"] = {**theirs.columns, **self.columns}
        return dataclasses.replace(theirs, **mine)


def _read(path: Path) -> LogFormat:
    """Return the format in a mapping file."""
    from embrl.storage.files import from_plain

    try:
        text = path.read_text(encoding="utf-8-sig")
        found = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        reason = error.strerror or error
        raise SettingError("env.mapping", "a readable file", f"{path}: {reason}") from error
    except ValueError as error:
        raise SettingError("env.mapping", "a TOML or JSON file", f"{path}: {error}") from error
    if not isinstance(found, dict):
        raise SettingError("env.mapping", "a table of settings", f"{path}: {found}")
    known = [field.name for field in dataclasses.fields(LogFormat)]
    found = {name.replace("-", "_"): value for name, value in found.items()}
    for name in found:
        if name not in known:
            raise UnknownNameError(f"setting in {path}", name, known)
    if isinstance(found.get("columns"), dict):
        found["columns"] = {role: str(name) for role, name in found["columns"].items()}
    return from_plain(found, LogFormat, str(path))


def columns_from(given: Any) -> dict[str, str]:
    """Return columns by role from words such as `user=customer_id`.

    Raises:
        EmbrlError: If a word is something else.
    """
    if isinstance(given, Mapping):
        return {str(role): str(name) for role, name in given.items()}
    found: dict[str, str] = {}
    for word in given:
        role, equals, name = str(word).partition("=")
        if not equals or not name:
            raise SettingError("env.columns", "words such as user=customer_id", repr(word))
        found[role.strip()] = name.strip()
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class LogReport:
    """A record of what was read of a log, and how."""

    files: Mapping[str, str]
    """Checksums (SHA-256) by path; the log's own comes first."""
    layout: str
    """Name of the layout."""
    columns: Mapping[str, str]
    """Names of the columns in the log by role."""
    constant_price: float | None
    """Price of each item; None: as in the log."""
    purchases: int
    """Rows that are purchases."""
    left_out: Mapping[str, int]
    """Numbers of the other rows, by what they are."""
    duplicates: int
    """Purchases that repeat an earlier one in all columns that are read."""

    @property
    def name(self) -> str:
        """Name of the log's file."""
        return Path(next(iter(self.files))).name

    def notes(self) -> tuple[str, ...]:
        """Return what its user has to know, in a line each."""
        taken = ", ".join(f"{role} {column}" for role, column in self.columns.items())
        price, name = self.constant_price, self.name
        priced = "" if price is None else f"; the price of every item is {price:g}"
        lines = [f"{name}: {self.layout}; columns: {taken}{priced}"]
        left = ", ".join(f"{count:,} {what}" for what, count in self.left_out.items() if count)
        if left:
            lines.append(f"{name}: {self.purchases:,} purchases; left out: {left}")
        if self.duplicates:
            lines.append(
                f"{name}: {self.duplicates:,} of the purchases repeat an earlier one exactly; "
                "env.duplicates drop leaves them out"
            )
        if price is not None:
            lines.append(
                f"{name}: as all items have one price, all policies have the same return; name "
                "a column of prices with env.columns price=NAME to compare them"
            )
        return tuple(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        parts = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))
        return {name: dict(v) if isinstance(v, Mapping) else v for name, v in parts}
