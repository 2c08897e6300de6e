"""Rates, each the median of a few repetitions, in turn so that drift affects both sides."""

import importlib.util
import statistics
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
    repetitions: int = 5,
) -> Row:
    """Measure both rates, after a warm-up of each.

    Args:
        what: what is measured.
        ours: function to time.
        our_events: number of events in one call.
        name: name of the rival.
        theirs: the rival's function.
        their_events: number of events in one call of it.
        repetitions: calls of each; the median counts.
    """
    ours()
    theirs()
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(repetitions):
        for index, (function, events) in enumerate([(ours, our_events), (theirs, their_events)]):
            start = time.perf_counter()
            function()
            rates[index].append(events / (time.perf_counter() - start))
    return Row(what, statistics.median(rates[0]), name, statistics.median(rates[1]))


def installed(package: str, extra: str = "rivals") -> bool:
    """Return whether a package is installed; say with which extra it would be if not."""
    if importlib.util.find_spec(package) is None:
        print(f"{package} is not installed, and left out: pip install 'embrl[{extra}]'")
        return False
    return True
