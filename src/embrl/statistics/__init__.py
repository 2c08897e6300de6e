"""What can be said about a method from a handful of seeds; docs/comparing.md explains it."""

from embrl.statistics.bootstrap import (
    COLUMNS_AT_ONCE,
    CONFIDENCE,
    RESAMPLES,
    Interval,
    bootstrap_difference,
    bootstrap_mean,
)
from embrl.statistics.curve import area_under_curve, budget_area, samples_to
from embrl.statistics.improvement import probability_of_improvement
from embrl.statistics.interquartile import interquartile_mean
from embrl.statistics.ratio import bootstrap_ratio

__all__ = [
    "COLUMNS_AT_ONCE",
    "CONFIDENCE",
    "RESAMPLES",
    "Interval",
    "area_under_curve",
    "bootstrap_difference",
    "bootstrap_mean",
    "bootstrap_ratio",
    "budget_area",
    "interquartile_mean",
    "probability_of_improvement",
    "samples_to",
]
