"""Actions of a policy for files of observations."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from embrl.core.errors import EmbrlError, SettingError
from embrl.deploy.csv_rows import Header
from embrl.deploy.exported import MANIFEST, ExportedPolicy
from embrl.deploy.files import STDIN, actions_into, as_line, observations, rows_of_masks


def opened(path: str | Path, seed: int = 0) -> ExportedPolicy:
    """Return the policy in an exported folder, or of one seed of a run, which needs JAX.

    Raises:
        EmbrlError: If the folder is neither, is damaged, or its policy has no form outside of JAX.
    """
    path = Path(path)
    if (path / MANIFEST).is_file():
        return ExportedPolicy.read(path)
    if not (path / "config.json").is_file():
        raise EmbrlError(
            f"policy must be an exported policy or a run folder, got {path}; embrl export and "
            "embrl train write such folders"
        )
    from embrl.core.runtime import prepare_jax
    from embrl.deploy.export import ported

    prepare_jax()
    return ported(path, seed).policy


def predict(
    policy: ExportedPolicy,
    source: str | Path,
    out: Path | None = None,
    draw: int | None = None,
    header: Header = "auto",
    strict: bool = False,
    masks: Path | None = None,
) -> int:
    """Write the actions of all observations of a file; return how many there were.

    Nothing is written if a row is wrong, except that standard input is answered line by line.

    Args:
        policy: The policy.
        source: Observations, as `observations` takes them.
        out: File of actions; None for lines of JSON on standard output.
        draw: Seed of the noise by which actions are drawn; None for those of the most likely
            internal actions.
        header: Whether the first line of a CSV is a header.
        strict: Refuse numbers outside their bounds, of which there is else one warning.
        masks: File of masks, one for each observation (`actions`).

    Raises:
        EmbrlError: If a file is missing or damaged, or a row is not in the space.
    """
    is_file = str(source) != STDIN and Path(source).exists()
    if is_file and out is not None and out.exists() and out.samefile(source):
        raise SettingError("out", "another file than the observations", out)
    found = actions(policy, source, draw, header, strict, masks)
    count = 0
    if out is not None:
        with actions_into(out, policy.action) as put:
            for rows in found:
                put(rows)
                count += len(rows)
    elif str(source) == STDIN:
        for rows in found:
            for action in rows:
                print(as_line(action, policy.action), flush=True)
            count += len(rows)
    else:
        with tempfile.TemporaryFile("w+") as spool:
            for rows in found:
                spool.writelines(as_line(action, policy.action) + "\n" for action in rows)
                count += len(rows)
            spool.seek(0)
            shutil.copyfileobj(spool, sys.stdout)
    return count


def actions(
    policy: ExportedPolicy,
    source: str | Path,
    draw: int | None = None,
    header: Header = "auto",
    strict: bool = False,
    masks: Path | None = None,
) -> Iterator[np.ndarray]:
    """Yield the actions of all observations of a file, part by part.

    Args:
        policy: as in `predict`; likewise source, draw, header and strict.
        masks: .npy file of a mask for each observation, `[N, ...]`, in any form of
            `embrl.core.masks.MaskForms` that is an array; None: all actions may be chosen.

    Raises:
        EmbrlError: a file is missing or damaged, a row is not in the space, a mask has none of its
            forms or allows no action, or there are more or fewer masks than observations.
    """
    drawn = noise_of(policy, draw or 0)
    warn = None if strict else policy.warn
    allowed = None if masks is None else rows_of_masks(masks)
    done = 0
    for seen in observations(source, policy.observation, header, warn):
        noise, only = None if draw is None else drawn(len(seen)), None
        first, done = done, done + len(seen)
        if allowed is not None:
            if done > len(allowed):
                break
            only = policy.allowed(np.asarray(allowed[first:done]), (len(seen),))
        yield policy.policy(seen, noise, only).astype(policy.action.dtype)
    if allowed is not None and done != len(allowed):
        more = "fewer" if done > len(allowed) else "more"
        raise SettingError(
            "masks", "a row for each observation", f"{len(allowed):,} rows, {more} than these"
        )


def noise_of(policy: ExportedPolicy, seed: int) -> Callable[[int], np.ndarray]:
    """Return a function that draws the noise of so many actions more."""
    kinds = policy.policy.noise
    # A generator for each kind, so that actions do not depend on the size of the parts.
    normal, uniform = (np.random.default_rng((seed, stream)) for stream in range(2))

    def drawn(count: int) -> np.ndarray:
        sizes = [(count, kinds.count(kind)) for kind in ("normal", "uniform")]
        columns = [normal.standard_normal(sizes[0]), uniform.random(sizes[1])]
        return np.concatenate(columns, -1).astype(np.float32)

    return drawn
