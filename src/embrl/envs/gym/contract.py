"""Checks of what an environment returns: spaces, results of `reset` and `step`, rewards, flags."""

import decimal
import numbers
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np

from embrl.core.errors import EmbrlError, EmbrlWarning, told

OLD_API = (
    "this is the interface of gym before 0.26; return (observation, reward, terminated, truncated, "
    "info) from step and (observation, info) from reset(*, seed=None, options=None)"
)
EXITED = "it ends the program, by sys.exit or the like; raise an error or end the episode instead"
OLD_PACKAGE = (
    "it belongs to the old package gym; import gymnasium instead, or convert it with "
    "shimmy.GymV26CompatibilityV0"
)


def spaces_of(env: gymnasium.Env) -> tuple[gymnasium.Space, gymnasium.Space]:
    """Return the spaces of observations and of actions.

    Raises:
        EmbrlError: If one is missing or not Gymnasium's.
    """
    return _space(env, "observation_space"), _space(env, "action_space")


def _space(env: gymnasium.Env, name: str) -> gymnasium.Space:
    space = getattr(env, name, None)
    if isinstance(space, gymnasium.Space):
        return space
    advice = f"set self.{name} in __init__"
    if _is_from_gym(space):
        advice = f"{type(space).__name__} is from the old package gym; use gymnasium.spaces"
    raise EmbrlError(f"{name} must be a gymnasium.Space, got {space}; {advice}")


def close_of(env: gymnasium.Env, name: str) -> None:
    """Close an environment; what it raises is a warning, as nothing depends on it any more."""
    try:
        env.close()
    except (Exception, SystemExit) as error:
        said = " ".join(told(error).split())
        warnings.warn(EmbrlWarning(f"{name}: close() raised {said}"), stacklevel=1)


def not_an_environment(value: Any) -> str:
    """Return what to do with an object that is no `gymnasium.Env`, or an empty text."""
    if _is_from_gym(value):
        return OLD_PACKAGE
    if (hasattr(value, "reset") and hasattr(value, "step")) or hasattr(value, "observation_space"):
        return "derive its class from gymnasium.Env"
    return ""


def _is_from_gym(value: Any) -> bool:
    return any(kind.__module__.partition(".")[0] == "gym" for kind in type(value).__mro__)


def reset_of(env: gymnasium.Env, **options: Any) -> Any:
    """Reset an environment and return the first observation and the info.

    Raises:
        EmbrlError: If `reset` takes no seed, or returns anything but an observation and a
            dictionary.
    """
    try:
        result = env.reset(**options)
    except SystemExit as error:
        raise EmbrlError(EXITED) from error
    except TypeError as error:
        if "unexpected keyword argument" in str(error) and "reset()" in str(error):
            raise EmbrlError(f"{error}; {OLD_API}") from error
        raise
    if isinstance(result, tuple | list) and len(result) == 2:
        observation, info = result
        if isinstance(info, Mapping):
            return observation, info
        if info is None and isinstance(result, tuple):  # as nothing is said in it
            return observation, {}
    raise EmbrlError(
        f"reset must return a pair of observation and info, got {_shown(result)}"
        + ("" if result is None else f"; {OLD_API}")
    )


def step_of(env: gymnasium.Env, action: Any) -> Any:
    """Take a step and return its five results.

    Raises:
        EmbrlError: If there are not five of them.
    """
    try:
        result = env.step(action)
    except SystemExit as error:
        raise EmbrlError(EXITED) from error
    if isinstance(result, tuple | list) and len(result) == 5:
        return result
    old = isinstance(result, tuple | list) and len(result) == 4
    raise EmbrlError(
        "step must return observation, reward, terminated, truncated and info, got "
        f"{_shown(result)}" + (f"; {OLD_API}" if old else "")
    )


def results(
    reward: Sequence[Any], terminated: Sequence[Any], truncated: Sequence[Any]
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], bool]:
    """Convert rewards and flags, one of each for each environment.

    Returns:
        float32 `[B]` and twice bool `[B]`; and whether one was an array of one value, not a value.

    Raises:
        NotOneValue: If a reward is not a number, or a flag not true or false.
    """
    found = (
        _converted(reward, "reward", "biuf", np.float32),
        _converted(terminated, "terminated", "b", bool),
        _converted(truncated, "truncated", "b", bool),
    )
    return (found[0][0], found[1][0], found[2][0]), any(arrays for _, arrays in found)


class NotOneValue(EmbrlError):
    """A reward that is not a number, or a flag that is not true or false."""

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index
        """Which environment returned it."""


def _converted(values: Sequence[Any], name: str, kinds: str, dtype: Any) -> tuple[np.ndarray, bool]:
    try:
        found = np.array(values)
    except ValueError:  # of different shapes
        found = np.empty(0, object)
    if found.dtype.kind not in kinds or found.shape != (len(values),):
        found = np.array([_one(name, value, index) for index, value in enumerate(values)])
        with np.errstate(over="ignore"):
            return found.astype(dtype), any(map(_is_sized, values))
    with np.errstate(over="ignore"):  # beyond float32 is infinite, and found as such
        return found.astype(dtype), False


def _one(name: str, value: Any, index: int) -> float | bool:
    """Return a reward, or a flag, that is no plain number."""
    reward = name == "reward"
    plain = isinstance(value, numbers.Real | decimal.Decimal)
    try:
        held = np.asarray(float(value) if plain else value)
        if held.dtype == object and held.size == 1:
            held = np.asarray(held.item())
    except (TypeError, ValueError, OverflowError):  # of no fixed shape, or beyond a float
        held = np.empty(0)
    if held.size == 1 and held.dtype.kind in "biuf":
        one = held.reshape(()).item()
        if reward:
            return float(one)
        if one in (0, 1):
            return bool(one)
    what = "a number" if reward else "true or false"
    advice = "; of several rewards, return one, such as their weighted sum" if held.size > 1 else ""
    raise NotOneValue(index, f"{name} must be {what}, got {_shown(value)}" + advice * reward)


def _is_sized(value: Any) -> bool:
    """Return whether a value is an array, or a list, with axes of its own."""
    return np.ndim(value) > 0


def _shown(value: Any) -> str:
    """Return a value in few words."""
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if hasattr(value, "shape"):
        return f"{type(value).__name__} of shape {list(np.shape(value))}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
