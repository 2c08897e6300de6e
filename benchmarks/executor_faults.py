"""Workers and drivers killed at random moments, and what is left: `embrl sweep` on executors.

    python -m benchmarks.executor_faults [--executor processes|ray] [--workers 20] [--drivers 5]
        [--nodes 1] [--results shared|return] [--seed 0]

A small sweep of four points runs once in one process. Then it runs on two workers, of which one
is killed by SIGKILL at a random moment between their start and the usual end; then runs whose
driver is killed, and which are continued. With Ray, a node of the cluster is switched off, too.
Checked: every command ends with all points and the tables and metrics of the first, bit for bit, or
says in one line what is missing and completes when it is continued; no file is half-written; no
worker outlives its driver. The runs save a checkpoint at every chance. A fault that comes after the
end of its run strikes nothing: runs are repeated until the number that was asked for was struck.
One line for each kind is printed.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.kill_and_resume import TIMEOUT, check, check_interrupted
from benchmarks.ray_cluster import ALONE, RayNode, ray_cluster

PLUGIN = """
from embrl.training import loop
loop.train.__kwdefaults__["save_every"] = 0.0
"""
"""Plugin by which drivers and workers save a checkpoint at every chance."""

SWEEP = (
    *("sweep", "gridworld", "--method", "none", "--algorithm", "vpg", "--env.actuators", "2"),
    *("--seeds", "2", "--total-timesteps", "6000", "--evaluation.every", "500"),
    *("--rollout.steps-per-update", "500", "--rollout.num-envs", "10"),
    *("--evaluation.episodes", "2", "--evaluation.final-episodes", "4"),
    *("--evaluation.max-episode-steps", "50", "--over", "policy.hidden", "16", "12", "8", "4"),
)

MOST = 3
"""Maximum number of runs for each that is to be struck."""

QUICK_TO_COMPILE = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
)
"""Flags of XLA, as the tests have them."""


class Faults:
    """Runs of one command on one executor."""

    def __init__(
        self, work: Path, flags: list[str], nodes: Sequence[RayNode], draw: random.Random
    ) -> None:
        self.work, self.flags, self.nodes, self.draw = work, flags, nodes, draw
        self.plugin = work / "save_often.py"
        self.plugin.write_text(PLUGIN)
        self.seconds = 0.0
        self.whole: dict[str, bytes] = {}
        self.number = 0

    def start(self, out: Path, *flags: str) -> subprocess.Popen[bytes]:
        """Start the sweep."""
        arguments = ["--plugin", str(self.plugin), *SWEEP, "--out", str(out), *flags]
        code = "import sys; from embrl.cli import main; sys.exit(main(sys.argv[1:]))"
        return subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=os.environ
            | ALONE
            | {"XDG_CACHE_HOME": str(self.work / "cache"), "XLA_FLAGS": QUICK_TO_COMPILE},
        )

    def finish(self, process: subprocess.Popen[bytes]) -> bool:
        """Wait for the sweep; return whether it is complete, and else has said what is missing."""
        _, said = process.communicate(timeout=TIMEOUT)
        text = said.decode()
        check("Traceback" not in text, text[-800:])
        check(process.returncode in (0, 2), f"exit code {process.returncode}: {text[-500:]}")
        if process.returncode == 2:
            last = text.strip().splitlines()[-1]
            check("missing" in last, f"exit code 2 without a reason: {last}")
            print(last[:200], file=sys.stderr)
        return process.returncode == 0

    def measure(self) -> None:
        """Run once in one process, and once without a fault, which compiles everything."""
        check(self.finish(self.start(self.work / "whole")), "the sweep itself failed")
        self.whole = results(self.work / "whole")
        started = time.monotonic()
        check(self.finish(self.start(self.work / "apart", *self.flags)), "it failed undisturbed")
        self.seconds = time.monotonic() - started
        self.compare(self.work / "apart")

    def compare(self, out: Path) -> None:
        """Check that a sweep has the results of the undisturbed one."""
        found = results(out)
        wrong = [name for name in self.whole if found.get(name) != self.whole[name]]
        check(found.keys() == self.whole.keys() and not wrong, f"{out}: {wrong} differ")

    def disturbed(self, disturb: Callable[[subprocess.Popen[bytes]], bool]) -> tuple[bool, bool]:
        """Run with a fault at a random moment of its work, and again until it is complete.

        Returns:
            Whether the fault struck, and whether the first run was complete.
        """
        self.number += 1
        out = self.work / f"{self.number:03d}"
        process, began = self.start(out, *self.flags), time.monotonic()
        while not workers_of(process.pid, self.nodes) and process.poll() is None:
            time.sleep(0.1)
        left = self.seconds - (time.monotonic() - began)
        time.sleep(self.draw.uniform(0.0, 0.9) * max(left, 1.0))
        struck = disturb(process)
        if process.poll() == -signal.SIGKILL or process.returncode == -signal.SIGKILL:
            process.communicate()
            complete = False
            check_interrupted(out)
        else:
            complete = self.finish(process)
        if not complete:
            check(self.finish(self.start(out, *self.flags, "--resume")), "it stays incomplete")
        self.compare(out)
        check(not list(out.rglob("*.tmp")), f"{out} has half-written files")
        shutil.rmtree(out)
        return struck, complete


def results(out: Path) -> dict[str, bytes]:
    """Return the files of a sweep that have no measured seconds in them."""
    paths = [out / "table.csv", out / "table.md", *sorted(out.glob("runs/*/metrics.csv"))]
    return {str(path.relative_to(out)): path.read_bytes() for path in paths if path.exists()}


def workers_of(driver: int, nodes: Sequence[RayNode]) -> list[int]:
    """Return the worker processes of a driver, or of a Ray cluster if there is one."""
    sessions = [node.process.pid for node in nodes]
    found = []
    for path in Path("/proc").iterdir():
        if not path.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            line = (path / "cmdline").read_bytes()
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            own = parent == driver and b"embrl.executors.worker" in line
            on_ray = b"ray::RemoteWorker" in line and os.getsid(int(path.name)) in sessions
            if on_ray if nodes else own:
                found.append(int(path.name))
    return found


def kill_worker(
    draw: random.Random, nodes: Sequence[RayNode]
) -> Callable[[subprocess.Popen[bytes]], bool]:
    """Return what kills a worker of a driver."""

    def disturb(driver: subprocess.Popen[bytes]) -> bool:
        workers = workers_of(driver.pid, nodes)
        if workers:
            os.kill(draw.choice(workers), signal.SIGKILL)
        return bool(workers)

    return disturb


def kill_driver(nodes: Sequence[RayNode]) -> Callable[[subprocess.Popen[bytes]], bool]:
    """Return what kills a driver, and checks that its workers end."""

    def disturb(driver: subprocess.Popen[bytes]) -> bool:
        workers = workers_of(driver.pid, nodes)
        struck = driver.poll() is None
        driver.kill()
        driver.wait()
        until = time.monotonic() + 60
        while any(_alive(worker) for worker in workers):
            check(time.monotonic() < until, f"workers outlive their driver: {workers}")
            time.sleep(0.1)
        return struck

    return disturb


def _alive(process: int) -> bool:
    with contextlib.suppress(OSError):
        folder = Path(f"/proc/{process}")
        ended = (folder / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        # Its other threads may hold locks for some milliseconds more.
        return not ended or len(list((folder / "task").iterdir())) > 1
    return False


@contextlib.contextmanager
def executor_of(name: str, results: str) -> Iterator[tuple[list[str], list[RayNode]]]:
    """Yield the flags of an executor with two workers, and the nodes of its cluster."""
    if name == "processes":
        yield ["--executor", "processes", "--workers", "2"], []
        return
    with ray_cluster() as (address, nodes):
        yield ["--executor", "ray", "--ray-address", address, "--results", results], nodes


def main() -> int:
    """Run all faults; return 1 if one was not survived."""
    parser = argparse.ArgumentParser(description="workers and drivers killed, and what is left.")
    parser.add_argument("--executor", choices=("processes", "ray"), default="processes")
    parser.add_argument("--workers", type=int, default=20)
    parser.add_argument("--drivers", type=int, default=5)
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--results", choices=("shared", "return"), default="shared")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    draw = random.Random(given.seed)
    with (
        tempfile.TemporaryDirectory() as temporary,
        executor_of(given.executor, given.results) as (flags, nodes),
    ):
        faults = Faults(Path(temporary), flags, nodes, draw)
        faults.measure()
        kinds = {
            "workers": (kill_worker(draw, nodes), given.workers),
            "drivers": (kill_driver(nodes), given.drivers),
        }
        if nodes:
            kinds["nodes"] = (lambda _: nodes[1].end() is None, min(given.nodes, 1))
        for kind, (disturb, times) in kinds.items():
            struck = complete = number = 0
            while struck < times and number < MOST * times:
                number += 1
                print(f"{kind}: run {number}, {struck} struck", file=sys.stderr, flush=True)
                hit, whole = faults.disturbed(disturb)
                struck, complete = struck + hit, complete + whole
            print(
                f"{given.executor}, {kind} killed: {struck} of {number} runs of "
                f"{faults.seconds:.0f} s were struck, {complete} complete at once, the others when "
                "continued; all as the undisturbed sweep, nothing half-written",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
