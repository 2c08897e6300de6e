"""Warnings about an embedding that no longer fits the data, from the metrics of a run.

docs/monitoring.md has the measurements behind the thresholds.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

MAX_SURPRISE = 0.035
"""Largest normal surprise of a seed. The mean of n seeds may exceed it divided by the root of n
only, as chance averages out."""

MIN_DRIFT = 1e-3
"""Drift below which an embedding counts as frozen; such drift is rounding."""

MAX_UNSEEN_FRACTION = 0.2
MAX_DEAD_FRACTION = 0.1
MAX_COLLIDING_FRACTION = 0.99
"""Fractions above which there is a warning."""


def embedding_warnings(seeds: Sequence[Mapping[str, float]]) -> dict[str, list[int]]:
    """Return warnings about the embedding of a run.

    Args:
        seeds: metrics of each seed; those that are missing or NaN give no warning.

    Returns:
        For each warning the indices in `seeds` that it concerns; empty if all is fine. The texts
        are the same at every evaluation.
    """
    found = {
        "the environment does not behave as the embedding predicts": _surprised(seeds),
        "the agent visits states that the embedding was not trained on": [
            index for index, metrics in enumerate(seeds) if _visits_unseen(metrics)
        ],
        "some actions are never chosen, as others have the same embedding": [
            index
            for index, metrics in enumerate(seeds)
            if metrics.get("dead_fraction", 0.0) > MAX_DEAD_FRACTION
        ],
        "nearly all actions are embedded so close to others that chance decides between them": [
            index
            for index, metrics in enumerate(seeds)
            if metrics.get("colliding_fraction", 0.0) > MAX_COLLIDING_FRACTION
        ],
    }
    return {text: indices for text, indices in found.items() if indices}


def _surprised(seeds: Sequence[Mapping[str, float]]) -> list[int]:
    """Return the indices of seeds whose surprise is above the limit."""
    surprise = np.array([metrics.get("surprise", math.nan) for metrics in seeds])
    known = surprise[~np.isnan(surprise)]
    limit = MAX_SURPRISE
    if known.size and known.mean() > MAX_SURPRISE / math.sqrt(known.size):
        limit = MAX_SURPRISE / math.sqrt(known.size)
    return np.flatnonzero(surprise > limit).tolist()


def _visits_unseen(metrics: Mapping[str, float]) -> bool:
    """Return whether a frozen phi meets new states more often than held-out data did."""
    if not metrics.get("phi_drift", math.nan) < MIN_DRIFT:
        return False
    seen = 1.0 - metrics.get("reference_unseen_fraction", 0.0)
    unseen = 1.0 - (1.0 - metrics.get("unseen_fraction", 0.0)) / max(seen, 1e-30)
    return unseen > MAX_UNSEEN_FRACTION
