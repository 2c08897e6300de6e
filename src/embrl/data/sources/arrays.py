"""Arrays as transitions: every value checked, and in embrl's forms."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from embrl.core.errors import EmbrlError
from embrl.core.types import Transition
from embrl.data.sources.recorded import Recorded, Where, checked, finite, flags, inferred
from embrl.envs.gym.flatten import Actions, Observations

ALIASES = {
    "observation": ("observation", "observations", "obs"),
    "action": ("action", "actions"),
    "reward": ("reward", "rewards"),
    "next_observation": ("next_observation", "next_observations", "next_obs"),
    "terminated": ("terminated", "terminations", "terminals"),
    "truncated": ("truncated", "truncations", "timeouts"),
}
"""embrl's name of a column, and what else it may be called."""


@dataclasses.dataclass(frozen=True)
class Given:
    """The spaces that recorded values are of, in Gymnasium's own form; None: as the values tell."""

    observation_space: gymnasium.Space | None = None
    action_space: gymnasium.Space | None = None


UNSAID = Given()


def from_transition(
    transitions: Transition, given: Given = UNSAID, name: str = "transitions"
) -> Recorded:
    """A rollout: arrays `[T, B, ...]`, or `[N, ...]`, of JAX or NumPy.

    Raises:
        EmbrlError: columns do not fit each other or their space, or numbers are not finite; the
            message names the place and the column.
    """
    columns = {key: np.asarray(value) for key, value in transitions._asdict().items()}
    lead = columns["reward"].shape
    if len(lead) not in (1, 2):
        raise EmbrlError(f"{name}: rewards are [N] or [T, B], not {list(lead)}")
    for key, column in columns.items():
        if column.shape[: len(lead)] != lead:
            raise EmbrlError(
                f"{name}: {key} is {list(column.shape)}, and reward {list(lead)}: they must begin "
                "with the same axes"
            )
    lanes = lead[1] if len(lead) == 2 else 1
    where = Where(name)
    if len(lead) == 2:
        where = Where(name, lambda row: f"step {row // lanes} of lane {row % lanes}")
    flat = {key: value.reshape(-1, *value.shape[len(lead) :]) for key, value in columns.items()}
    return converted(where, flat, given, lanes)


def from_columns(
    columns: Mapping[str, np.ndarray], given: Given = UNSAID, name: str = "columns"
) -> Recorded:
    """Columns `[N, ...]` by the names in `ALIASES`, others left out: one transition in each row.

    Where there is no next observation, rows are the steps of episodes one after another, and it is
    the next row's; a row without a next one in its episode is left out.

    Raises:
        EmbrlError: as `from_transition`; or a column is missing, or there twice.
    """
    found = {ours: _one_of(columns, ours, name) for ours in ALIASES}
    for needed in ("observation", "action"):
        if found[needed] is None:
            there = ", ".join(list(columns)[:12])
            raise EmbrlError(
                f"{name} has no column {' or '.join(ALIASES[needed])}: it has {there or 'none'}"
            )
    rows = len(np.atleast_1d(found["observation"]))  # type: ignore[arg-type]
    for ours, column in found.items():
        if column is not None and (np.ndim(column) < 1 or len(column) != rows):
            raise EmbrlError(
                f"{name}: {ours} has {len(np.atleast_1d(column))} rows, and observation {rows}"
            )
    if found["next_observation"] is None and found["terminated"] is found["truncated"] is None:
        raise EmbrlError(
            f"{name} has no column next_observation, and none that says where episodes end "
            "(terminated, truncated): it needs one or the other"
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
    lanes: int = 1,
    lacks: tuple[str, ...] = (),
) -> Recorded:
    """Columns by embrl's names, `[T * B, ...]`, in embrl's forms; those of composite spaces with
    that axis in each leaf.
    """
    reward = finite(where, "reward", columns["reward"])
    if not reward.size:
        raise EmbrlError(f"{where.name} has no transitions")
    observed = {key: columns[key] for key in _OBSERVATIONS if key in columns}
    kinds = {np.shape(value)[1:] for value in observed.values() if isinstance(value, np.ndarray)}
    if len(kinds) > 1:
        raise EmbrlError(
            f"{where.name}: observation is {list(np.shape(observed['observation'])[1:])} in each "
            f"row, and next_observation {list(np.shape(observed['next_observation'])[1:])}"
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
        out = _followed(where, out)
    shaped: dict[str, Any] = {
        key: value.reshape(-1, lanes, *value.shape[1:]) for key, value in out.items()
    }
    found = Transition(**shaped)
    found = found._replace(truncated=found.truncated | _cuts(found))
    return Recorded(where.name, found, observations.space, actions.space, lacks)


_OBSERVATIONS = ("observation", "next_observation")


def _one_of(columns: Mapping[str, np.ndarray], ours: str, name: str) -> np.ndarray | None:
    found = [alias for alias in ALIASES[ours] if alias in columns]
    if len(found) > 1:
        raise EmbrlError(f"{name} has both {' and '.join(found)}: leave one of them out")
    return columns[found[0]] if found else None


def _followed(where: Where, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """With the next row's observation as the next, of those rows that go on."""
    goes_on = ~(columns["terminated"] | columns["truncated"])
    goes_on[-1] = False
    if not goes_on.any():
        raise EmbrlError(
            f"{where.name} has no next_observation, and no episode of two rows to take it from"
        )
    following = np.roll(columns["observation"], -1, axis=0)
    # Behind its last row that is kept an episode goes on, unseen.
    last = goes_on & ~np.roll(goes_on, -1)
    columns = {**columns, "next_observation": following}
    columns["truncated"] = columns["truncated"] | last
    return {key: value[goes_on] for key, value in columns.items()}


def _cuts(transitions: Transition) -> np.ndarray:
    """Where the next row does not go on from a row, though nothing has ended, bool `[T, B]`."""
    differ = np.asarray(transitions.next_observation[:-1] != transitions.observation[1:])
    differ = differ.any(axis=tuple(range(2, differ.ndim)))
    ended = np.asarray(transitions.terminated | transitions.truncated)
    return np.concatenate([differ, np.zeros_like(ended[:1])]) & ~ended
