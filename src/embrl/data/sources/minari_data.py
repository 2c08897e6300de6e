"""Transitions from Minari data sets on this machine."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from embrl.core.errors import EmbrlError, require
from embrl.data.sources.recorded import UNSAID, Given, Recorded, converted
from embrl.data.sources.recorded_values import Where
from embrl.envs.gym.leaves import assembled, leaves

PREFIX = "minari:"
"""Prefix of the ID of a data set."""


def read(source: str | Path, given: Given = UNSAID) -> Recorded:
    """Read all episodes of a data set, one after another.

    Args:
        source: a folder, or `minari:` and the ID of a data set on this machine.
        given: spaces in place of the data set's own.

    Raises:
        EmbrlError: Minari is not installed, the data set does not exist, or it holds values that
            cannot be used.
    """
    by_id = isinstance(source, str) and source.startswith(PREFIX)
    if not by_id and _data(Path(source)) is None:
        raise EmbrlError(f"{source} is not a Minari data set: it has no metadata.json")
    minari = require("minari", "minari")
    require("h5py", "minari")
    name = str(source).removeprefix(PREFIX)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the versions that its environments were made with
        try:
            dataset = _opened(minari, source)
            return _read(dataset, str(dataset.id), given)
        except EmbrlError:
            raise
        except Exception as error:  # whatever Minari and h5py raise
            raise EmbrlError(
                f"{name} cannot be read as a Minari data set: {type(error).__name__}: {error}"
            ) from error


def _opened(minari: Any, source: str | Path) -> Any:
    """Return the data set."""
    if isinstance(source, str) and source.startswith(PREFIX):
        name = source.removeprefix(PREFIX)
        known = sorted(minari.list_local_datasets())
        if name not in known:
            here = ", ".join(known[:8]) or "none"
            raise EmbrlError(
                f"unknown Minari data set {name!r}; this machine has {here} (minari download gets "
                "others)"
            )
        return minari.load_dataset(name)
    return minari.MinariDataset(_data(Path(source)))


def _data(path: Path) -> Path | None:
    """Return the folder with the metadata, if there is one."""
    for folder in (path, path / "data"):
        if (folder / "metadata.json").is_file():
            return folder
    return None


def _read(dataset: Any, name: str, given: Given) -> Recorded:
    """Return the transitions of all episodes."""
    observed = given.observation_space or dataset.observation_space
    acted = given.action_space or dataset.action_space
    episodes = [episode for episode in dataset.iterate_episodes() if len(episode.rewards)]
    if not episodes:
        raise EmbrlError(f"{name} has no transitions")
    lengths = np.array([len(episode.rewards) for episode in episodes])
    ends = lengths.cumsum()

    def row(at: int) -> str:
        number = int(np.searchsorted(ends, at, "right"))
        return f"step {at - (ends[number] - lengths[number])} of episode {episodes[number].id}"

    columns = {
        "observation": _joined(observed, [e.observations for e in episodes], slice(None, -1)),
        "next_observation": _joined(observed, [e.observations for e in episodes], slice(1, None)),
        "action": _joined(acted, [e.actions for e in episodes], slice(None)),
        "reward": np.concatenate([e.rewards for e in episodes]),
        "terminated": np.concatenate([e.terminations for e in episodes]),
        "truncated": np.concatenate([e.truncations for e in episodes]),
    }
    found = Given(observed, acted, given.strict)
    return converted(Where(name, row), columns, found)


def _joined(space: Any, values: list[Any], steps: slice) -> Any:
    """Return the values of all episodes at some steps of each, `[N, ...]` in each leaf."""
    parts = [
        np.concatenate([np.asarray(leaf.of(value))[steps] for value in values])
        for leaf in leaves(space)
    ]
    return assembled(space, iter(parts))
