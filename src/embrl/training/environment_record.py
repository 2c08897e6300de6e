"""A run's record of its environment: names of actions, and checksums of the data it was made of.

They stand in `environment.json` in the run folder, so that a policy can say what its actions are
called without the environment, and data that have changed since are noticed.
"""

import dataclasses
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embrl.config.run import RunConfig, as_json
from embrl.core.errors import EmbrlError, WarnOnce
from embrl.envs import AnyEnvironment, Environment
from embrl.envs.environment import data_settings, has_constraint
from embrl.storage import files
from embrl.storage.run_folder import RunFolder

FILE = "environment.json"


@dataclasses.dataclass(frozen=True)
class EnvironmentRecord:
    """A run's record of its environment."""

    action_names: tuple[str, ...] | None = None
    """Names of the actions; None where they have none."""
    data: Mapping[str, Any] | None = None
    """What was read, as `EnvironmentData.to_json` has it; None where there is nothing to read."""
    coupled: bool = False
    """True if its `is_feasible` couples the parts of an action."""

    @classmethod
    def of(cls, env: AnyEnvironment) -> "EnvironmentRecord":
        """Return the record of an environment."""
        source = env.data_source
        coupled = isinstance(env, Environment) and has_constraint(env)
        return cls(env.action_names, None if source is None else source.to_json(), coupled)

    @classmethod
    def read(cls, folder: RunFolder) -> "EnvironmentRecord":
        """Return a run's record; an empty one where there is none.

        Raises:
            EmbrlError: the file is damaged.
        """
        path = folder.path / FILE
        if not path.exists():
            return cls()
        found = files.read_json(path)
        names, data = found.get("action_names"), found.get("data")
        named = names is None or (
            isinstance(names, list) and all(isinstance(name, str) for name in names)
        )
        if not named or not (data is None or isinstance(data, dict)):
            raise EmbrlError(f"{path} is damaged: it must have action_names and data")
        coupled = bool(found.get("coupled", False))
        return cls(None if names is None else tuple(names), data, coupled)

    def write(self, folder: RunFolder) -> None:
        """Write the record into a run's folder, if there is something to keep and none yet."""
        if self != EnvironmentRecord() and not (folder.path / FILE).exists():
            names = None if self.action_names is None else list(self.action_names)
            coupled = {"coupled": True} if self.coupled else {}
            record = {"action_names": names, "data": self.data, **coupled}
            files.write_json(folder.path / FILE, record)

    @property
    def checksums(self) -> list[str]:
        """Checksums of the files that were read, in order."""
        return list((self.data or {}).get("files", {}).values())


def check_unchanged(folder: RunFolder, env: AnyEnvironment, *, resumed: bool = False) -> None:
    """Check that an environment is the one that a run has learned in, as far as its record tells.

    Where data have changed, but not what actions are called, that is a warning.

    Args:
        folder: of the run.
        env: the environment.
        resumed: whether training continues, which needs the very same data.

    Raises:
        EmbrlError: actions have other names, or the data of a run to be resumed are others.
    """
    before, now = EnvironmentRecord.read(folder), EnvironmentRecord.of(env)
    if before.data is None or now.data is None:
        return
    changed = [
        path
        for path, then, found in zip(
            now.data["files"], before.checksums, now.checksums, strict=False
        )
        if then != found
    ]
    what = ", ".join(changed) or ", ".join(now.data["files"])
    if before.action_names != now.action_names:
        raise EmbrlError(
            f"{what} must be the data that {folder.path} was trained on, got others, in which "
            f"{_difference(before, now)}; restore them, or train anew"
        )
    if before.checksums == now.checksums:
        return
    if resumed:
        raise EmbrlError(
            f"{what} must be as it was when {folder.path} began, got a file that has changed "
            "since; restore it, or train anew in another --out"
        )
    WarnOnce()(
        what, f"{what} has changed since {folder.path} was trained on it; actions mean the same"
    )


def _difference(before: EnvironmentRecord, now: EnvironmentRecord) -> str:
    """Return the first action whose name differs."""
    then, found = before.action_names or (), now.action_names or ()
    for at, (old, new) in enumerate(zip(then, found, strict=False)):
        if old != new:
            return f"action {at} is {new}, not {old}"
    return f"there are {len(found)} actions, not {len(then)}"


def built(config: RunConfig, folder: RunFolder | None) -> AnyEnvironment:
    """Return the environment that settings describe.

    Args:
        config: of a run.
        folder: of the run, if it has begun.

    Raises:
        EmbrlError: it cannot be made; if the data of a run have moved, the message says what to do.
    """
    try:
        return config.env.build()
    except EmbrlError as error:
        gone = [
            name
            for name in data_settings(config.env)
            if (path := getattr(config.env, name)) and not Path(path).exists()
        ]
        if not gone or folder is None or EnvironmentRecord.read(folder).data is None:
            raise
        flags = " ".join(f"--env.{name.replace('_', '-')} FILE" for name in gone)
        path = shlex.quote(str(folder.path))
        raise EmbrlError(
            f"{error}, which {folder.path} was trained on; put it back, or say where it is with "
            f"embrl train --config {path} --out {path} --resume {flags}"
        ) from error


def environment_of(folder: RunFolder, config: RunConfig) -> AnyEnvironment:
    """Return the environment of a run, made again from its settings.

    Args:
        folder: of the run.
        config: of the run.

    Raises:
        EmbrlError: it cannot be made, or its actions are called otherwise than in the run.
    """
    env = built(config, folder)
    check_unchanged(folder, env)
    return env


def at_kept_paths(wanted: RunConfig, found: RunConfig, folder: RunFolder) -> RunConfig:
    """Return a configuration with the paths of data that a run has kept.

    They may be other ones, where checksums tell that the data are the same.

    Args:
        wanted: a configuration.
        found: that of the run.
        folder: of the run.
    """
    names = data_settings(wanted.env)
    if type(wanted.env) is not type(found.env) or EnvironmentRecord.read(folder).data is None:
        return wanted
    paths: dict[str, Any] = {name: getattr(found.env, name) for name in names}
    env: Any = wanted.env
    return dataclasses.replace(wanted, env=dataclasses.replace(env, **paths))


def keep_paths(folder: RunFolder, config: RunConfig) -> None:
    """Write the paths of data into a run's configuration, if they are others than before."""
    before, now = folder.config(), as_json(config)["env"]
    if data_settings(config.env) and before["env"] != json.loads(json.dumps(now)):
        folder.write_config({**before, "env": now})
