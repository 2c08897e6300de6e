"""Recorded transitions: conversion of arrays, with a check of every value."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from embrl.core.errors import EmbrlError, SettingError
from embrl.core.types import Transition
from embrl.data.sources.recorded_values import Where, checked, finite, flags, inferred
from embrl.envs.gym.flat_actions import Actions
from embrl.envs.gym.flat_observations import Observations
from embrl.envs.gym.precision import warning_of


@dataclasses.dataclass(frozen=True, eq=False)
class Recorded:
    """Recorded transitions in embrl's form: NumPy arrays, all finite and inside their spaces."""

    name: str
    """Name of the file or data set."""
    transitions: Transition
    """`[T, B, ...]`, T rows in time and B parallel environments."""
    observation_space: gymnasium.Space
    """`Discrete`, `MultiDiscrete` or `Box`, with one axis at most."""
    action_space: gymnasium.Space
    """`Discrete` or `Box`."""
    lacks: tuple[str, ...] = ()
    """Columns that were not recorded and are all zeros: `reward`, `terminated`."""
    about: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Further information on the data, as plain values."""

    @property
    def timesteps(self) -> int:
        """Number of transitions."""
        return int(np.size(self.transitions.reward))

    def first(self, timesteps: int) -> "Recorded":
        """Return the first transitions, in whole rows: at least `timesteps` of them.

        Raises:
            EmbrlError: there are fewer.
        """
        if timesteps > self.timesteps:
            raise SettingError(
                "pretrain.timesteps",
                f"at most {self.timesteps}, the number of transitions of {self.name}",
                timesteps,
            )
        num_envs = self.transitions.reward.shape[1]
        rows = -(-timesteps // num_envs)
        some = Transition(*(column[:rows] for column in self.transitions))
        return dataclasses.replace(self, transitions=some)


ALIASES = {
    "observation": ("observation", "observations", "obs", "state", "states"),
    "action": ("action", "actions", "acts"),
    "reward": ("reward", "rewards", "rews"),
    "next_observation": (
        *("next_observation", "next_observations", "next_obs", "next_state", "next_states"),
        "observations_next",
    ),
    "terminated": ("terminated", "terminations", "terminals"),
    "truncated": ("truncated", "truncations", "timeouts"),
    "done": ("done", "dones", "episode_end"),
}
"""Names that each column may have in files, the first of them embrl's own."""

_OBSERVATIONS = ("observation", "next_observation")


@dataclasses.dataclass(frozen=True)
class Given:
    """Spaces of recorded values, in Gymnasium's own form; None: inferred from the values."""

    observation_space: gymnasium.Space | None = None
    action_space: gymnasium.Space | None = None
    strict: bool = False
    """Whether numbers outside their bounds are refused; else there is one warning."""


UNSAID = Given()
"""Both spaces are inferred."""


def from_transition(
    transitions: Transition, given: Given = UNSAID, name: str = "transitions"
) -> Recorded:
    """Return the transitions of a rollout as recorded ones.

    Args:
        transitions: arrays `[T, B, ...]` or `[N, ...]`, of JAX or NumPy.
        given: spaces of the values.
        name: of the transitions, for messages.

    Raises:
        EmbrlError: columns do not fit each other or their space, or numbers are not finite; the
            message names the column and the place.
    """
    columns = {key: np.asarray(value) for key, value in transitions._asdict().items()}
    lead = columns["reward"].shape
    if len(lead) not in (1, 2):
        raise SettingError(f"{name}: shape of reward", "[N] or [T, B]", list(lead))
    for key, column in columns.items():
        if column.shape[: len(lead)] != lead:
            raise SettingError(
                f"{name}: shape of {key}",
                f"{list(lead)} in the first axes, as that of reward",
                list(column.shape),
            )
    num_envs = lead[1] if len(lead) == 2 else 1
    where = Where(name)
    if len(lead) == 2:
        where = Where(name, lambda row: f"step {row // num_envs} of environment {row % num_envs}")
    flat = {key: value.reshape(-1, *value.shape[len(lead) :]) for key, value in columns.items()}
    return converted(where, flat, given, num_envs)


def from_columns(
    columns: Mapping[str, np.ndarray], given: Given = UNSAID, name: str = "columns"
) -> Recorded:
    """Return columns as transitions, one in each row.

    Without a column of next observations, rows are the steps of episodes one after another, and
    the next observation is that of the next row; the last row of each episode is left out. A column
    `done` says where episodes end, but not whether they terminated.

    Args:
        columns: arrays `[N, ...]` by the names in `ALIASES`; others are ignored.
        given: spaces of the values.
        name: of the columns, for messages.

    Raises:
        EmbrlError: as `from_transition`; or a column is missing, or present under two names.
    """
    found = {ours: _one_of(columns, ours, name) for ours in ALIASES}
    for needed in ("observation", "action"):
        if found[needed] is None:
            there = ", ".join(list(columns)[:12])
            raise EmbrlError(
                f"{name} has no column {' or '.join(ALIASES[needed])}; its columns: "
                f"{there or 'none'}"
            )
    rows = len(np.atleast_1d(found["observation"]))  # type: ignore[arg-type]
    for ours, column in found.items():
        if column is not None and (np.ndim(column) < 1 or len(column) != rows):
            raise SettingError(
                f"{name}: number of rows of {ours}",
                f"{rows}, as of observation",
                len(np.atleast_1d(column)),
            )
    done = found.pop("done")
    if done is not None and found["truncated"] is None:
        # An end of which it is not known whether it terminated the task: data may be cut there.
        ends, terminated = flags(Where(name), "done", done), found["terminated"]
        found["truncated"] = (
            ends if terminated is None else ends & ~flags(Where(name), "terminated", terminated)
        )
    if found["next_observation"] is None and found["terminated"] is found["truncated"] is None:
        raise EmbrlError(
            f"{name} has no column next_observation, and none of terminated, truncated and done, "
            "which say where episodes end; add one of them"
        )
    lacks = tuple(ours for ours in ("reward", "terminated") if found[ours] is None)
    full = {
        ours: np.zeros(rows, np.float32 if ours == "reward" else bool) if column is None else column
        for ours, column in found.items()
        if ours != "next_observation" or column is not None
    }
    return converted(Where(name), full, given, 1, lacks)


