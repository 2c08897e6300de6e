"""What finished runs come to: measures of each seed, their intervals, and claims that hold or not.

Pure: from arrays to plain values.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from embrl.config.run import as_json
from embrl.core.statistics import (
    Interval,
    bootstrap_difference,
    bootstrap_mean,
    budget_area,
    samples_to,
)
from embrl.experiments.panel import Claim, Line, Measure

MEASURES: dict[Measure, str] = {
    "final_return": "final return",
    "auc": "area under the curve",
    "samples_to_half": "samples to half",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """A line that was run."""

    line: Line
    samples: Float[np.ndarray, " E"]
    returns: Float[np.ndarray, "seeds E"]
    random_return: float
    best_known_return: float | None
    wall_s: float
    machine: str

    @property
    def final_return(self) -> Float[np.ndarray, " seeds"]:
        """Of the last evaluation."""
        return self.returns[:, -1]

    @property
    def auc(self) -> Float[np.ndarray, " seeds"]:
        """See `budget_area`."""
        budget = self.line.config.total_timesteps
        return budget_area(self.samples, self.returns, self.random_return, budget)

    @property
    def level(self) -> float:
        """The return that is "half of the best"; inf where no best is known."""
        return half_level(self.random_return, self.best_known_return)

    @property
    def reached(self) -> int:
        """How many seeds came to that."""
        return int(np.isfinite(samples_to(self.samples, self.returns, self.level)).sum())

    @property
    def samples_to_half(self) -> Float[np.ndarray, " seeds"]:
        """Until each seed came to that; the budget, if it never did."""
        needed = samples_to(self.samples, self.returns, self.level)
        return np.minimum(needed, self.line.config.total_timesteps)

    def measure(self, name: Measure) -> Float[np.ndarray, " seeds"]:
        """One of `MEASURES`."""
        return getattr(self, name)


def half_level(random_return: float, best: float | None) -> float:
    """Half of the best return, where random actions do not earn as much already; else half way
    from these to the best.
    """
    if best is None:
        return float("inf")
    return best / 2 if best / 2 > random_return else (random_return + best) / 2


class Difference(NamedTuple):
    """Of two lines, in one measure."""

    mean: float
    ci95: list[float] | None


def difference(better: Result, worse: Result, measure: Measure) -> Difference:
    """Mean of `better` less mean of `worse`; no interval where one of them has one seed."""
    found = bootstrap_difference(better.measure(measure), worse.measure(measure))
    return Difference(float(found.mean), ci95(found))


def ci95(found: Interval) -> list[float] | None:
    """For JSON, which knows no nan."""
    ends = [float(found.low), float(found.high)]
    return ends if np.isfinite(ends).all() else None


def judge(
    text: str, found: Difference, kind: str = "above", margin: float = 0.0, **more: Any
) -> dict[str, Any]:
    """A claim with its numbers. Without an interval nothing holds."""
    low, high = found.ci95 or (-np.inf, np.inf)
    holds = {
        "above": low > margin,
        "below": high < -margin,
        "level": -margin <= low and high <= margin,
    }[kind]
    return {
        "claim": text,
        "holds": bool(holds),
        "difference": found.mean,
        "ci95": found.ci95,
        "kind": kind,
        **more,
    }


def judged(claims: Sequence[Claim], results: Sequence[Result]) -> list[dict[str, Any]]:
    """Every claim, in their order."""
    by_label = {result.line.label: result for result in results}
    return [
        judge(
            claim.text,
            difference(by_label[claim.better], by_label[claim.worse], claim.measure),
            claim.kind,
            claim.margin,
            measure=claim.measure,
            better=claim.better,
            worse=claim.worse,
        )
        for claim in claims
    ]


def differences(claims: Sequence[Claim], results: Sequence[Result]) -> list[dict[str, Any]]:
    """Every pair of lines that some claim compares, in every measure; null for samples to half of
    a best return that is not known.
    """
    by_label = {result.line.label: result for result in results}
    pairs = dict.fromkeys((claim.better, claim.worse) for claim in claims)
    return [
        {
            "better": better,
            "worse": worse,
            **{
                measure: difference(by_label[better], by_label[worse], measure)._asdict()
                if measure != "samples_to_half" or np.isfinite(by_label[better].level)
                else None
                for measure in MEASURES
            },
        }
        for better, worse in pairs
    ]


def curve_entry(result: Result) -> dict[str, Any]:
    """A line's part of summary.json."""
    line, config = result.line, result.line.config
    final, auc = bootstrap_mean(result.final_return), bootstrap_mean(result.auc)
    half = bootstrap_mean(result.samples_to_half)
    known = np.isfinite(result.level)
    return {
        "label": line.label,
        "group": line.group,
        "method": config.method,
        "algorithm": config.algorithm,
        "env": config.environment,
        "actuators": getattr(config.env, "actuators", None),
        "seeds": len(result.returns),
        "samples": int(result.samples[-1]),
        "budget": config.total_timesteps,
        "drawn": line.drawn,
        "final_return_mean": float(final.mean),
        "final_return_ci95": ci95(final),
        "final_return_per_seed": result.final_return.tolist(),
        "final_return_worst": float(result.final_return.min()),
        "final_return_best": float(result.final_return.max()),
        "auc_mean": float(auc.mean),
        "auc_ci95": ci95(auc),
        "auc_per_seed": result.auc.tolist(),
        "half_level": result.level if known else None,
        "samples_to_half_mean": float(half.mean) if known else None,
        "samples_to_half_ci95": ci95(half) if known else None,
        "samples_to_half_per_seed": result.samples_to_half.tolist() if known else None,
        "seeds_at_half": result.reached,
        "random_return": result.random_return,
        "best_known_return": result.best_known_return,
        "wall_s": result.wall_s,
        "machine": result.machine,
        "config": as_json(config),
    }
