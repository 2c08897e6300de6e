"""Checks of whether a run may start, or continue, in a folder."""

import dataclasses
from pathlib import Path

from embrl.config.run import RunConfig, check_same, load_config
from embrl.core.errors import EmbrlError
from embrl.storage.run_folder import RunFolder


def open_folder(config: RunConfig, path: Path, resume: bool) -> RunFolder:
    """Return the folder of a run that is to start or to resume there.

    Args:
        config: of the run.
        path: the folder; it need not exist.
        resume: whether a run in it may continue.

    Raises:
        EmbrlError: it holds something else, another run, or a run that is not to be resumed.
    """
    folder = RunFolder(path)
    if not folder.holds_run:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise EmbrlError(
                f"{path} exists and is not a run folder; choose an empty or new folder"
            )
        return folder
    if not resume:
        raise EmbrlError(f"{path} already holds a run; choose another --out, or add --resume")
    _check_resumable(config, load_config(folder), path)
    return folder


def _check_resumable(wanted: RunConfig, found: RunConfig, path: Path) -> None:
    """Check that a run can continue, perhaps to another number of timesteps.

    Raises:
        EmbrlError: they differ in more than the number of timesteps, or what the run did so far
            depended on that number.
    """
    same = wanted
    if not wanted.vary:  # the points of a sweep are compared at its one budget
        same = dataclasses.replace(wanted, total_timesteps=found.total_timesteps)
    check_same(same, found, f"{path} holds another run")
    schedule = _schedule_to_the_end(wanted)
    if wanted.total_timesteps != found.total_timesteps and schedule:
        raise EmbrlError(
            f"{path} cannot continue to {wanted.total_timesteps:,} timesteps: {schedule} was set "
            f"for a run of {found.total_timesteps:,}; start again in another --out"
        )


def _schedule_to_the_end(config: RunConfig) -> str:
    """Return the setting that follows a schedule over the whole run, if there is one."""
    online, exploration = config.online, config.exploration
    if online.every and online.schedule == "linear":
        return "online.schedule linear"
    if online.every and online.until < 1.0:
        return f"online.until {online.until:g}"
    if exploration.bonus:
        return f"exploration.bonus {exploration.bonus:g}, which decays to 0,"
    return ""
