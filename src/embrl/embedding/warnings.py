"""When the measures of a run speak against its embedding."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

SURPRISE = 0.035
"""Of one seed; the mean of n seeds may be less by the root of n, as chance averages out."""

AT_REST = 1e-3
"""Drift below this is rounding."""

UNSEEN = 0.2
DEAD = 0.1
COLLIDING = 0.99
"""Shares from which on something is wrong. docs/monitoring.md has the figures behind these."""


def embedding_warnings(seeds: Sequence[Mapping[str, float]]) -> dict[str, list[int]]:
    """What speaks against a run's embedding, in words that stay the same from one evaluation to
    the next, and where in `seeds` it is so; nothing if all is fine.

    Arguments:
        seeds: the measures of each; those that are missing or nan are no reason to complain.
    """
    found = {
        "the world does not do what the embedding predicts": _surprised(seeds),
        "the agent meets states that the embedding was not trained on": [
            at for at, measures in enumerate(seeds) if _lost(measures)
        ],
        "some actions can never be chosen: others lie at the very same place": [
            at for at, measures in enumerate(seeds) if measures.get("dead_fraction", 0.0) > DEAD
        ],
        "nearly all actions lie so close to another that it is chance which one is chosen": [
            at
            for at, measures in enumerate(seeds)
            if measures.get("colliding_fraction", 0.0) > COLLIDING
        ],
    }
    return {text: where for text, where in found.items() if where}


def _surprised(seeds: Sequence[Mapping[str, float]]) -> list[int]:
    surprise = np.array([measures.get("surprise", math.nan) for measures in seeds])
    known = surprise[~np.isnan(surprise)]
    limit = SURPRISE
    if known.size and known.mean() > SURPRISE / math.sqrt(known.size):
        limit = SURPRISE / math.sqrt(known.size)
    return np.flatnonzero(surprise > limit).tolist()


def _lost(measures: Mapping[str, float]) -> bool:
    """Whether states are new to an embedding of states that has not gone on learning, and more
    often than held-out ones were.
    """
    if not measures.get("phi_drift", math.nan) < AT_REST:
        return False
    known = 1.0 - measures.get("reference_unseen_fraction", 0.0)
    return 1.0 - (1.0 - measures.get("unseen_fraction", 0.0)) / max(known, 1e-30) > UNSEEN
