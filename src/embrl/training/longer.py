"""Runs that go on to another number of samples than they were begun with."""

import dataclasses
from pathlib import Path

from embrl.errors import EmbrlError
from embrl.training.config import RunConfig, check_same


def check_same_but_samples(wanted: RunConfig, found: RunConfig, path: Path) -> None:
    """Whether the run `found` in the folder `path` can go on as `wanted`.

    Raises:
        EmbrlError: they differ in more than the number of samples, or what the run did so far would
            have been something else had it been begun with the other number.
    """
    same = wanted
    if not wanted.vary:  # the points of a sweep are compared at its one budget
        same = dataclasses.replace(wanted, samples=found.samples)
    check_same(same, found, f"{path} holds another run")
    falling = _hangs_on_the_end(wanted)
    if wanted.samples != found.samples and falling:
        raise EmbrlError(
            f"{path} cannot go on to {wanted.samples:,} samples: {falling} was set for a run of "
            f"{found.samples:,}; begin again in another --out"
        )


def _hangs_on_the_end(config: RunConfig) -> str:
    """What follows a course that ends with the run, if anything does."""
    update, explore = config.update, config.explore
    if update.every and update.schedule == "linear":
        return "update.schedule linear"
    if update.every and update.until < 1.0:
        return f"update.until {update.until:g}"
    return f"explore.bonus {explore.bonus:g}, which falls to 0," if explore.bonus else ""
