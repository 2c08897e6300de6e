"""A policy's actions for files of observations."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from embrl.core.errors import EmbrlError
from embrl.deploy.action_files import actions_into, as_line
from embrl.deploy.exported import MANIFEST, ExportedPolicy
from embrl.deploy.observation_files import STDIN, observations


def opened(path: str | Path, seed: int = 0) -> ExportedPolicy:
    """The policy in an exported folder, or that of one seed of a run. JAX is needed for the latter
    only.

    Raises:
        EmbrlError: it is neither, is damaged, or has no form outside of JAX.
    """
    path = Path(path)
    if (path / MANIFEST).is_file():
        return ExportedPolicy.read(path)
    if not (path / "config.json").is_file():
        raise EmbrlError(
            f"{path} holds neither an exported policy nor a run: embrl export and embrl train "
            "write such folders"
        )
    from embrl.core.runtime import prepare_jax
    from embrl.deploy.exporting import ported

    prepare_jax()
    return ported(path, seed).policy


def predict(
    policy: ExportedPolicy, source: str | Path, out: Path | None = None, draw: int | None = None
) -> int:
    """Actions of all observations of a file, into a file, or as lines of JSON on standard output.
    How many there were.

    Nothing is written if a row is wrong; but what comes on standard input is answered line by line.

    Arguments:
        source: as `observations` takes it.
        draw: seed of the noise by which actions are drawn; None: those of the likeliest internal
            ones.

    Raises:
        EmbrlError: a file is missing or damaged, or a row is not in the space.
    """
    found = actions(policy, source, draw)
    count = 0
    if out is not None:
        with actions_into(out, policy.action) as put:
            for rows in found:
                put(rows)
                count += len(rows)
    elif str(source) == STDIN:
        for rows in found:
            for action in rows:
                print(as_line(action), flush=True)
            count += len(rows)
    else:
        with tempfile.TemporaryFile("w+") as spool:
            for rows in found:
                spool.writelines(as_line(action) + "\n" for action in rows)
                count += len(rows)
            spool.seek(0)
            shutil.copyfileobj(spool, sys.stdout)
    return count


def actions(
    policy: ExportedPolicy, source: str | Path, draw: int | None = None
) -> Iterator[np.ndarray]:
    """The same, part by part."""
    kinds = policy.policy.noise
    # Each kind from a generator of its own, so that it does not matter how rows come in parts.
    normal, uniform = (np.random.default_rng((draw or 0, stream)) for stream in range(2))
    for seen in observations(source, policy.observation):
        noise = None
        if draw is not None:
            sizes = [(len(seen), kinds.count(kind)) for kind in ("normal", "uniform")]
            columns = [normal.standard_normal(sizes[0]), uniform.random(sizes[1])]
            noise = np.concatenate(columns, -1).astype(np.float32)
        yield policy.policy(seen, noise).astype(policy.action.dtype)
