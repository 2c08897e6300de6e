"""Names to things that are imported only when they are asked for."""

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from embrl.errors import UnknownNameError


class Registry(Mapping[str, Any]):
    """Maps a name to an object given as `"package.module:attribute"`.

    To add something to embrl is to add its file and one line in a registry.
    """

    def __init__(self, kind: str, entries: Mapping[str, str]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> Any:
        """The object called `name`.

        Raises:
            UnknownNameError: there is none; the message offers the nearest names.
        """
        if name not in self._entries:
            raise UnknownNameError(self.kind, name, self._entries)
        module, _, attribute = self._entries[name].partition(":")
        return getattr(importlib.import_module(module), attribute)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def get(self, name: str, default: Any = None) -> Any:
        """The object called `name`, or `default`."""
        return self[name] if name in self else default  # noqa: SIM401

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
