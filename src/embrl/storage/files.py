"""Atomic writing of files, and typed reading of JSON.

A reader never sees half of a file, even after `kill -9`. What the operating system refuses, a full
disk or a read-only place, becomes an `EmbrlError`.
"""

import contextlib
import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar

from embrl.core.errors import EmbrlError

LOCK = ".lock"
"""Name of the file by which a process holds a folder (`embrl.storage.lock`)."""

LEFTOVERS = ".*.tmp"
"""Pattern of what a process that was killed leaves behind."""


def as_path(path: str | os.PathLike[str]) -> Path:
    """Return a path that a user gave, with `~` expanded to the home folder."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (pathlib's raises errors)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an error of the operating system in a block into one line that names `path`.

    Raises:
        EmbrlError: the operating system refused something.
    """
    try:
        yield
    except OSError as error:
        raise EmbrlError(f"{path} cannot be written: {error.strerror or error}") from error


def make_folder(path: Path) -> None:
    """Create a folder and its parents, if they do not exist.

    Raises:
        EmbrlError: it cannot be created.
    """
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


def is_free(path: Path, ignored: Collection[str] = ()) -> bool:
    """Return whether a path does not exist, or is a folder that holds nothing of anybody's.

    Args:
        path: the path.
        ignored: names of files that an interrupted writer may have left, beside hidden ones.

    Raises:
        EmbrlError: the path cannot exist, or may not be looked at.
    """
    with writing(path):
        if not path.exists():
            return True
        return path.is_dir() and all(
            entry.name == LOCK or entry.match(LEFTOVERS) or entry.name in ignored
            for entry in path.iterdir()
        )


def remove_leftovers(path: Path) -> None:
    """Remove what processes that were killed left in a folder."""
    for leftover in path.glob(LEFTOVERS):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, so that there is the old one or the new one at any moment."""
    with replacing(path) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that replaces `path` when the block ends.

    If the block raises an error, `path` stays as it was.

    Raises:
        EmbrlError: the operating system refused to write.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb+") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        # Not an error of what the block reads.
        if isinstance(error, OSError) and error.filename in (None, str(temporary), str(path)):
            raise EmbrlError(f"{path} cannot be written: {error.strerror or error}") from error
        raise


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Create an empty folder that replaces `path` when the block ends.

    If the block raises an error, `path` stays as it was.

    Raises:
        EmbrlError: the operating system refused to write.
    """
    place = path.resolve()  # `.` has no name, and a link stays one
    temporary = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with writing(path):
            temporary.mkdir(parents=True)
            yield temporary
            if place.exists():
                before = place.with_name(f".{place.name}.{os.getpid()}.old.tmp")
                place.replace(before)
                try:
                    temporary.replace(place)
                except BaseException:
                    before.replace(place)
                    raise
                shutil.rmtree(before, ignore_errors=True)
            else:
                temporary.replace(place)
    except EmbrlError as error:
        if isinstance(error.__cause__, OSError):  # of a file in the temporary folder
            with writing(path):
                raise error.__cause__ from None
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write text atomically, in UTF-8."""
    write_bytes(path, text.encode())


def append_text(path: Path, text: str) -> None:
    """Append text to a file, encoded as UTF-8. A crash may leave the beginning of it."""
    with writing(path), path.open("ab") as file:
        file.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; floats are read back bit for bit."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        EmbrlError: the file is missing or damaged.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EmbrlError(f"{path} is missing") from error
    except (OSError, ValueError, RecursionError) as error:
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
    if not is_free(path):
        raise EmbrlError(f"{path} exists and is not an empty folder; choose an empty or new folder")
    with replacing_folder(path) as new:
        hidden = shutil.ignore_patterns(LOCK, LEFTOVERS)
        shutil.copytree(source, new, dirs_exist_ok=True, ignore=hidden)
