"""`kill -9` at random moments in train, sweep, collect and fit, and what is left.

    python -m benchmarks.kill_and_resume [--times 25] [--seed 0] [--only train,fit] [--keep DIR]

Each command runs once without interruption. Then runs of it are killed at a random moment, and
continued, at times after being killed again, until there were `--times` kills. Checked after each
kill: every file can be read, nothing half-written is in sight, and the lock of the folder is free.
Checked at the end: the folder is the one of the uninterrupted run, bit for bit, but for measured
seconds. A second process in the same folder must be refused while the first is alive.

The runs are small and save a checkpoint at every chance. One line for each command is printed.
"""

import argparse
import csv
import dataclasses
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from embrl.core.errors import EmbrlError
from embrl.storage.lock import locked

DRIVER = """
import sys
from embrl.training import loop
from embrl.agents.embeddings import fit
loop.train.__kwdefaults__["save_every"] = fit.SAVE_EVERY = 0.0
from embrl.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""embrl, with a checkpoint at every chance."""

SMALL = (
    *("--env.actuators", "2", "--seeds", "2", "--pretrain.timesteps", "500"),
    *("--pretrain.gradient-steps", "100", "--online.every", "0", "--policy.hidden", "16"),
    *("--evaluation.episodes", "2", "--evaluation.final-episodes", "4"),
    *("--evaluation.max-episode-steps", "50"),
)
MEASURED = ("wall_s", "timesteps_per_s", "machine")
"""Entries of JSON files that differ from run to run."""

