"""Features of discrete actions, and actions that are excluded.

Both are read from files, so the run folder keeps copies and needs no others.
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
from embrl.core.products import is_product
from embrl.core.spaces import action_count, is_continuous
from embrl.embedding.config import EmbeddingConfig
from embrl.embedding.feature_actions import checked_features, checked_indices, without
from embrl.embedding.methods import METHODS
from embrl.storage import files
from embrl.storage.run_folder import RunFolder
from embrl.text import read_texts, text_vectors

FEATURES = "action-features.npy"
EXCLUDED = "excluded-actions.npy"

TEXTS = ".csv"
"""End of the name of a file with a text for each action."""

FROM_ENVIRONMENT = "env"
"""Value of `embedding.action_features` for those of the environment."""


class ActionSource(Protocol):
    """Anything that actions belong to, such as an environment."""

    @property
    def action_space(self) -> gymnasium.Space:
        """The actions, in embrl's form."""
        ...

    def action_features(self) -> Any:
        """Return the features of each action, or None."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class ActionInputs:
    """Features of discrete actions, and which of them are excluded."""

    features: np.ndarray | None = None
    """float32 `[n, q]`; None: actions have learned rows."""
    allowed: np.ndarray | None = None
    """bool `[n]`, False for excluded actions; None: all are allowed."""

    @functools.cached_property
    def excluded(self) -> np.ndarray | None:
        """Indices of the excluded actions."""
        return None if self.allowed is None else np.flatnonzero(~self.allowed).astype(np.int32)

    @classmethod
    def gather(
        cls, config: RunConfig, source: ActionSource, folder: RunFolder | None = None
    ) -> "ActionInputs":
        """Read what the settings name.

        Args:
            config: of the run.
            source: the environment.
            folder: a run's folder; where a run has begun, its copies count.

        Raises:
            EmbrlError: a file is missing or holds something else, the environment has no features,
                or there is no embedding of discrete actions for them.
        """
        if not _wanted(config):
            return NONE
        if is_continuous(source.action_space) or is_product(source.action_space):
            raise EmbrlError(
                f"{_setting(config)} needs Discrete actions, got {source.action_space}"
            )
        if not METHODS[config.method].actions:
            raise EmbrlError(
                f"{_setting(config)} needs embedded actions, and method {config.method} has none"
            )
        actions = action_count(source.action_space)
        features = allowed = None
        if config.embedding.action_features:
            features = _features(config.embedding, source, actions, folder)
        if config.rollout.excluded_actions:
            path = _copy(folder, EXCLUDED) or Path(config.rollout.excluded_actions)
            allowed = _allowed(path, actions, "rollout.excluded_actions")
        return cls(features, allowed)

    @classmethod
    def of_run(
        cls, config: RunConfig, action_space: gymnasium.Space, folder: RunFolder
    ) -> "ActionInputs":
        """Read a run's copies from its folder.

        Raises:
            EmbrlError: a copy is missing or damaged.
        """
        if not _wanted(config):
            return NONE
        actions, features, allowed = action_count(action_space), None, None
        if config.embedding.action_features:
            path = folder.path / FEATURES
            features = checked_features(_array(path, str(path)), str(path), rows=actions)
        if config.rollout.excluded_actions:
            path = folder.path / EXCLUDED
            allowed = _allowed(path, actions, str(path))
        return cls(features, allowed)

    def write(self, folder: RunFolder) -> None:
        """Write copies into a run's folder, where they do not exist yet."""
        for name, values in ((FEATURES, self.features), (EXCLUDED, self.excluded)):
            if values is not None and not (folder.path / name).exists():
                data = io.BytesIO()
                np.save(data, values, allow_pickle=False)
                files.write_bytes(folder.path / name, data.getvalue())


NONE = ActionInputs()


def _wanted(config: RunConfig) -> bool:
    return bool(config.embedding.action_features or config.rollout.excluded_actions)


def _setting(config: RunConfig) -> str:
    if config.embedding.action_features:
        return "embedding.action_features"
    return "rollout.excluded_actions"


def _copy(folder: RunFolder | None, name: str) -> Path | None:
    if folder is None or not folder.holds_run:
        return None
    path = folder.path / name
    return path if path.exists() else None


def _features(
    embedding: EmbeddingConfig, source: ActionSource, actions: int, folder: RunFolder | None
) -> np.ndarray:
    named = embedding.action_features
    what = f"embedding.action_features {named}"
    if copy := _copy(folder, FEATURES):
        return checked_features(_array(copy, what), str(copy), rows=actions)
    if named.lower().endswith(TEXTS):
        texts = read_texts(files.as_path(named), "embedding.action_features")
        if len(texts) != actions:
            raise EmbrlError(
                f"{what} must have a text for each of {actions} actions, got {len(texts)} rows"
            )
        vectors = text_vectors(texts, embedding.text_encoder)
        return checked_features(vectors, what, rows=actions)
    if named != FROM_ENVIRONMENT:
        return checked_features(_array(Path(named), what), what, rows=actions)
    found = source.action_features()
    if found is None:
        raise EmbrlError(
            "embedding.action_features must be a .npy or .csv file, got env; this environment has "
            "no features of actions"
        )
    return checked_features(found, what, rows=actions)


def _allowed(path: Path, actions: int, what: str) -> np.ndarray:
    excluded = checked_indices(_array(path, what), actions, what)
    return without(None, actions, excluded, what)


def _array(path: Path, what: str) -> np.ndarray:
    """Return the array in a .npy file; nothing in it is ever executed."""
    try:
        found = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise EmbrlError(f"{what}: {path} does not exist") from error
    except Exception as error:  # NumPy's reader raises many kinds
        # Not NumPy's own message: it says how to execute a pickle.
        raise EmbrlError(f"{what}: {path} is not a complete .npy file of numbers") from error
    if not isinstance(found, np.ndarray):
        found.close()
        raise EmbrlError(f"{what}: {path} holds several arrays; give a .npy file with one")
    return found
