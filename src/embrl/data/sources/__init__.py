"""Transitions that somebody has recorded: arrays, files, data sets."""

from pathlib import Path

from embrl.core.errors import EmbrlError
from embrl.core.registry import Registry
from embrl.data.sources import minari_data
from embrl.data.sources.arrays import UNSAID, Given, from_transition
from embrl.data.sources.recorded import Recorded

__all__ = ["FORMATS", "UNSAID", "Given", "Recorded", "from_transition", "looks_recorded", "read"]

FORMATS = Registry(
    "file format",
    {
        "npz": "embrl.data.sources.files:read_npz",
        "parquet": "embrl.data.sources.files:read_parquet",
    },
)
"""How a file's name ends, to what reads it. A new format is one file and one line here."""


def looks_recorded(source: str | Path) -> bool:
    """Whether this names a file or a data set, and no environment."""
    if str(source).startswith(minari_data.PREFIX) or isinstance(source, Path):
        return True
    path = Path(source)
    return path.suffix[1:] in FORMATS or path.exists()


def read(source: str | Path, given: Given = UNSAID) -> Recorded:
    """The transitions in a file, or in a Minari data set: its folder, or `minari:ID`.

    Raises:
        EmbrlError: it is not there, of an unknown format, or what it holds cannot be used.
    """
    if str(source).startswith(minari_data.PREFIX):
        return minari_data.read(str(source), given)
    path = Path(source)
    if path.is_dir():
        return minari_data.read(path, given)
    if path.suffix[1:] not in FORMATS:
        kinds = ", ".join(f".{name}" for name in FORMATS)
        raise EmbrlError(f"{path}: choose a file that ends in {kinds}, or a Minari data set")
    return FORMATS[path.suffix[1:]](path, given)