TIMEOUT = 900.0
"""Seconds that a command may take."""


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of embrl that writes a folder."""

    arguments: tuple[str, ...]
    resume: tuple[str, ...] = ("--resume",)
    """Flags by which it continues what is there."""
    cache: Path = Path(tempfile.gettempdir()) / "embrl-kill-and-resume"
    """Folder of compiled programs, which no other process waits for."""

    def start(self, out: Path, *more: str) -> subprocess.Popen[bytes]:
        """Start the command."""
        line = [sys.executable, "-c", DRIVER, *self.arguments, "--out", str(out), *more]
        return subprocess.Popen(
            line,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=os.environ | {"XDG_CACHE_HOME": str(self.cache)},
        )

    def finish(self, out: Path, *more: str) -> None:
        """Run the command to its end."""
        process = self.start(out, *more)
        _, said = process.communicate(timeout=TIMEOUT)
        check(process.returncode == 0, f"exit code {process.returncode}: {said.decode()[-500:]}")


def commands(work: Path) -> dict[str, Command]:
    """Return the commands by name; `work` is a folder for what they need."""
    population = work / "population"
    collect = (
        *("agents", "collect", "cart_pole", "--lineages", "8", "--block", "2", "--episodes", "4"),
        *("--hidden", "8", "--checkpoints", "0", "1", "2"),
    )
    Command(collect).finish(population)
    sweep = ("sweep", "gridworld", "--over", "ppo.actor_lr", "1e-3", "3e-3", "--replicas", "2")
    return {
        "train": Command(("train", "gridworld", *SMALL, "--total-timesteps", "6000")),
        "sweep": Command((*sweep, *SMALL, "--total-timesteps", "3000")),
        "collect": Command(collect),
        "fit": Command(
            ("fit", "gridworld", "--env.actuators", "2", "--pretrain.gradient-steps", "300"), ()
        ),
        "agents fit": Command(
            (
                *("agents", "fit", str(population), "--steps", "200", "--k", "2"),
                *("--hidden", "16", "--episodes", "4"),
            )
        ),
    }


def check(holds: bool, what: str) -> None:
    """Raise an error unless something holds."""
    if not holds:
        raise AssertionError(what)


def content(folder: Path) -> dict[str, Any]:
    """Return what a complete folder holds, without what was measured, and hidden files."""
    found: dict[str, Any] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if path.name.startswith("."):
            continue
        if path.suffix == ".json":
            found[name] = _without_measured(json.loads(path.read_text()))
        elif path.suffix != ".png":
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _without_measured(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _without_measured(part) for name, part in value.items() if name not in MEASURED
        }
    return [_without_measured(part) for part in value] if isinstance(value, list) else value


def check_interrupted(folder: Path) -> None:
    """Check a folder right after a kill."""
    if not folder.exists():
        return
    for path in folder.rglob("*"):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue  # what the next process removes
        if path.suffix == ".json":
            json.loads(path.read_text())
        if path.suffix == ".csv":
            widths = {len(row) for row in csv.reader(path.open(newline=""))}
            check(len(widths) == 1, f"{path} has rows of {widths} columns")
    for part in (folder, *(path.parent for path in folder.rglob(".lock"))):
        with locked(part):  # raises an error if the dead process holds it
            pass


def killed(command: Command, out: Path, more: tuple[str, ...], after: float) -> bool:
    """Start a command and kill it; return whether it was still alive."""
    process = command.start(out, *more)
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True
    _, said = process.communicate()
    check(process.returncode == 0, f"exit code {process.returncode}: {said.decode()[-500:]}")
    return False


def check_second_is_refused(command: Command, out: Path) -> None:
    """Check that a second process is refused in one line while a first one writes."""
    first = command.start(out)
    until = time.monotonic() + TIMEOUT
    while not list(out.rglob(".lock")) and first.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    for flags in {(), command.resume}:
        second = command.start(out, *flags)
        _, said = second.communicate(timeout=TIMEOUT)
        if first.poll() is not None:
            break
        check(second.returncode == 2, f"a second process ended with {second.returncode}")
        check(b"Traceback" not in said, said.decode()[-500:])
    first.kill()
    first.communicate()


def campaign(name: str, command: Command, times: int, draw: random.Random, work: Path) -> str:
    """Kill a command some times, and return what was seen."""
    began, counts = time.monotonic(), {"killed": 0, "again": 0}
    command.finish(work / "warm")  # compiles what later processes only load
    started = time.monotonic()
    command.finish(work / "whole")
    seconds, whole = time.monotonic() - started, content(work / "whole")
    check_second_is_refused(command, work / "two")
    number = 0
    while sum(counts.values()) < times:
        number += 1
        print(f"{name}: {sum(counts.values())} of {times} kills", file=sys.stderr, flush=True)
        out, more, over = work / f"{number:03d}", (), False
        for _ in range(draw.choice((1, 1, 1, 2, 3))):
            started = time.monotonic()
            over = not killed(command, out, more, draw.uniform(0.2, 1.0) * seconds)
            if over:  # the machine was busier before
                seconds = min(seconds, time.monotonic() - started)
                break
            check_interrupted(out)
            counts["again" if more else "killed"] += 1
            more = command.resume
            if not more and content(out).keys() == whole.keys():  # all had been written
                over = True
                break
        if not over:
            command.finish(out, *(command.resume if out.exists() else ()))
            check(not list(out.rglob("*.tmp")), f"{out} still has half-written files")
        found = content(out)
        check(found.keys() == whole.keys(), f"{out}: {sorted(found.keys() ^ whole.keys())}")
        wrong = [file for file in whole if found[file] != whole[file]]
        check(not wrong, f"{out}: {', '.join(wrong)} differ from an uninterrupted run")
        shutil.rmtree(out)
    return (
        f"{name}: {number} runs of {seconds:.1f} s, killed {sum(counts.values())} times, of them "
        f"{counts['again']} while continuing; all as an uninterrupted run, all locks free, "
        f"second processes refused; {(time.monotonic() - began) / 60:.1f} min"
    )


def main() -> int:
    """Run all campaigns; return 1 if one found something."""
    parser = argparse.ArgumentParser(description="kill -9 at random moments, and what is left.")
    parser.add_argument("--times", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="train,sweep,collect,fit,agents fit")
    parser.add_argument("--keep", type=Path, help="folder to work in, which stays")
    given = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        work = given.keep or Path(temporary)
        for name, command in commands(work).items():
            if name not in given.only.split(","):
                continue
            draw = random.Random(f"{given.seed} {name}")
            try:
                said = campaign(name, command, given.times, draw, work / name.replace(" ", "-"))
            except (AssertionError, EmbrlError, subprocess.TimeoutExpired, ValueError) as error:
                failed, said = 1, f"{name}: FAILED: {error}"
            print(said, flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
