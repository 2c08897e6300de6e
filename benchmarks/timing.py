"""Rates, each the best of a few repetitions, measured in turn so that drift affects both sides."""

import time
from collections.abc import Callable
from typing import NamedTuple


class Row(NamedTuple):
    """Events per second, of embrl and of the rival."""

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
    """Measure both rates, after a warm-up of each.

    Args:
        what: what is measured.
        ours: function to time.
        our_events: number of events in one call.
        name: name of the rival.
        theirs: the rival's function.
        their_events: number of events in one call of it.
        repetitions: calls of each, of which the fastest counts.
    """
    ours()
    theirs()
    best = [0.0, 0.0]
    for _ in range(repetitions):
        for index, (function, events) in enumerate([(ours, our_events), (theirs, their_events)]):
            start = time.perf_counter()
            function()
            best[index] = max(best[index], events / (time.perf_counter() - start))
    return Row(what, best[0], name, best[1])
