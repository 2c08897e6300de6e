"""kill -9 in the middle of upserts into a folder, again and again.

    python benchmarks/store_kills.py FOLDER --kills 20

A child process writes parts of rows and says which are acknowledged; it is killed at a random
moment, the folder is opened, and every acknowledged row is compared. Prints `KILLS kills ROWS
acknowledged LOST lost`, and ends with 1 if any was lost.
"""

import argparse
import contextlib
import random
import subprocess
import sys
import time

import numpy as np

from embrl.core.errors import EmbrlError
from embrl.store.store import Store

DIM = 16


def vectors_of(ids: np.ndarray) -> np.ndarray:
    """Return the vectors that belong to ids, to be compared later."""
    return np.sin(ids[:, None] * (1.0 + np.arange(DIM))).astype(np.float32)


def opened(store: Store):
    return store.create(
        "rows", kind="actions", version="ab" * 8, dim=DIM, columns={"price": "number"}
    )


def write(folder: str, first: int, rows: int) -> None:
    """Write rows until killed."""
    with Store(folder) as store:
        into = opened(store)
        for start in range(first, sys.maxsize, rows):
            ids = np.arange(start, start + rows)
            into.upsert(ids, vectors_of(ids), {"price": ids * 0.5})
            print(start + rows, flush=True)


def killed(folder: str, first: int, rows: int) -> int:
    """Let a child write, kill it, and return the number of rows that it said are written."""
    command = [sys.executable, __file__, folder, "--write", str(first), "--rows", str(rows)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        last = int(child.stdout.readline())  # it has begun
        with contextlib.suppress(EmbrlError):
            Store(folder)
            raise AssertionError("a second process has opened the folder")
        time.sleep(random.uniform(0.0, 1.5))
        child.kill()
        for line in child.stdout:
            last = int(line) if line.endswith("\n") else last
    return last


def missing(folder: str, count: int) -> int:
    """Return how many of the first rows are not as they were written."""
    with Store(folder, create=False) as store:
        ids = np.arange(count)
        found = opened(store).get(ids)
        right = sum(
            (hit.vector == vector).all() and hit.metadata["price"] == hit.id * 0.5
            for hit, vector in zip(
                found, vectors_of(np.array([hit.id for hit in found])), strict=True
            )
        )
    return count - int(right)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--write", type=int)
    given = parser.parse_args()
    if given.write is not None:
        write(given.folder, given.write, given.rows)
    count = lost = 0
    for _ in range(given.kills):
        count = killed(given.folder, count, given.rows)
        lost += missing(given.folder, count)
    print(f"{given.kills} kills {count} acknowledged {lost} lost")
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
