"""Statistics of a panel's finished runs: measures of each seed, differences and tested claims.

All functions are pure, from arrays to plain values.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from embrl.config.run import as_json
from embrl.core.statistics import bootstrap_difference, bootstrap_mean, budget_area, timesteps_to
from embrl.papers.panel import Claim, Measure, PanelLine
from embrl.report.claims import Difference, ci95, judge

MEASURES: tuple[Measure, ...] = ("final_return", "auc", "timesteps_to_half")


@dataclasses.dataclass(frozen=True, eq=False)
class PanelResult:
    """Results of a line's run."""

    line: PanelLine
    timesteps: Float[np.ndarray, " E"]
    """Environment steps taken until each evaluation, pre-training included."""
    returns: Float[np.ndarray, "seeds E"]
    """Mean return of each evaluation."""
    random_return: float
    best_known_return: float | None
    wall_s: float
    """Duration of training in seconds."""
    machine: str

    @property
    def final_return(self) -> Float[np.ndarray, " seeds"]:
        """Return of each seed at the last evaluation."""
        return self.returns[:, -1]

    @property
    def auc(self) -> Float[np.ndarray, " seeds"]:
        """Mean return of each seed over the whole budget; see `budget_area`."""
        budget = self.line.config.total_timesteps
        return budget_area(self.timesteps, self.returns, self.random_return, budget)

    @property
    def level(self) -> float:
        """Half of the best return; infinite if no best return is known. See `half_level`."""
        return half_level(self.random_return, self.best_known_return)

    @property
    def reached(self) -> int:
        """Number of seeds that reached `level`."""
        return int(np.isfinite(timesteps_to(self.timesteps, self.returns, self.level)).sum())

    @property
    def timesteps_to_half(self) -> Float[np.ndarray, " seeds"]:
        """Environment steps until each seed reached `level`; the budget if it never did."""
        needed = timesteps_to(self.timesteps, self.returns, self.level)
        return np.minimum(needed, self.line.config.total_timesteps)

    def measure(self, name: Measure) -> Float[np.ndarray, " seeds"]:
        """Return one of `MEASURES` for each seed."""
        return getattr(self, name)


def half_level(random_return: float, best: float | None) -> float:
    """Return half of the best return, or half way to it if random actions earn that already.

    Infinite if `best` is None.
    """
    if best is None:
        return float("inf")
    return best / 2 if best / 2 > random_return else (random_return + best) / 2


def difference(better: PanelResult, worse: PanelResult, measure: Measure) -> Difference:
    """Return the mean of `better` minus that of `worse`; no interval if one has a single seed."""
    found = bootstrap_difference(better.measure(measure), worse.measure(measure))
    return Difference(float(found.mean), ci95(found))


def judged(claims: Sequence[Claim], results: Sequence[PanelResult]) -> list[dict[str, Any]]:
    """Test all claims, in their order, and return entries of a panel's summary."""
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


def differences(claims: Sequence[Claim], results: Sequence[PanelResult]) -> list[dict[str, Any]]:
    """Return the differences, in every measure, of all pairs of lines that some claim compares.

    The steps to half of the best return are None if no best return is known.
    """
    by_label = {result.line.label: result for result in results}
    pairs = dict.fromkeys((claim.better, claim.worse) for claim in claims)
    return [
        {
            "better": better,
            "worse": worse,
            **{
                measure: difference(by_label[better], by_label[worse], measure)._asdict()
                if measure != "timesteps_to_half" or np.isfinite(by_label[better].level)
                else None
                for measure in MEASURES
            },
        }
        for better, worse in pairs
    ]


def curve_entry(result: PanelResult) -> dict[str, Any]:
    """Return a line's entry of a panel's summary."""
    line, config = result.line, result.line.config
    final, auc = bootstrap_mean(result.final_return), bootstrap_mean(result.auc)
    half = bootstrap_mean(result.timesteps_to_half)
    known = np.isfinite(result.level)
    return {
        "label": line.label,
        "group": line.group,
        "method": config.method,
        "algorithm": config.algorithm,
        "env": config.environment,
        "actuators": getattr(config.env, "actuators", None),
        "seeds": len(result.returns),
        "timesteps": int(result.timesteps[-1]),
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
        "timesteps_to_half_mean": float(half.mean) if known else None,
        "timesteps_to_half_ci95": ci95(half) if known else None,
        "timesteps_to_half_per_seed": result.timesteps_to_half.tolist() if known else None,
        "seeds_at_half": result.reached,
        "random_return": result.random_return,
        "best_known_return": result.best_known_return,
        "wall_s": result.wall_s,
        "machine": result.machine,
        "config": as_json(config),
    }
