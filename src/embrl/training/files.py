"""Writing files so that a reader never meets half of one, even after kill -9."""

import json
import os
from pathlib import Path
from typing import Any

from embrl.errors import EmbrlError


def write_bytes(path: Path, data: bytes) -> None:
    """Writes beside `path` and renames: there is the old file or the new one, nothing between."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


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
