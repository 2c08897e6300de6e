"""Recorded transitions, from arrays, files and data sets.

`read` takes a file or a Minari data set, `from_transition` arrays of a rollout; both return
`Recorded`, checked transitions and their spaces. `Given` names spaces that the values alone do not
tell.
"""

from pathlib import Path

from embrl.core.errors import SettingError
from embrl.core.registry import Registry
from embrl.data.sources import minari_data
from embrl.data.sources.recorded import UNSAID, Given, Recorded, from_transition

__all__ = ["FORMATS", "UNSAID", "Given", "Recorded", "from_transition", "looks_recorded", "read"]

FORMATS = Registry(
    "file format",
    {
        "npz": "embrl.data.sources.files:read_npz",
        "parquet": "embrl.data.sources.files:read_parquet",
    },
)
"""Readers of files, by suffix. To support a format, add a reader and a line here."""


def looks_recorded(source: str | Path) -> bool:
    """Return whether a source names a file or a data set, not an environment."""
    if str(source).startswith(minari_data.PREFIX) or isinstance(source, Path):
        return True
    path = Path(source)
    return path.suffix[1:] in FORMATS or path.exists()


def read(source: str | Path, given: Given = UNSAID) -> Recorded:
    """Read recorded transitions.

    Args:
        source: a file, the folder of a Minari data set, or `minari:ID`.
        given: spaces of the values.

    Raises:
        EmbrlError: it does not exist, has an unknown format, or holds values that cannot be used.
    """
    if str(source).startswith(minari_data.PREFIX):
        return minari_data.read(str(source), given)
    path = Path(source)
    if path.is_dir():
        return minari_data.read(path, given)
    if path.suffix[1:] not in FORMATS:
        kinds = ", ".join(f".{name}" for name in FORMATS)
        raise SettingError("source", f"a file that ends in {kinds}, or a Minari data set", path)
    return FORMATS[path.suffix[1:]](path, given)
