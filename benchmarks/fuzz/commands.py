"""Whole commands on healthy and damaged folders, as a user types them, in one process."""

import contextlib
import io
import random
import shutil
from pathlib import Path

import numpy as np

from benchmarks.fuzz.damage import damage
from benchmarks.fuzz.files import MANIFESTS, contents, make_all
from benchmarks.fuzz.flags import WORDS
from benchmarks.fuzz.tally import Tally
from embrl.cli import main
from embrl.core.errors import EmbrlError

SHAPES: dict[str, tuple[str, ...]] = {
    "run": (
        "inspect {run}",
        "plot {run}",
        "compare {run} {other}",
        "compare {run} --out {new}",
        "play {run} --episodes 1 --max-steps 5",
        "export {run} --out {new} --no-onnx",
        "export {run} --no-onnx",
        "predict {run} {observations} --out {new}.csv",
        "train --resume --out {run}",
        "train --config {run} --out {new} --seeds 0",
        "fit gridworld --out {run}",
        "train gridworld --out {run}",
    ),
    "embedding": (
        "inspect {embedding}",
        "train gridworld --env.actuators 2 --transfer.run {embedding} --out {new} --seeds 0",
        "fit gridworld --out {embedding}",
    ),
    "export": (
        "predict {export} {observations}",
        "predict {export} {observations} --out {new}.npz --draw 3",
    ),
    "population": (
        "agents fit {population} --out {new} --k 0",
        "agents collect cart_pole --out {population} --resume --lineages 0",
        "agents report {population} {embedding} --out {new}",
    ),
    "sweep": ("sweep --resume --out {sweep}", "sweep gridworld --out {sweep}"),
}
"""Commands by the folder that may be damaged; those that would train anew are refused."""

LONG = ("train gridworld", "fit gridworld", "sweep gridworld", "agents")
"""Commands that are typed without a mistake, as they would train for minutes if not refused."""

HOME = ("~",)
"""Words that lead out of the folder in which commands are tried."""


def typed(line: str, places: dict[str, str], draw: random.Random) -> list[str]:
    """Return the words of a command, of which some are wrong at times."""
    words = [word.format(**places) for word in line.split()]
    while not line.startswith(LONG) and draw.random() < 0.35:
        at = draw.randrange(len(words) + 1)
        word = draw.choice(
            [*WORDS, *places.values(), "--out", "--seed", "--resume", "--episodes", "--help-all"]
        )
        if word in HOME:
            continue
        how = draw.randrange(3)
        if how == 0:
            words.insert(at, word)
        elif at < len(words) and how == 1:
            words[at] = word
        elif at < len(words):
            del words[at]
    return words


def answer(words: list[str], folder: Path) -> None:
    """Run a command; what it refuses must leave the folder as it was.

    Raises:
        EmbrlError: If the command refuses, with what it said.
    """
    said, before = io.StringIO(), contents(folder)
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = main(words)
    lines = [line for line in said.getvalue().splitlines() if "embrl: warning: " not in line]
    assert code in (0, 2), f"exit code {code}"
    after = contents(folder)
    lost = [name for name in before if name not in after]
    assert not lost or code == 0, f"refused, and {lost} are gone"
    if code == 2:
        changed = [name for name in before if after[name] != before[name]]
        assert not changed, f"refused, and {changed} are changed"
        raise EmbrlError("\n".join(line.removeprefix("embrl: ") for line in lines))
    left = [name for name in after if name.endswith(".tmp")]
    assert not left, f"{left} are left"


def run(tally: Tally, count: int, seed: int, work: Path) -> None:
    """Try commands."""
    make_all(work / "whole")
    np.save(work / "observations.npy", np.arange(4))
    target = work / "tried"
    places = {name: str(target / name) for name in (*SHAPES, "new")}
    places |= {"other": str(work / "whole/run"), "observations": str(work / "observations.npy")}
    for number in range(count):
        draw = random.Random(f"{seed} {number}")
        kind = draw.choice(["run", "run", "run", *SHAPES])
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(work / "whole", target)
        how = "healthy"
        if draw.random() < 0.7:
            files = [each for each in sorted((target / kind).rglob("*")) if each.is_file()]
            path = draw.choice(files)
            beside = MANIFESTS.get(path.name)
            how = damage(path, draw, None if beside is None else path.with_name(beside))
        words = typed(draw.choice(SHAPES[kind]), places, draw)
        with contextlib.chdir(target):
            tally.try_one((number, how, " ".join(words)), lambda words=words: answer(words, target))
