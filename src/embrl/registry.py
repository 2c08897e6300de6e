"""Names to things that are imported only when they are asked for."""

import importlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from embrl import plugins
from embrl.errors import EmbrlError, UnknownNameError

OTHERWISE = "If a plugin has it, load that: embrl --plugin FILE COMMAND ..., or import it in Python"


class Registry(Mapping[str, Any]):
    """Maps a name to an object, which may be given as `"package.module:attribute"`.

    To add something to embrl is to add its file and one line in a registry; to add something from
    outside is to call `add`.
    """

    def __init__(self, kind: str, entries: Mapping[str, Any], *, plugged: bool = False) -> None:
        """
        Arguments:
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
        hint = " ".join([OTHERWISE, *plugins.load_installed()]) if self.plugged else ""
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
            plugins.load_installed()
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
