"""Atomic writing of files, and typed reading of JSON.

A reader never sees half of a file, even after `kill -9`.
"""

import contextlib
import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar

from embrl.core.errors import EmbrlError


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, so that there is the old one or the new one at any moment."""
    with replacing(path) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that replaces `path` when the block ends.

    If the block raises an error, `path` stays as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb+") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Create an empty folder that replaces `path` when the block ends.

    If the block raises an error, `path` stays as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if path.exists():
            before = path.with_name(f".{path.name}.{os.getpid()}.old.tmp")
            path.replace(before)
            try:
                temporary.replace(path)
            except BaseException:
                before.replace(path)
                raise
            shutil.rmtree(before)
        else:
            temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write text atomically, in UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; floats are read back bit for bit."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        EmbrlError: the file is missing or damaged.
    """
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise EmbrlError(f"{path} is missing") from error
    except (OSError, ValueError) as error:
        raise EmbrlError(f"{path} is damaged: {error}") from error
    if not isinstance(value, dict):
        raise EmbrlError(f"{path} is damaged: expected a JSON object")
    return value


T = TypeVar("T")


def from_plain(value: Any, kind: type[T], where: str) -> T:
    """Convert a plain value to a type, such as a dataclass of settings.

    Args:
        value: numbers, strings, lists and dictionaries.
        kind: the type to build; unknown keys are refused.
        where: the file and entry, for the message.

    Raises:
        EmbrlError: the value does not fit the type.
    """
    import cattrs

    try:
        return cattrs.Converter(forbid_extra_keys=True).structure(value, kind)
    except Exception as error:  # cattrs raises groups of whatever a value's type raises
        reasons = "; ".join(cattrs.transform_error(error))
        raise EmbrlError(f"{where} is damaged: {reasons}") from error


def require_keys(value: Mapping[str, Any], keys: Iterable[str], where: str | Path) -> None:
    """Check that a JSON object has all of these keys.

    Raises:
        EmbrlError: some are missing; the message names them.
    """
    if missing := sorted(key for key in keys if key not in value):
        raise EmbrlError(f"{where} lacks {', '.join(missing)}")


class TemporaryFolder:
    """Folder that vanishes with the last reference to this object, or when Python ends."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="embrl-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def copy_folder(source: Path, path: Path) -> None:
    """Copy a folder; the copy exists whole or not at all.

    Raises:
        EmbrlError: `path` exists and is not an empty folder, or cannot be written.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise EmbrlError(f"{path} exists and is not an empty folder; choose an empty or new folder")
    try:
        with replacing_folder(path) as new:
            shutil.copytree(source, new, dirs_exist_ok=True)
    except OSError as error:
        raise EmbrlError(f"{path} cannot be written: {error.strerror or error}") from error
