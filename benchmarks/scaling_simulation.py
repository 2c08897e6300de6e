"""A simulation, no measurement: seconds of many tasks on 8 to 512 workers, from measured times.

    python -m benchmarks.scaling_simulation --seconds 20 30 25 --start 25 --dispatch .01
        [--tasks 12 1000 100000] [--first 10] [--failures 0.0]

It replays what the supervisor does (`embrl.executors.supervisor`): all workers start at once and
are ready after `--start` seconds; the driver hands out one task after another, each of which costs
it `--dispatch` seconds; a task takes as long as one of the measured `--seconds`, drawn at random;
the first of each worker takes `--first` seconds longer, in which programs are compiled; a task
fails half way with probability `--failures` and is done again from there. What it leaves out: disks
and networks that many workers share, machines of different speeds, and a driver that does anything
else.
"""

import argparse
import dataclasses
import heapq
import sys
from collections.abc import Sequence

import numpy as np

WORKERS = (1, 2, 8, 16, 32, 64, 128, 256, 512)


@dataclasses.dataclass(frozen=True)
class MeasuredTimes:
    """What was measured, in seconds."""

    tasks: Sequence[float]
    start: float
    dispatch: float
    first: float = 0.0
    failures: float = 0.0


def simulate(times: MeasuredTimes, tasks: int, workers: int, seed: int = 0) -> float:
    """Return the seconds until the last of all tasks is done."""
    draw = np.random.default_rng(seed)
    seconds = draw.choice(np.asarray(times.tasks, np.float64), tasks)
    seconds = seconds * np.where(draw.random(tasks) < times.failures, 1.5, 1.0)
    workers = min(workers, tasks)
    free = [(times.start, number, times.first) for number in range(workers)]
    heapq.heapify(free)
    driver = last = 0.0
    for duration in seconds:
        ready, number, more = heapq.heappop(free)
        driver = max(driver, ready) + times.dispatch
        end = driver + more + duration
        last = max(last, end)
        heapq.heappush(free, (end, number, 0.0))
    return last


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description="a simulation from measured times.")
    parser.add_argument("--tasks", type=int, nargs="+", default=[12, 1000, 100_000])
    parser.add_argument("--seconds", type=float, nargs="+", required=True)
    parser.add_argument("--start", type=float, required=True)
    parser.add_argument("--dispatch", type=float, required=True)
    parser.add_argument("--first", type=float, default=0.0)
    parser.add_argument("--failures", type=float, default=0.0)
    given = parser.parse_args()
    times = MeasuredTimes(given.seconds, given.start, given.dispatch, given.first, given.failures)
    print(f"simulated: {' '.join(sys.argv[1:])}")
    print("| workers | " + " | ".join(f"{tasks:,} tasks" for tasks in given.tasks) + " |")
    print("|---:" * (len(given.tasks) + 1) + "|")
    work = {
        tasks: simulate(dataclasses.replace(times, start=0.0), tasks, 1) for tasks in given.tasks
    }
    for workers in WORKERS:
        cells = []
        for tasks in given.tasks:
            took = simulate(times, tasks, workers)
            cells.append(f"{took:,.0f} s, {work[tasks] / took:.1f} x")
        print(f"| {workers} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
