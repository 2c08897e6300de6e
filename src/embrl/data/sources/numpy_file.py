"""Transitions from NumPy's `.npz` files."""

import zipfile
from pathlib import Path

import numpy as np

from embrl.data.sources.arrays import UNSAID, Given, from_columns
from embrl.data.sources.recorded import Recorded
from embrl.errors import EmbrlError


def read(path: Path, given: Given = UNSAID) -> Recorded:
    """The columns of a file as `numpy.savez` writes it; nothing in it is ever unpickled.

    Raises:
        EmbrlError: the file cannot be read, or `from_columns` refuses what it holds.
    """
    try:
        with path.open("rb") as file:
            arrays = np.load(file, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise EmbrlError(f"{path} is a single array: numpy.savez writes several by name")
            columns = {name: arrays[name] for name in arrays.files}
    except EmbrlError:
        raise
    except FileNotFoundError as error:
        raise EmbrlError(f"{path} is not there") from error
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise EmbrlError(f"{path} cannot be read as .npz without pickle: {error}") from error
    return from_columns(columns, given, path.name)