def converted(
    where: Where,
    columns: Mapping[str, Any],
    given: Given,
    num_envs: int = 1,
    lacks: tuple[str, ...] = (),
) -> Recorded:
    """Check columns and convert them to embrl's form.

    Args:
        where: place of the values, for messages.
        columns: by embrl's names, `[T * B, ...]`; those of composite spaces with that axis in each
            leaf.
        given: spaces of the values.
        num_envs: parallel environments, B.
        lacks: columns that were not recorded.

    Raises:
        EmbrlError: as `from_transition`.
    """
    reward = finite(where, "reward", columns["reward"])
    if not reward.size:
        raise EmbrlError(f"{where.name} has no transitions")
    observed = {key: columns[key] for key in _OBSERVATIONS if key in columns}
    kinds = {np.shape(value)[1:] for value in observed.values() if isinstance(value, np.ndarray)}
    if len(kinds) > 1:
        raise SettingError(
            f"{where.name}: shape of next_observation in each row",
            f"{list(np.shape(observed['observation'])[1:])}, as that of observation",
            list(np.shape(observed["next_observation"])[1:]),
        )
    space = given.observation_space
    if space is None:
        columns_seen = [np.asarray(value) for value in observed.values()]
        try:
            both = np.concatenate(columns_seen)
        except TypeError as error:
            kinds_seen = " and ".join(str(column.dtype) for column in columns_seen)
            raise SettingError(
                f"{where.name}: observation and next_observation", "of one dtype", kinds_seen
            ) from error
        rows = len(reward)

        def place(row: int) -> str:
            return where.row(row % rows) + " of next_observation" * (row >= rows)

        space = inferred(Where(where.name, place), "observation", both)
    acts = given.action_space or inferred(where, "action", np.asarray(columns["action"]))
    try:
        observations, actions = Observations(space), Actions(acts)
    except EmbrlError as error:
        raise EmbrlError(f"{where.name}: {error}") from error
    warn = None if given.strict else observations.warn
    out = {
        key: observations(checked(where, key, space, value, warn))
        for key, value in observed.items()
    }
    if found := warning_of(observations, observed["observation"]):
        observations.warn("precision", f"{where.name}: {found}")
    out["action"] = actions.from_original(checked(where, "action", acts, columns["action"], warn))
    out["reward"] = reward
    for key in ("terminated", "truncated"):
        out[key] = flags(where, key, columns[key])
    if "next_observation" not in out:
        out = _with_next(where, out)
    shaped: dict[str, Any] = {
        key: value.reshape(-1, num_envs, *value.shape[1:]) for key, value in out.items()
    }
    found = Transition(**shaped)
    found = found._replace(truncated=found.truncated | _cuts(found))
    return Recorded(where.name, found, observations.space, actions.space, lacks)


def _one_of(columns: Mapping[str, np.ndarray], ours: str, name: str) -> np.ndarray | None:
    """Return the column with one of the names of `ours`, if there is one."""
    found = [alias for alias in ALIASES[ours] if alias in columns]
    if len(found) > 1:
        raise EmbrlError(f"{name} has both {' and '.join(found)}; leave one of them out")
    return columns[found[0]] if found else None


def _with_next(where: Where, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the rows whose episode continues, with the observation of the next row."""
    continues = ~(columns["terminated"] | columns["truncated"])
    continues[-1] = False
    if not continues.any():
        raise EmbrlError(
            f"{where.name} has no column next_observation, and no episode of two rows to take it "
            "from; add the column"
        )
    following = np.roll(columns["observation"], -1, axis=0)
    # After the last row of it that is kept, an episode continues unseen: it is truncated there.
    last = continues & ~np.roll(continues, -1)
    columns = {**columns, "next_observation": following}
    columns["truncated"] = columns["truncated"] | last
    return {key: value[continues] for key, value in columns.items()}


def _cuts(transitions: Transition) -> np.ndarray:
    """Return where the next row does not continue an episode that has not ended, bool `[T, B]`."""
    differ = np.asarray(transitions.next_observation[:-1] != transitions.observation[1:])
    differ = differ.any(axis=tuple(range(2, differ.ndim)))
    ended = np.asarray(transitions.terminated | transitions.truncated)
    return np.concatenate([differ, np.zeros_like(ended[:1])]) & ~ended
