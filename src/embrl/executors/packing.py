"""Folders as bytes, for machines that share no folder."""

import io
import tarfile
from pathlib import Path

from embrl.core.errors import EmbrlError
from embrl.storage import files


def pack(folder: Path) -> bytes:
    """Return the files of a folder as an uncompressed tar archive, without hidden ones.

    Another thread may write to the folder meanwhile, atomically; what it removes is left out.
    """
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if any(part.startswith(".") for part in name.parts):
                continue
            try:
                content = path.read_bytes() if path.is_file() else None
            except FileNotFoundError:
                continue
            if content is not None:
                entry = tarfile.TarInfo(name.as_posix())
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return data.getvalue()


def unpack(data: bytes, folder: Path) -> None:
    """Replace a folder by what `pack` returned; it is there whole or stays as it was.

    Raises:
        EmbrlError: the archive is damaged, or has entries that are no plain files inside it.
    """
    with files.replacing_folder(folder) as new:
        try:
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                archive.extractall(new, filter="data")
        except tarfile.TarError as error:
            raise EmbrlError(f"what a worker returned for {folder} is damaged: {error}") from error


def fingerprint(folder: Path) -> str:
    """Return text that changes when something in a folder does."""
    found, newest = 0, 0
    for path in folder.rglob("*"):
        try:
            newest = max(newest, path.stat().st_mtime_ns)
        except FileNotFoundError:
            continue
        found += 1
    return f"{found} {newest}"
