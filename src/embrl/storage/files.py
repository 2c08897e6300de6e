"""Writing files so that a reader never meets half of one, even after kill -9."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from embrl.core.errors import EmbrlError


def write_bytes(path: Path, data: bytes) -> None:
    """Writes beside `path` and renames: there is the old file or the new one, nothing between."""
    with replacing(path) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write piece by piece, which takes the place of `path` once that is done; nothing
    does if an error comes between.
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
    """An empty folder to fill, which takes the place of `path` once that is done; nothing does if
    an error comes between.
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
    """`write_bytes` for text, in UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """`write_bytes` for JSON; floats come back equal to the last bit."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        EmbrlError: no such file, or it is damaged.
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
