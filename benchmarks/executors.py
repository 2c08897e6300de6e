"""The same work by `local`, `processes` and `ray`, side by side in one run: seconds, and each bit.

    python -m benchmarks.executors [--only overhead,sweep,panel,population,report] [--agents 2000]
        [--lines A,B] [--executors local,processes,ray,returned] [--json FILE]

A sweep of 12 points in 12 runs (networks, which cannot train side by side in one program), a panel
by `embrl reproduce fig3a --quick`, a population of 2,000 agents, and a small report on 200 others.
Each is made by one process, by two processes and by a Ray cluster of two nodes with one core each
on this machine, which the script starts and ends. The cache of programs is warm: the work was done
once before, as it is in a second sweep of the day. Printed are seconds of the command as a whole,
of each task, and whether the results are equal, bit for bit; and first the seconds of 200 tasks
that do nothing, which are what an executor costs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.executor_faults import results
from benchmarks.ray_cluster import ALONE, ray_cluster
from embrl.agents.population import Population
from embrl.core.registry import load_plugin
from embrl.executors.choose import make_executor
from embrl.executors.options import ExecutorOptions
from embrl.executors.tasks import Task

RUN = (
    *("--env.actuators", "3", "--seeds", "2", "--total-timesteps", "10000"),
    *("--evaluation.episodes", "2", "--evaluation.final-episodes", "4", "--method", "none"),
    *("--evaluation.max-episode-steps", "50"),
)
NOTHING = """
from embrl.executors.tasks import KINDS
if "nothing" not in KINDS:
    KINDS.add("nothing", lambda spec, out, heard: None)
"""

EMPTY_TASKS = 200

WIDTHS = [str(8 * width) for width in range(1, 13)]


CARTPOLE = (
    *("agents", "collect", "cart_pole", "--block", "50", "--episodes", "10", "--hidden", "16"),
    *("--checkpoints", "0", "1", "2", "3", "4"),
)


def reported(work: Path) -> list[list[str]]:
    """Return the commands that make what a report is about, and the report."""
    agents, embedding = str(work / "agents"), str(work / "embedding")
    return [
        [*CARTPOLE, "--lineages", "40", "--out", agents],
        ["agents", "fit", agents, "--steps", "200", "--out", embedding],
        [
            *("agents", "report", agents, embedding, "--pairs", "200", "--walk-episodes", "4"),
            *("--agents", "50", "--episodes", "10"),
        ],
    ]


def commands(agents: int, labels: str, work: Path) -> dict[str, list[str]]:
    """Return the commands by name."""
    lines = ["--lines", *labels.split(",")] if labels else []
    return {
        "sweep": ["sweep", "gridworld", *RUN, "--over", "policy.hidden", *WIDTHS],
        "panel": ["reproduce", "fig3a", "--quick", *lines],
        "population": [*CARTPOLE, "--lineages", str(agents // 5)],
        "report": reported(work)[-1],
    }


def run(command: list[str], out: Path | None, flags: list[str], cache: Path) -> float:
    """Run a command and return its seconds."""
    flags = [*(["--out", str(out)] if out else []), *flags]
    code = "import sys; from embrl.cli import main; sys.exit(main(sys.argv[1:]))"
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *command, *flags],
        env=os.environ | ALONE | {"XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:2])} ended with {done.returncode}: {done.stderr}")
    return time.perf_counter() - started


def overhead(work: Path, options: dict[str, Any]) -> tuple[float, float]:
    """Return the seconds until two workers are ready, and those of each task that does nothing."""
    plugin = work / "nothing.py"
    plugin.write_text(NOTHING)
    load_plugin(str(plugin))

    def seconds(count: int) -> float:
        tasks = [Task(f"{number}", "nothing", {}, work / "none") for number in range(count)]
        started = time.perf_counter()
        make_executor(ExecutorOptions(workers=2, **options)).run(tasks, "nothing")
        return time.perf_counter() - started

    start = seconds(2)
    return start, (seconds(EMPTY_TASKS) - start) / EMPTY_TASKS


def same(one: Path, other: Path) -> bool:
    """Return whether two folders have the same results, bit for bit."""
    if (one / "population.json").exists():
        first, second = Population(one), Population(other)
        tables = first.table(), second.table()
        return np.array_equal(first.weights(), second.weights()) and all(
            np.array_equal(tables[0][name], tables[1][name]) for name in tables[0]
        )
    found = [results(path) | _figures(path) for path in (one, other)]
    return bool(found[0]) and found[0] == found[1]


def _figures(path: Path) -> dict[str, bytes]:
    """Return the files of a panel or a report that have no measured seconds in them."""
    paths = [*path.glob("curves.csv"), *sorted(path.glob("parts/*.json"))]
    return {each.name: each.read_bytes() for each in paths}


def task_seconds(out: Path) -> list[float]:
    """Return the seconds of each task."""
    path = out / "tasks.json"
    return (
        [each["wall_s"] for each in json.loads(path.read_text())["tasks"]] if path.exists() else []
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="local, processes and ray side by side.")
    parser.add_argument("--only", default="overhead,sweep,panel,population,report")
    parser.add_argument("--agents", type=int, default=2000)
    parser.add_argument("--lines", default="", help="lines of the panel; default: all")
    parser.add_argument("--executors", default="local,processes,ray,returned")
    parser.add_argument("--json", type=Path, help="file for the figures")
    given = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        started = time.perf_counter()
        with ray_cluster() as (address, _):
            found["cluster_s"] = time.perf_counter() - started
            executors = {
                "local": [],
                "processes": ["--executor", "processes", "--workers", "2"],
                "ray": ["--executor", "ray", "--ray-address", address],
                "returned": [
                    *("--executor", "ray", "--ray-address", address, "--results", "return")
                ],
            }
            if "overhead" in given.only.split(","):
                os.environ.update(ALONE)
                for kind, options in {
                    "processes": {},
                    "ray": {"ray_address": address},
                }.items():
                    start, each = overhead(work, {"executor": kind, **options})
                    found[f"overhead, {kind}"] = {"start_s": start, "task_s": each}
                    print(f"{kind}: {start:.1f} s to start, {1e3 * each:.1f} ms a task", flush=True)
            every = commands(given.agents, given.lines, work)
            for name in (name for name in given.only.split(",") if name in every):
                command = every[name]
                for before in reported(work)[:-1] if name == "report" else ():
                    run(before, None, [], work / "cache")
                # Compiles: by one process, so that the others find it.
                whole = work / f"{name}-alone"
                cold = run(command, whole, [], work / "cache")
                print(f"{name}, local, nothing compiled: {cold:.1f} s", flush=True)
                found[name] = {"cold": {"seconds": cold}}
                for kind in given.executors.split(","):
                    flags, out = executors[kind], work / f"{name}-{kind}"
                    seconds = run(command, out, flags, work / "cache")
                    equal = same(whole, out)
                    tasks = task_seconds(out)
                    found[name][kind] = {"seconds": seconds, "equal": equal, "tasks": tasks}
                    each = f", tasks of {np.mean(tasks):.1f} s on average" if tasks else ""
                    print(f"{name}, {kind}: {seconds:.1f} s, equal: {equal}{each}", flush=True)
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
