"""Names to things that are imported only when they are asked for."""

import importlib
import importlib.util
import re
import sys
import traceback
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from embrl.core.errors import EmbrlError, UnknownNameError

OTHERWISE = "If a plugin has it, load that: embrl --plugin FILE COMMAND ..., or import it in Python"


class Registry(Mapping[str, Any]):
    """Maps a name to an object, which may be given as `"package.module:attribute"`.

    To add something to embrl is to add its file and one line in a registry; to add something from
    outside is to call `add`.
    """

    def __init__(self, kind: str, entries: Mapping[str, Any], *, plugged: bool = False) -> None:
        """Arguments:
        kind: what messages call an entry.
        plugged: whether plugins add to it: a name that is missing is then looked for in the
            installed ones.
        """
        self.kind = kind
        self.plugged = plugged
        self._entries = dict(entries)

    def add(self, name: str, entry: Any) -> None:
        """Registers `entry` as `name`, in this process.

        A name is given once. The same thing may come again, as it does when its module is loaded
        twice or a notebook's cell runs again: the newest counts.

        Arguments:
            entry: any object, or `"package.module:attribute"`.

        Raises:
            EmbrlError: `name` is not made of small letters, digits and underscores, or stands for
                something else.
        """
        if not isinstance(name, str) or not re.fullmatch("[a-z][a-z0-9_]*", name):
            raise EmbrlError(
                f"{self.kind} {name!r}: a name is made of small letters, digits and underscores, "
                "a letter first"
            )
        if name in self._entries and self._entries[name] != entry:
            known = self._resolved(name)
            if not _same(known, _imported(entry) if isinstance(entry, str) else entry):
                raise EmbrlError(
                    f"{self.kind} {name} is there already, {_place(known)}: choose another name"
                )
        self._entries[name] = entry

    def unknown(self, name: str, also: Iterable[str] = ()) -> UnknownNameError:
        """What to raise where `name` is neither here nor among the names in `also`."""
        hint = " ".join([OTHERWISE, *load_installed_plugins()]) if self.plugged else ""
        return UnknownNameError(self.kind, name, [*self._entries, *also], hint)

    def __getitem__(self, name: str) -> Any:
        """The object called `name`.

        Raises:
            UnknownNameError: there is none; the message offers the nearest names.
            EmbrlError: it cannot be imported.
        """
        if name not in self:
            raise self.unknown(name)
        return self._resolved(name)

    def __contains__(self, name: object) -> bool:
        if self.plugged and name not in self._entries:
            load_installed_plugins()
        return name in self._entries

    def get(self, name: str, default: Any = None) -> Any:
        """The object called `name`, or `default`."""
        return self[name] if name in self else default  # noqa: SIM401

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def _resolved(self, name: str) -> Any:
        entry = self._entries[name]
        return _imported(entry) if isinstance(entry, str) else entry


def _imported(entry: str) -> Any:
    module, _, attribute = entry.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise EmbrlError(f"{entry!r} cannot be imported: {error}") from error


def _same(one: Any, two: Any) -> bool:
    """Whether both are the same definition, in a module that may have been loaded twice and under
    two names.
    """
    name = getattr(one, "__qualname__", None)
    if name is None or name != getattr(two, "__qualname__", None):
        return one is two or (type(one) is type(two) and bool(one == two))
    files = {_file(one), _file(two)}
    return one.__module__ == two.__module__ or (len(files) == 1 and None not in files)


def _file(thing: Any) -> str | None:
    return getattr(sys.modules.get(thing.__module__), "__file__", None)


def _place(thing: Any) -> str:
    name = getattr(thing, "__qualname__", None)
    return repr(thing) if name is None else f"{name} in {_file(thing) or thing.__module__}"


# DOC Code from outside the package, which registers things when it is imported. |  | Plugins are files or modules that somebody named (`embrl --plugin`), and the entry points of | installed packages in the group `embrl.core.registry`. Nothing else is ever imported: a run folder holds | names, no code. |


GROUP = "embrl.core.registry"


class _NotThereError(EmbrlError):
    """No plugin's own fault."""


_failures: list[str] | None = None
"""None until the installed plugins have been loaded."""


def load_plugin(source: str) -> None:
    """Imports the plugin `source`: a file, if it ends in .py or has a folder in it, else a module.

    Raises:
        EmbrlError: there is none, or it raised something; the message says where.
    """
    try:
        if source.endswith(".py") or "/" in source or "\\" in source:
            _run_file(Path(source))
        else:
            _import_module(source)
    except _NotThereError:
        raise
    except (Exception, SystemExit) as error:
        # A file is called what it was called on the command line.
        said = _said(error).removeprefix(str(Path(source).resolve()))
        between = "" if said.startswith(" line ") else ": "
        raise EmbrlError(f"plugin {source}{between}{said}") from error


def load_installed_plugins() -> tuple[str, ...]:
    """Imports the plugins of installed packages, the first time that it is called.

    That is when a name is asked for that embrl does not have, so that neither `embrl --help` nor a
    run without plugins waits for them, and a broken one breaks nothing that does without it.

    **Returns** a sentence on each of those that failed.
    """
    global _failures
    if _failures is None:
        from importlib.metadata import entry_points  # not for `embrl --help`

        _failures = []  # at once: a plugin may itself ask for a name
        for point in entry_points(group=GROUP):
            try:
                point.load()
            except (Exception, SystemExit) as error:
                _failures.append(f"(The installed plugin {point.name} failed: {_said(error)})")
    return tuple(_failures)


def _run_file(path: Path) -> None:
    path = path.resolve()
    if not path.is_file():
        raise _NotThereError(f"there is no plugin file {path}")
    # In sys.modules, where dataclasses look for the meaning of their types; under a name that no
    # other module has.
    name = f"embrl_plugin_{path.stem}_{zlib.crc32(bytes(path)):08x}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise _NotThereError(f"plugin {path}: a file's name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _import_module(name: str) -> None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # it is there, and lacks another
        hint = f"did you mean {name}.py?" if Path(f"{name}.py").is_file() else "a file ends in .py"
        raise _NotThereError(f"there is no plugin module {name}: {hint}") from error


def _said(error: BaseException) -> str:
    """What went wrong in a plugin, and in which line of it."""
    said = str(error) if isinstance(error, EmbrlError) else f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return f"{error.filename} line {error.lineno}: {type(error).__name__}: {error.msg}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__
        and not frame.filename.startswith("<frozen importlib")
        and "importlib" not in Path(frame.filename).parts[-3:]
    ]
    if not frames:
        return said
    # The first file is the plugin; where it went on to others, its own last line is of interest.
    file = frames[0].filename
    line = [frame.lineno for frame in frames if frame.filename == file][-1]
    return f"{file} line {line}: {said}"
