"""Which curve the others are measured against."""

from collections.abc import Callable, Sequence

from embrl.core.errors import EmbrlError
from embrl.report.curves import Curve


def find_baseline(curves: Sequence[Curve], name: str | None) -> Curve | None:
    """The curve that `name` means; without a name the first of two, else none.

    A name is a label, in small or capital letters, or the name of a folder that holds one curve, or
    a part of one label. What comes first in this list and fits counts.

    Raises:
        EmbrlError: it fits no curve, or several.
    """
    if name is None:
        return curves[0] if len(curves) == 2 else None
    ways: list[Callable[[Curve], bool]] = [
        lambda curve: curve.label == name,
        lambda curve: curve.label.casefold() == name.casefold(),
        lambda curve: curve.folder == name,
        lambda curve: bool(name) and name.casefold() in curve.label.casefold(),
    ]
    for fits in ways:
        found = [curve for curve in curves if fits(curve)]
        if len(found) > 1:
            named = ", ".join(repr(curve.label) for curve in found)
            raise EmbrlError(f"baseline {name!r} fits {len(found)} curves: {named}; name one")
        if found:
            return found[0]
    # Labels have commas: without quotes one could not tell where the next begins.
    named = ", ".join(repr(curve.label) for curve in curves)
    raise EmbrlError(f"no curve fits baseline {name!r}: there are {named}")
