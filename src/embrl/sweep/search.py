"""Search of settings by optuna: the next points to try, from the scores of those before."""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from embrl.core.errors import SettingError, check_at_least, require

DIGITS = 4
"""Significant digits of proposed numbers, so that tables and commands show them as they are."""

DRAWS = 50
"""Maximum number of proposals for each new point; in a small space, many were tried before."""


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers between two bounds, both included; whole numbers if both bounds are."""

    low: float
    high: float
    log: bool = False
    """Whether values are searched on a logarithmic scale."""

    @property
    def whole(self) -> bool:
        """True if values are whole numbers."""
        return isinstance(self.low, int)

    @property
    def count(self) -> float:
        """Number of values."""
        return self.high - self.low + 1 if self.whole else np.inf

    def validate(self, name: str) -> None:
        """Check the bounds.

        Raises:
            SettingError: They are in the wrong order, or a logarithmic scale has none of them.
        """
        if not self.low < self.high:
            raise SettingError(name, "LOW:HIGH with LOW below HIGH", f"{self.low}:{self.high}")
        if not np.isfinite([self.low, self.high]).all():
            raise SettingError(name, "a range of finite numbers", f"{self.low}:{self.high}")
        if self.log and self.low <= 0:
            raise SettingError(name, "above 0 on a logarithmic scale", self.low)

    def place(self, value: float) -> float:
        """Return the place of a value on the scale, from 0 at `low` to 1 at `high`."""
        low, high, at = (np.log(x) if self.log else x for x in (self.low, self.high, value))
        return float((at - low) / (high - low))


@dataclasses.dataclass(frozen=True)
class Search:
    """Settings of a search."""

    trials: int = 24
    """Number of trials (points) of a search, of each method, algorithm and environment."""
    batch: int = 4
    """Number of trials that are proposed together; their runs can take place at the same time."""

    def validate(self) -> None:
        """Check the settings.

        Raises:
            SettingError: A number is below 1.
        """
        check_at_least("trials", self.trials, 1)
        check_at_least("batch", self.batch, 1)


Space = Mapping[str, tuple[Any, ...] | Range]
"""Values to choose from, or their range, by dotted name of the setting."""

Tried = Sequence[tuple[Mapping[str, Any], float]]
"""Points and their scores: higher is better, -inf for one that diverged, nan if it is unknown."""


def size(space: Space) -> float:
    """Return the number of points of a space, inf if a range of it is continuous."""
    return float(np.prod([v.count if isinstance(v, Range) else len(v) for v in space.values()]))


def propose(space: Space, tried: Tried, count: int, seed: int) -> list[dict[str, Any]]:
    """Return the next points to try, which are new and differ from each other.

    They come from optuna's sampler, a tree-structured Parzen estimator (Bergstra et al., 2011),
    whose first ten points are random. Equal arguments give equal points.

    Args:
        space: Values and ranges.
        tried: Points before, in the order in which they were proposed, and their scores.
        count: Number of points; there are fewer if almost all of the space was tried.
        seed: Random seed of the search.

    Raises:
        EmbrlError: optuna is not installed.
    """
    optuna = require("optuna", "search")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    stream = np.random.SeedSequence((seed, len(tried))).generate_state(1)[0]
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=int(stream))
    )
    kinds = {name: _distribution(optuna, values) for name, values in space.items()}
    for point, score in tried:
        if not np.isnan(score):
            study.add_trial(
                optuna.trial.create_trial(
                    params=_parameters(space, point), distributions=kinds, value=float(score)
                )
            )
    known = {_key(space, point) for point, _ in tried}
    found: list[dict[str, Any]] = []
    for _ in range(DRAWS * count):
        if len(found) == count:
            return found
        # Unanswered ones count as bad (a "constant liar"), so that proposals differ.
        point = _point(space, study.ask(kinds).params)
        if (key := _key(space, point)) not in known:
            known.add(key)
            found.append(point)
    if np.isinf(size(space)):
        return found
    rest = (point for point in _points(space) if _key(space, point) not in known)
    return [*found, *itertools.islice(rest, count - len(found))]


def _distribution(optuna: Any, values: tuple[Any, ...] | Range) -> Any:
    if not isinstance(values, Range):
        return optuna.distributions.CategoricalDistribution(list(range(len(values))))
    kind = "IntDistribution" if values.whole else "FloatDistribution"
    return getattr(optuna.distributions, kind)(values.low, values.high, log=values.log)


def _parameters(space: Space, point: Mapping[str, Any]) -> dict[str, Any]:
    """Return a point as optuna has it: choices by their number."""
    return {
        name: point[name] if isinstance(values, Range) else values.index(point[name])
        for name, values in space.items()
    }


def _point(space: Space, parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _rounded(values, parameters[name])
        if isinstance(values, Range)
        else values[parameters[name]]
        for name, values in space.items()
    }


def _rounded(values: Range, number: float) -> float:
    if values.whole:
        return number
    return min(max(float(f"{number:.{DIGITS}g}"), values.low), values.high)


def _key(space: Space, point: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(_parameters(space, point).values())


def _points(space: Space) -> Iterable[dict[str, Any]]:
    """Return all points of a space without continuous ranges, in the order of a grid."""
    every = [
        range(int(v.low), int(v.high) + 1) if isinstance(v, Range) else v for v in space.values()
    ]
    return (dict(zip(space, values, strict=True)) for values in itertools.product(*every))
