"""Flags: tyro reads them and prints help texts; what is wrong becomes one line."""

import contextlib
import dataclasses
import inspect
import io
import shutil
import sys
import textwrap
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro

from embrl.cli.field_texts import field_texts
from embrl.cli.main import HELP
from embrl.core.errors import EmbrlError, SettingError, UnknownNameError

Command = TypeVar("Command")

Switch = tyro.conf.FlagCreatePairsOff[bool]
"""Type of a flag that is given without a value, and off by default."""

REQUIRED: Any = object()
"""Default of a flag that must be given."""

WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    bool: "given without a value",
    types.NoneType: "None",
}
"""Types in messages."""

METAVARS = {int: "INT", float: "FLOAT", str: "STR", Path: "PATH"}
"""Types in help texts, without `None` where that is the default."""


@dataclasses.dataclass(frozen=True)
class Flag:
    """A flag or positional argument."""

    name: str
    """Name as in Python; of a setting, its dotted name."""
    kind: Any
    """Type, which tyro's markers may annotate."""
    text: str = ""
    """Help text."""
    default: Any = REQUIRED
    """Default; `REQUIRED`: it must be given."""
    common: bool = True
    """False if `--help` leaves it out, and only `--help-all` shows it."""

    @property
    def positional(self) -> bool:
        """True for a positional argument."""
        return tyro.conf.Positional in typing.get_args(self.kind)[1:]

    @property
    def required(self) -> bool:
        """True if it must be given."""
        return self.default is REQUIRED

    @property
    def shown(self) -> str:
        """Name on the command line."""
        if self.positional:
            return self.name.upper()
        return f"--{self.name.replace('_', '-')}"

    @property
    def section(self) -> str:
        """First part of a dotted name; empty if there is one part only."""
        return self.name.rpartition(".")[0]


def flags_of(source: Any, section: str = "", common: Collection[str] | None = None) -> list[Flag]:
    """Return a flag for each field of a dataclass, whose help is the string below the field.

    Args:
        source: the dataclass, or an instance, whose values are the defaults.
        section: of the names.
        common: names of the fields that `--help` shows. Default: all.
    """
    kind = source if isinstance(source, type) else type(source)
    kinds, texts = typing.get_type_hints(kind, include_extras=True), field_texts(kind)
    found = []
    for field in dataclasses.fields(kind):
        default = getattr(source, field.name, REQUIRED)  # of a class, its defaults
        name = f"{section}.{field.name}" if section else field.name
        is_common = common is None or field.name in common
        found.append(Flag(name, kinds[field.name], texts.get(field.name, ""), default, is_common))
    return found


def parse(kind: type[Command], arguments: Sequence[str], program: str, names: str = "") -> Command:
    """Return an instance of a dataclass, from command line arguments.

    Args:
        kind: the dataclass; its fields are the flags, and its docstring describes the command.
        arguments: of the command line.
        program: the command, for help texts.
        names: replaces `{names}` in help texts, for what is registered at run time.

    Raises:
        EmbrlError: an argument is wrong; the message names the flag, what it takes and what it got.
    """
    flags = [
        dataclasses.replace(flag, text=flag.text.replace("{names}", names))
        for flag in flags_of(kind)
    ]
    return kind(**parse_flags(flags, arguments, program, inspect.getdoc(kind) or ""))


def parse_flags(
    flags: Sequence[Flag], arguments: Sequence[str], program: str, about: str = ""
) -> dict[str, Any]:
    """Return the values of flags by name, from command line arguments.

    Args:
        flags: all flags and positional arguments.
        arguments: of the command line.
        program: the command, for help texts.
        about: description of the command, for its help text.

    Raises:
        EmbrlError: an argument is wrong; the message names the flag, what it takes and what it got.
    """
    if asks_for_help(arguments):
        print_help(flags, arguments, program, about)
    found = given(arguments)
    for name in found:
        if _named(name, flags) is None:
            names = [name for flag in flags for name in _spellings(flag)]
            raise UnknownNameError("flag", name, names, f"{program} --help-all lists them")
    try:
        return _values(flags, arguments)
    except ValueError:
        raise _mistake(flags, arguments, program) from None


