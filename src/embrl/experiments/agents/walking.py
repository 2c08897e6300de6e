"""Thousands of walks: patterns counted, extrapolation measured, clear examples found."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from embrl.agents.groups import Groups
from embrl.agents.population import Population
from embrl.agents.walk import COEFFICIENTS, Pattern, Rule
from embrl.agents.walks import Line, Walks, clarity, halved, walked
from embrl.core.statistics import bootstrap_mean
from embrl.core.types import Key
from embrl.experiments.agents.worth import worth_of
from embrl.report.claims import Difference, ci95, judge

SHOWN = (Pattern.SLOPE, Pattern.VALLEY, Pattern.HILL)
CANDIDATES = 8
"""Pairs of each pattern that are tried as its example, the clearest first."""


def played(
    population: Population,
    along: Line,
    pairs: Int[np.ndarray, "pairs 2"],
    key: Key,
    episodes: int,
    tell: Callable[[int, int], None],
) -> dict[str, Any]:
    """Mean returns over even and odd episodes at every point, for JSON."""
    one, other = (population.rows(side) for side in pairs.T)
    env, architecture = population.env.build(), population.architecture
    returns = walked(env, architecture, along, one, other, key, episodes, tell)
    halves = halved(COEFFICIENTS, returns).halves
    return {"halves": np.round(halves.astype(np.float64), 4).tolist()}


def walks_of(part: dict[str, Any]) -> Walks:
    """What `played` returned."""
    return Walks(np.asarray(COEFFICIENTS), np.asarray(part["halves"]))


def counted(
    walks: Walks,
    rule: Rule,
    groups: Groups,
    group: Int[np.ndarray, "pairs 2"],
    limit: float | None,
) -> dict[str, Any]:
    """Patterns over all pairs and for each pair of groups; what extrapolation gains.

    Arguments:
        group: of both agents of each pair.
        limit: the most a return can be: where the better end is within the rule's margin of it,
            nothing can beat that end.
    """
    found = np.array([str(pattern) for pattern in walks.patterns(rule)])
    kinds = {
        _kind(groups, *pair): np.all(group == pair, axis=1) for pair in np.unique(group, axis=0)
    }
    gains, ends = walks.gains(), walks.ends.max(1)
    room = np.ones(len(ends), bool) if limit is None else ends + rule.margin <= limit
    return {
        "pairs": len(found),
        "patterns": {"all": _count(found), **{k: _count(found[m]) for k, m in kinds.items()}},
        "shares": {p: _mean(found == p) for p in map(str, Pattern)},
        "best_coefficient": {
            f"{c:g}": int(n)
            for c, n in zip(*np.unique(walks.best, return_counts=True), strict=True)
        },
        "between": _mean(walks.mean[:, _inside()].mean(1)),
        "extrapolation": {
            p: {
                "pairs": int(mine.sum()),
                "gain": _mean(gains.gain[mine]),
                "with_room": int((mine & room).sum()),
                "beats": _mean(gains.gain[mine & room] > rule.margin),
            }
            for p in ("all", *map(str, Pattern))
            for mine in [np.ones(len(found), bool) if p == "all" else found == p]
        },
    }


def smoother(mine: Walks, other: Walks, name: str) -> dict[str, Any]:
    """The claim that the way through the latent space is the better one, pair by pair."""
    inside = _inside()
    apart = mine.mean[:, inside].mean(1) - other.mean[:, inside].mean(1)
    found = bootstrap_mean(apart)
    return judge(
        f"between two agents, decoded agents are worth more than those on {name}",
        Difference(float(found.mean), ci95(found)),
    )


def clearest(
    walks: Walks, rule: Rule, trained: Float[np.ndarray, "pairs 2"]
) -> dict[str, list[int]]:
    """Pairs that show each pattern best; those first whose ends are worth, to within the margin,
    what the agents as trained are worth.
    """
    patterns = np.array([str(pattern) for pattern in walks.patterns(rule)])
    strange = np.any(np.abs(walks.ends - trained) > rule.margin, axis=1)
    found = {}
    for pattern in SHOWN:
        of_it = np.flatnonzero(patterns == str(pattern))
        order = np.lexsort((-clarity(pattern, walks)[of_it], strange[of_it]))
        found[str(pattern)] = of_it[order][:CANDIDATES].tolist()
    return found


def limit_of(population: Population) -> float | None:
    """See `counted`."""
    return worth_of(population).limit


def _inside() -> np.ndarray:
    c = np.asarray(COEFFICIENTS)
    return (c > 0) & (c < 1)


def _kind(groups: Groups, a: int, b: int) -> str:
    return " / ".join(groups.names[at] for at in sorted({int(a), int(b)}))


def _count(found: np.ndarray) -> dict[str, int]:
    return {pattern: int((found == pattern).sum()) for pattern in map(str, Pattern)}


def _mean(values: Float[np.ndarray, " n"] | Sequence[float]) -> dict[str, Any]:
    values = np.asarray(values, np.float64)
    if not len(values):
        return {"mean": None, "ci95": None}
    found = bootstrap_mean(values, resamples=2000)
    return {"mean": float(found.mean), "ci95": ci95(found)}
