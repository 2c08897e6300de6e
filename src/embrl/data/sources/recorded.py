"""Recorded transitions: conversion of arrays, with a check of every value."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from embrl.core.errors import EmbrlError, SettingError
from embrl.core.types import Transition
from embrl.envs.gym.flatten import Actions, Observations, assembled, leaves


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


# Checks of values


def row_of(row: int) -> str:
    """Return the name of a row in messages."""
    return f"row {row}"


@dataclasses.dataclass(frozen=True)
class Where:
    """Place of values, for messages."""

    name: str
    """Name of the file or data set."""
    row: Callable[[int], str] = row_of
    """Returns the name of a row."""

    def wrong(self, what: str, values: np.ndarray, faults: np.ndarray, why: str) -> EmbrlError:
        """Return an error about the first fault.

        Args:
            what: name of the values.
            values: `[N, ...]`.
            faults: bool `[N, ...]`.
            why: end of the message.
        """
        row, *rest = np.argwhere(faults)[0].tolist()
        at = f", column {np.ravel_multi_index(rest, values.shape[1:])}" if rest else ""
        value = values[(row, *rest)]
        return EmbrlError(f"{self.name}: {what} {value} in {self.row(row)}{at} {why}")


def inferred(where: Where, what: str, values: np.ndarray) -> spaces.Space:
    """Return the space of values, as far as they tell.

    Integers count from 0 to the largest one present; other numbers are a `Box` without bounds.

    Args:
        where: place of the values.
        what: their name.
        values: `[N, ...]`.

    Raises:
        EmbrlError: the values are not numbers, or integers below 0.
    """
    if values.dtype.kind not in "biuf":
        raise SettingError(f"{where.name}: {what}", "numbers", values.dtype)
    if values.dtype.kind == "f":
        shape = values.shape[1:] or (1,)
        return spaces.Box(-np.inf, np.inf, shape, np.float32)
    if values.dtype.kind == "i" and (values < 0).any():
        raise where.wrong(what, values, values < 0, "is below 0; count from 0")
    counts = values.astype(np.int64).max(0) + 1
    return spaces.Discrete(int(counts)) if values.ndim == 1 else spaces.MultiDiscrete(counts)


def checked(where: Where, what: str, space: spaces.Space, values: Any) -> Any:
    """Check that values are in a space.

    Args:
        where: place of the values.
        what: their name.
        space: of one value.
        values: structured as the space, with a leading axis `[N]` in each leaf.

    Returns:
        The values, in the dtypes that embrl's conversions expect.

    Raises:
        EmbrlError: a leaf has another shape, or a value is not in the space or not finite.
    """
    try:
        found = [
            _checked(where, what, leaf.space, np.asarray(leaf.of(values))) for leaf in leaves(space)
        ]
    except (KeyError, IndexError, TypeError) as error:
        raise EmbrlError(f"{where.name}: {what} does not fit {space}: {error}") from error
    return assembled(space, iter(found))


def finite(where: Where, what: str, values: Any) -> np.ndarray:
    """Return values as float32 `[N]`.

    Raises:
        EmbrlError: one is not finite, or they are not numbers.
    """
    numbers = np.asarray(values)
    if numbers.dtype.kind not in "biuf":
        raise SettingError(f"{where.name}: {what}", "numbers", numbers.dtype)
    _refuse_infinite(where, what, numbers)
    return numbers.astype(np.float32)


def flags(where: Where, what: str, values: Any) -> np.ndarray:
    """Return values as bool `[N]`.

    Raises:
        EmbrlError: one is neither true nor false, nor 1 or 0.
    """
    given = np.asarray(values)
    if given.dtype.kind not in "biuf":
        raise SettingError(f"{where.name}: {what}", "true or false", given.dtype)
    odd = (given != 0) & (given != 1)
    if odd.any():
        raise where.wrong(what, given, odd, "is neither 0 nor 1")
    return given.astype(bool)


def _checked(where: Where, what: str, space: spaces.Space, values: np.ndarray) -> np.ndarray:
    """Check the values of one leaf."""
    if values.dtype.kind not in "biuf":
        raise SettingError(f"{where.name}: {what}", "numbers", values.dtype)
    shape = space.shape or ()
    if shape == (1,) and values.ndim == 1:
        values = values[:, None]  # a column of numbers is a vector with one coordinate
    elif not shape and values.shape[1:] == (1,):
        values = values[:, 0]
    if values.shape[1:] != shape:
        raise SettingError(
            f"{where.name}: shape of {what} in each row",
            f"{list(shape)}, as in {space}",
            list(values.shape[1:]),
        )
    _refuse_infinite(where, what, values)
    match space:
        case spaces.Box():
            low, high = space.low.astype(np.float32), space.high.astype(np.float32)
            rounded = values.astype(np.float32)
            outside = (rounded < low) | (rounded > high)
        case spaces.Discrete():
            outside = (values < space.start) | (values >= space.start + space.n)
        case spaces.MultiDiscrete():
            outside = (values < space.start) | (values >= space.start + space.nvec)
        case _:
            outside = (values < 0) | (values > 1)
    if outside.any():
        raise where.wrong(what, values, outside, f"is not in {space}")
    if isinstance(space, spaces.Box):
        return values
    broken = values != np.floor(values)
    if broken.any():
        raise where.wrong(what, values, broken, f"is not an integer, which {space} needs")
    return values.astype(np.int64)


def _refuse_infinite(where: Where, what: str, values: np.ndarray) -> None:
    """Raise an error if a value is not finite in float32."""
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            faults = ~np.isfinite(values.astype(np.float32))
        if faults.any():
            raise where.wrong(what, values, faults, "is not finite")


ALIASES = {
    "observation": ("observation", "observations", "obs"),
    "action": ("action", "actions"),
    "reward": ("reward", "rewards"),
    "next_observation": ("next_observation", "next_observations", "next_obs"),
    "terminated": ("terminated", "terminations", "terminals"),
    "truncated": ("truncated", "truncations", "timeouts"),
}
"""Names that each column may have in files, the first of them embrl's own."""

_OBSERVATIONS = ("observation", "next_observation")


@dataclasses.dataclass(frozen=True)
class Given:
    """Spaces of recorded values, in Gymnasium's own form; None: inferred from the values."""

    observation_space: gymnasium.Space | None = None
    action_space: gymnasium.Space | None = None


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
    the next observation is that of the next row; the last row of each episode is left out.

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
    if found["next_observation"] is None and found["terminated"] is found["truncated"] is None:
        raise EmbrlError(
            f"{name} has no column next_observation, and neither terminated nor truncated, which "
            "say where episodes end; add one of them"
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
        both = np.concatenate([np.asarray(value) for value in observed.values()])
        space = inferred(where, "observation", both)
    acts = given.action_space or inferred(where, "action", np.asarray(columns["action"]))
    try:
        observations, actions = Observations(space), Actions(acts)
    except EmbrlError as error:
        raise EmbrlError(f"{where.name}: {error}") from error
    out = {key: observations(checked(where, key, space, value)) for key, value in observed.items()}
    out["action"] = actions.from_original(checked(where, "action", acts, columns["action"]))
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
