"""Registries of names, and plugins that add to them.

`Registry` maps a name to an object that is imported only when it is asked for. Plugins are files or
modules that somebody named (`embrl --plugin`), and the entry points of installed packages in the
group `embrl.plugins`; they register things when they are imported. Nothing else is ever imported: a
run folder holds names, no code.
"""

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

ENTRY_POINTS = "embrl.plugins"
"""Group of entry points that name plugins of installed packages."""

PLUGIN_HINT = "If a plugin has it, load it: embrl --plugin FILE COMMAND ..., or import it in Python"


class Registry(Mapping[str, Any]):
    """Mapping from names to objects, which may be given as `"package.module:attribute"`.

    To extend embrl from inside, add a file and a line in a registry; from outside, call `add`.
    """

    def __init__(self, kind: str, entries: Mapping[str, Any], *, plugged: bool = False) -> None:
        """Create a registry.

        Args:
            kind: word for an entry in messages, as `environment`.
            entries: initial objects by name.
            plugged: whether plugins add to it; a missing name then loads the installed plugins.
        """
        self.kind = kind
        self.plugged = plugged
        self._entries = dict(entries)

    def add(self, name: str, entry: Any) -> None:
        """Register an object, in this process.

        A name can be used once. The same definition may be registered again, as when its module is
        loaded twice or a notebook cell is run again; the latest one counts.

        Args:
            name: lowercase letters, digits and underscores, a letter first.
            entry: any object, or `"package.module:attribute"`.

        Raises:
            EmbrlError: the name is invalid, or taken by something else.
        """
        if not isinstance(name, str) or not re.fullmatch("[a-z][a-z0-9_]*", name):
            raise EmbrlError(
                f"name of {self.kind} must be lowercase letters, digits and underscores, a letter "
                f"first, got {name!r}"
            )
        if name in self._entries and self._entries[name] != entry:
            known = self._resolve(name)
            if not _same_definition(known, _import(entry) if isinstance(entry, str) else entry):
                raise EmbrlError(
                    f"{self.kind} {name} already exists: {_describe(known)}; choose another name"
                )
        self._entries[name] = entry

    def unknown(self, name: str, also: Iterable[str] = ()) -> UnknownNameError:
        """Return the error to raise for an unknown name.

        Args:
            name: the unknown name.
            also: names that are known beside those in the registry.
        """
        hint = " ".join([PLUGIN_HINT, *load_installed_plugins()]) if self.plugged else ""
        return UnknownNameError(self.kind, name, [*self._entries, *also], hint)

    def __getitem__(self, name: str) -> Any:
        """Return the object with this name.

        Raises:
            UnknownNameError: there is none; the message offers the nearest names.
            EmbrlError: it cannot be imported.
        """
        if name not in self:
            raise self.unknown(name)
        return self._resolve(name)

    def __contains__(self, name: object) -> bool:
        if self.plugged and name not in self._entries:
            load_installed_plugins()
        return name in self._entries

    def get(self, name: str, default: Any = None) -> Any:
        """Return the object with this name, or `default`."""
        return self[name] if name in self else default  # noqa: SIM401

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def _resolve(self, name: str) -> Any:
        """Return an entry, imported if it is given by its place."""
        entry = self._entries[name]
        return _import(entry) if isinstance(entry, str) else entry


# Plugins

_failures: list[str] | None = None
"""Messages of installed plugins that failed; None until they have been loaded."""


_loaded: list[str] = []
"""Plugins that were loaded by name, in order."""


def loaded_plugins() -> list[str]:
    """Return what another process passes to `load_plugin` to know what this one does."""
    return list(_loaded)


class _NotFoundError(EmbrlError):
    """A plugin that does not exist, in contrast to one that failed."""


