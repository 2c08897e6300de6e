"""Rates, each the best of a few repetitions, taken in turn so that drift hits both sides."""

import time
from collections.abc import Callable
from typing import NamedTuple


class Row(NamedTuple):
    """Events a second, ours and the rival's."""

    what: str
    embrl: float
    name: str
    rival: float


def compare(
    what: str,
    ours: Callable[[], object],
    our_events: int,
    name: str,
    theirs: Callable[[], object],
    their_events: int,
    repetitions: int = 3,
) -> Row:
    """Times both, after a warm-up each."""
    ours()
    theirs()
    best = [0.0, 0.0]
    for _ in range(repetitions):
        for index, (function, events) in enumerate([(ours, our_events), (theirs, their_events)]):
            start = time.perf_counter()
            function()
            best[index] = max(best[index], events / (time.perf_counter() - start))
    return Row(what, best[0], name, best[1])
