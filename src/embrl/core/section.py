"""Base class of groups of settings, which know which settings were given."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self


class Section:
    """Group of settings: a frozen dataclass, whose fields have defaults.

    A field's default holds where nothing better is known. Where a run's defaults depend on its
    environment and method, only the settings that were given replace them (`given`).
    """

    def __new__(cls, *args: Any, **settings: Any) -> Self:
        section = super().__new__(cls)
        fields: Any = dataclasses.fields(cls)  # type: ignore[arg-type]
        names = [field.name for field in fields][: len(args)]
        object.__setattr__(section, "_given", (*names, *settings))
        return section


def given(section: Any) -> dict[str, Any]:
    """Return the settings that were given to a section, by name.

    Args:
        section: a `Section`; a mapping of settings; or another dataclass, whose settings all count.
    """
    if isinstance(section, Mapping):
        return dict(section)
    names = getattr(section, "_given", [field.name for field in dataclasses.fields(section)])
    return {name: getattr(section, name) for name in names}
