"""What a run is told of its discrete actions beside how many there are: features, and which are
closed. Both are files, so the run folder keeps copies and needs no others.
"""

import dataclasses
import functools
import io
from pathlib import Path
from typing import Any, Protocol

import gymnasium
import numpy as np

from embrl.config.run import RunConfig
from embrl.core.errors import EmbrlError
from embrl.core.spaces import action_count, is_continuous
from embrl.embedding.feature_actions import checked_features, checked_indices, without
from embrl.embedding.methods import method
from embrl.storage import files
from embrl.storage.run_folder import RunFolder

FEATURES = "action-features.npy"
CLOSED = "closed-actions.npy"

FROM_ENVIRONMENT = "env"
"""In place of a file, where the environment has the features."""


@dataclasses.dataclass(frozen=True, eq=False)
class ActionInputs:
    """Of discrete actions."""

    features: np.ndarray | None = None
    """float32 `[n, q]`; None: actions have rows of their own."""
    allowed: np.ndarray | None = None
    """bool `[n]`: those that are not closed; None: all."""

    @functools.cached_property
    def closed(self) -> np.ndarray | None:
        """Indices of those that are."""
        return None if self.allowed is None else np.flatnonzero(~self.allowed).astype(np.int32)

    def write(self, folder: RunFolder) -> None:
        """Puts copies into the folder, where they are not there yet."""
        for name, values in ((FEATURES, self.features), (CLOSED, self.closed)):
            if values is not None and not (folder.path / name).exists():
                data = io.BytesIO()
                np.save(data, values, allow_pickle=False)
                files.write_bytes(folder.path / name, data.getvalue())


NONE = ActionInputs()


class Source(Protocol):
    """Where actions are from: an environment, for one."""

    @property
    def action_space(self) -> gymnasium.Space:
        """In embrl's form."""
        ...

    def action_features(self) -> Any:
        """What it says of each action; None: nothing."""
        ...


def gathered(config: RunConfig, source: Source, folder: RunFolder | None = None) -> ActionInputs:
    """What the settings name.

    Arguments:
        folder: where a run was begun, its copies are what counts.

    Raises:
        EmbrlError: a file is missing or holds something else, the environment has no features, or
            there is no embedding of discrete actions for them.
    """
    if not _wanted(config):
        return NONE
    if is_continuous(source.action_space):
        raise EmbrlError(f"{_flag(config)}: actions are {source.action_space}, not Discrete")
    if not method(config.method).actions:
        raise EmbrlError(f"{_flag(config)}: method {config.method} embeds no actions")
    actions = action_count(source.action_space)
    features = allowed = None
    if config.model.action_features:
        features = _features(config.model.action_features, source, actions, folder)
    if config.rollout.closed:
        path = _copy(folder, CLOSED) or Path(config.rollout.closed)
        allowed = _allowed(path, actions, "rollout.closed")
    return ActionInputs(features, allowed)


def of_run(config: RunConfig, action_space: gymnasium.Space, folder: RunFolder) -> ActionInputs:
    """What a run was told, by its folder alone.

    Raises:
        EmbrlError: a copy is missing or damaged.
    """
    if not _wanted(config):
        return NONE
    actions, features, allowed = action_count(action_space), None, None
    if config.model.action_features:
        path = folder.path / FEATURES
        features = checked_features(_array(path, str(path)), str(path), rows=actions)
    if config.rollout.closed:
        allowed = _allowed(folder.path / CLOSED, actions, str(folder.path / CLOSED))
    return ActionInputs(features, allowed)


def _wanted(config: RunConfig) -> bool:
    return bool(config.model.action_features or config.rollout.closed)


def _flag(config: RunConfig) -> str:
    return "model.action-features" if config.model.action_features else "rollout.closed"


def _copy(folder: RunFolder | None, name: str) -> Path | None:
    if folder is None or not folder.holds_run:
        return None
    path = folder.path / name
    return path if path.exists() else None


def _features(named: str, source: Source, actions: int, folder: RunFolder | None) -> np.ndarray:
    what = f"model.action-features {named}"
    if copy := _copy(folder, FEATURES):
        return checked_features(_array(copy, what), str(copy), rows=actions)
    if named != FROM_ENVIRONMENT:
        return checked_features(_array(Path(named), what), what, rows=actions)
    found = source.action_features()
    if found is None:
        raise EmbrlError(
            "model.action-features is env, and nothing here has action_features: name a .npy file"
        )
    return checked_features(found, what, rows=actions)


def _allowed(path: Path, actions: int, what: str) -> np.ndarray:
    closed = checked_indices(_array(path, what), actions, what)
    return without(None, actions, closed, what)


def _array(path: Path, what: str) -> np.ndarray:
    """A .npy file's array; nothing in it is ever executed."""
    try:
        found = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise EmbrlError(f"{what}: there is no file {path}") from error
    except (OSError, ValueError, EOFError) as error:
        # Not NumPy's own words: they say how to run what is in a pickle.
        raise EmbrlError(f"{what}: {path} is no whole .npy file of numbers") from error
    if not isinstance(found, np.ndarray):
        found.close()
        raise EmbrlError(f"{what}: {path} holds several arrays: give a .npy file of one")
    return found