def load_plugin(source: str) -> None:
    """Import a plugin.

    Args:
        source: a file, if it ends in `.py` or contains a folder; else the name of a module.

    Raises:
        EmbrlError: it does not exist, or raised an error; the message names the line.
    """
    try:
        if source.endswith(".py") or "/" in source or "\\" in source:
            _run_file(Path(source))
            source = str(Path(source).resolve())
        else:
            _import_module(source)
    except _NotFoundError:
        raise
    except (Exception, SystemExit) as error:
        # The message calls the file as the command line does.
        message = _message(error).removeprefix(str(Path(source).resolve()))
        between = "" if message.startswith(" line ") else ": "
        raise EmbrlError(f"plugin {source}{between}{message}") from error
    if source not in _loaded:
        _loaded.append(source)


def load_installed_plugins() -> tuple[str, ...]:
    """Import the plugins of installed packages, on the first call.

    Called when a name is asked for that embrl does not have: neither `embrl --help` nor a run
    without plugins waits for them, and a broken plugin affects nothing that does not need it.

    Returns:
        A sentence on each plugin that failed.
    """
    global _failures
    if _failures is None:
        from importlib.metadata import entry_points  # slow, and not needed for `embrl --help`

        _failures = []  # at once: a plugin may itself ask for a name
        for point in entry_points(group=ENTRY_POINTS):
            try:
                point.load()
            except (Exception, SystemExit) as error:
                _failures.append(f"(The installed plugin {point.name} failed: {_message(error)})")
    return tuple(_failures)


def _run_file(path: Path) -> None:
    """Run a plugin file as a module.

    The modules beside it can be imported, and by its own name it is not run a second time, as where
    it registers a Gymnasium environment by `entry_point="myenvs:Mine"`.
    """
    path = path.resolve()
    if not path.is_file():
        raise _NotFoundError(f"plugin file {path} does not exist")
    # The module is in sys.modules, where dataclasses look up their types, under a name that no
    # other module has.
    name = f"embrl_plugin_{path.stem}_{zlib.crc32(bytes(path)):08x}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise _NotFoundError(f"plugin file must end in .py, got {path}")
    module = importlib.util.module_from_spec(spec)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # last, so that it hides nothing
    names = [name]
    if path.stem not in sys.modules and _finds(path.stem, path):
        names.append(path.stem)
    sys.modules |= dict.fromkeys(names, module)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        for each in names:
            sys.modules.pop(each, None)
        raise


def _finds(name: str, path: Path) -> bool:
    """Return whether importing a name would run this file."""
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    return found is not None and found.origin is not None and Path(found.origin) == path


def _import_module(name: str) -> None:
    """Import a plugin module."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the plugin exists, and lacks another module
        hint = f"did you mean {name}.py?" if Path(f"{name}.py").is_file() else "a file ends in .py"
        raise _NotFoundError(f"plugin module {name} does not exist; {hint}") from error


def _message(error: BaseException) -> str:
    """Return what went wrong in a plugin, and in which of its lines."""
    text = str(error) if isinstance(error, EmbrlError) else f"{type(error).__name__}: {error}"
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
        return text
    # The first file is the plugin; where it called others, its own last line is of interest.
    file = frames[0].filename
    line = [frame.lineno for frame in frames if frame.filename == file][-1]
    return f"{file} line {line}: {text}"


# Entries


def _import(entry: str) -> Any:
    """Return the object at `"package.module:attribute"`."""
    module, _, attribute = entry.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise EmbrlError(f"{entry!r} cannot be imported: {error}") from error


def _same_definition(one: Any, two: Any) -> bool:
    """Return whether two objects are the same definition.

    Their module may have been loaded twice, and under two names.
    """
    name = getattr(one, "__qualname__", None)
    if name is None or name != getattr(two, "__qualname__", None):
        return one is two or (type(one) is type(two) and bool(one == two))
    files = {_file(one), _file(two)}
    return one.__module__ == two.__module__ or (len(files) == 1 and None not in files)


def _file(definition: Any) -> str | None:
    """Return the file of a class or function, if its module has one."""
    return getattr(sys.modules.get(definition.__module__), "__file__", None)


def _describe(definition: Any) -> str:
    """Return the name of an entry and the file that it is in."""
    name = getattr(definition, "__qualname__", None)
    if name is None:
        return repr(definition)
    return f"{name} in {_file(definition) or definition.__module__}"
