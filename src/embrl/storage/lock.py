"""Lock of a folder, by which one process at a time writes to it."""

import contextlib
import errno
import threading
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from embrl.core.errors import EmbrlError
from embrl.storage import files

NOT_SUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""Errors of file systems that have no locks."""

_held: set[tuple[int, Path]] = set()
"""Threads of this process, and the folders that they hold."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this thread alone; it is created if it does not exist.

    The operating system ends the lock with the process, also after `kill -9`. What an earlier
    process that was killed left half-written is removed. If the folder stays empty, it is removed,
    too. On a file system without locks, there is none.

    Raises:
        EmbrlError: another process or thread holds it, or it cannot be written.
    """
    mine = (threading.get_ident(), folder.absolute())
    if mine in _held:  # by a caller of this function's caller
        yield
        return
    with files.writing(folder):
        in_the_way = folder.exists() and not folder.is_dir()
    if in_the_way:
        raise EmbrlError(f"{folder} exists and is not a folder; choose an empty or new folder")
    with _created(folder):
        lock = FileLock(folder / files.LOCK, timeout=0)
        held = _acquire(lock, folder)
        try:
            _held.add(mine)
            files.remove_leftovers(folder)
            yield
        finally:
            _held.discard(mine)
            with contextlib.suppress(OSError):  # Windows keeps a file that is open
                (folder / files.LOCK).unlink(missing_ok=True)
            if held:
                lock.release()


def _acquire(lock: FileLock, folder: Path) -> bool:
    """Acquire a lock; return False where there are none.

    Raises:
        EmbrlError: another process or thread holds it, or its file cannot be written.
    """
    try:
        lock.acquire()
    except Timeout:
        raise EmbrlError(
            f"{folder} must be written by one process at a time, got a second one; wait until the "
            "other one ends, or choose another folder"
        ) from None
    except NotImplementedError:
        return False
    except OSError as error:
        if error.errno in NOT_SUPPORTED:
            return False
        raise EmbrlError(f"{folder} cannot be written: {error.strerror or error}") from error
    return True


@contextlib.contextmanager
def _created(folder: Path) -> Iterator[None]:
    """Create a folder and its parents; remove those that are empty when the block ends."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    files.make_folder(folder)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it is not empty, nor are its parents
            for path in missing:
                path.rmdir()