def section_values(values: Mapping[str, Any], section: str) -> dict[str, Any]:
    """Return the values of a section, without its name."""
    prefix = f"{section}."
    return {name[len(prefix) :]: value for name, value in values.items() if name.startswith(prefix)}


def given(arguments: Sequence[str]) -> dict[str, list[str]]:
    """Return the flags among arguments as they are spelled in help texts, and what follows each."""
    found: dict[str, list[str]] = {}
    words: list[str] = []
    for argument in arguments:
        if not argument.startswith("--"):
            words.append(argument)
            continue
        name, equals, value = argument.partition("=")
        words = found[name.replace("_", "-")] = [value] if equals else []
    return found


def value_of(flag: str, arguments: Sequence[str], default: str) -> str:
    """Return the value of `--flag value` or `--flag=value`, before the rest can be parsed."""
    return next(iter(given(arguments).get(flag, ())), default)


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Return whether help is requested."""
    return not set(HELP).isdisjoint(arguments)


def print_help(
    flags: Sequence[Flag],
    arguments: Sequence[str],
    program: str,
    about: str,
    sections: Mapping[str, str] | None = None,
) -> typing.NoReturn:
    """Print the common flags, or with `--help-all` all by section, and end the command.

    Args:
        flags: all flags.
        arguments: of the command line.
        program: the command.
        about: description of the command.
        sections: descriptions of sections by name.
    """
    if "--help-all" in arguments:
        kind = _by_section(flags, about, sections or {})
    else:
        common = [flag for flag in flags if flag.common]
        if more := len(flags) - len(common):
            common.append(Flag("help_all", Switch, f"Show {more} more, by section.", False))
            about = about.partition("\n")[0]
        kind = _dataclass("Flags", common, about)
    caught = _Caught(sys.stdout.isatty())
    text = io.TextIOWrapper(caught, sys.stdout.encoding or "utf-8", "backslashreplace")
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(text):
        tyro.cli(kind, args=["--help"], prog=program)
    text.seek(0)
    print(_wrapped(text.read(), shutil.get_terminal_size().columns), end="")
    raise SystemExit(0)


class _Caught(io.BytesIO):
    """Catches a help text, with the colours that it has where it will be shown."""

    def __init__(self, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


def _wrapped(text: str, width: int) -> str:
    """Wrap the description of a command, which tyro leaves in one line, unlike all else."""
    lines = text.splitlines(keepends=True)
    return "".join(
        line if line[0] in " ╭│╰\x1b" or len(line) <= width else f"{textwrap.fill(line, width)}\n"
        for line in lines
    )


def _by_section(flags: Sequence[Flag], about: str, sections: Mapping[str, str]) -> type:
    fields: list[Any] = [_field(flag) for flag in flags if not flag.section]
    for name in dict.fromkeys(flag.section for flag in flags if flag.section):
        mine = [
            dataclasses.replace(flag, name=flag.name.rpartition(".")[2])
            for flag in flags
            if flag.section == name
        ]
        kind = _dataclass(name, mine, sections.get(name, ""))
        shown = Annotated[kind, tyro.conf.arg(name=name)]
        fields.append((f"section_{name}", shown, dataclasses.field(default_factory=kind)))
    return _made("Flags", fields, about)


def _dataclass(name: str, flags: Sequence[Flag], about: str) -> type:
    return _made(name, [_field(flag) for flag in flags], about)


def _made(name: str, fields: Sequence[Any], about: str) -> type:
    return dataclasses.make_dataclass(
        name, fields, kw_only=True, namespace={"__doc__": about or None}
    )


def _field(flag: Flag) -> tuple[str, Any, Any]:
    shown = flag.shown.removeprefix("--")
    how: dict[str, Any] = {"metavar": shown} if flag.positional else {"name": shown}
    how["help"] = flag.text
    obvious = (None, (), REQUIRED) if flag.positional else (None, ())
    if flag.kind == Switch or any(flag.default is value for value in obvious):
        how["help_behavior_hint"] = ""  # neither (required) nor (default: ...)
    if flag.default is None and not flag.positional:
        for kind in typing.get_args(flag.kind):
            how |= {"metavar": METAVARS[kind]} if kind in METAVARS else {}
    field: Any = dataclasses.field()
    if not flag.required:
        field = dataclasses.field(default_factory=lambda: flag.default)
    return _identifier(flag), Annotated[flag.kind, tyro.conf.arg(**how)], field


def _identifier(flag: Flag) -> str:
    return flag.name.replace(".", "__")


def _spellings(flag: Flag) -> list[str]:
    if flag.positional:
        return []
    section, _, name = flag.shown.removeprefix("--").rpartition(".")
    prefix = f"--{section}." if section else "--"
    negated = [f"{prefix}no-{name}"] * (_bare(flag.kind) is bool and flag.kind != Switch)
    return [flag.shown, *negated]


def _named(name: str, flags: Sequence[Flag]) -> Flag | None:
    """Return the flag that is spelled like this, if there is one."""
    for flag in flags:
        nested = name.startswith(f"{flag.shown}.") and _is_tuple(flag)  # one flag for each item
        if nested or name in _spellings(flag):
            return flag
    return None


def _is_tuple(flag: Flag) -> bool:
    return typing.get_origin(_bare(flag.kind)) is tuple


def _values(flags: Sequence[Flag], arguments: Sequence[str]) -> dict[str, Any]:
    """Return the values of flags.

    Raises:
        ValueError: an argument is wrong.
    """
    if not arguments and not any(flag.required for flag in flags):
        return {flag.name: flag.default for flag in flags}  # tyro would take a tenth of a second
    kind = _dataclass("Flags", flags, "")
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            value = tyro.cli(kind, args=list(arguments))
    except SystemExit as exit_:
        raise ValueError from exit_
    return {flag.name: getattr(value, _identifier(flag)) for flag in flags}


# Messages -----------------------------------------------------------------------------------------

OTHERS = Flag("others", Annotated[tuple[str, ...], tyro.conf.Positional], default=())
"""Catches all positional arguments."""


def _mistake(flags: Sequence[Flag], arguments: Sequence[str], program: str) -> EmbrlError:
    """Return what is wrong with arguments that tyro refused.

    tyro describes that in boxes for people, so each flag is tried alone.
    """
    help_ = f"{program} --help"
    others = [OTHERS] * any(flag.positional for flag in flags)
    for name, words in given(arguments).items():
        flag = _named(name, flags)
        if flag is not None and not _fits([flag, *others], [name, *words]):
            return SettingError(name, _constraint(flag.kind), " ".join(words) or "nothing", help_)
    keywords = [flag for flag in flags if not flag.positional]
    missing = [flag for flag in keywords if flag.required and flag.shown not in given(arguments)]
    present = [flag for flag in keywords if flag not in missing]
    try:
        words = _values([*present, OTHERS], arguments)["others"]
    except ValueError:  # as of `--name=--`, which is no value
        return EmbrlError(f"{' '.join(arguments)}: cannot be read; {help_}")
    for place in (flag for flag in flags if flag.positional):
        mine, words = (words, ()) if _is_tuple(place) else (words[:1], words[1:])
        if not mine and place.required:
            return _missing(place)
        if mine and not _fits([place], mine):
            return SettingError(place.shown, _constraint(place.kind), " ".join(mine), help_)
    if words:
        return EmbrlError(f"unexpected argument {words[0]!r}; {help_}")
    if missing:
        return _missing(missing[0])
    return EmbrlError(f"{' '.join(arguments)}: cannot be read; {help_}")


def _missing(flag: Flag) -> SettingError:
    text = flag.text.partition(";")[0].rstrip(".")
    return SettingError(flag.shown, "given", "nothing", text[:1].lower() + text[1:])


def _fits(flags: Sequence[Flag], arguments: Sequence[str]) -> bool:
    try:
        _values(flags, arguments)
    except ValueError:
        return False
    return True


def _bare(kind: Any) -> Any:
    """Return a type without annotations."""
    return typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind


def _constraint(kind: Any) -> str:
    """Return a description of the values that a type has."""
    kind = _bare(kind)
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return f"one of {', '.join(map(str, parts))}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(_constraint, parts))
    if origin is tuple:
        count = "any number of values" if parts[-1] is Ellipsis else f"{len(parts)} values"
        return f"{count}, each {_constraint(parts[0])}"
    return WORDS.get(kind, f"a {getattr(kind, '__name__', kind)}")
