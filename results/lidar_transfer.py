"""What a warehouse teaches a robot that is to sort packages: parts of its embedding, ten seeds.

    python results/lidar_transfer.py [--seeds 10] [--timesteps 30000] [--source 36000]

trains sources in the warehouse and then each arm in sorting, in the source's layout and in another
one, all seeds of an arm side by side, with `embrl train`. What is finished is kept in
runs/lidar-transfer and not trained again. It writes a table for each layout to
results/lidar_transfer, of whatever is finished; `--table` does only that. A layout of which nothing
is finished here keeps the table that it has.
"""

import argparse
import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np

from embrl.core.statistics import bootstrap_difference, bootstrap_mean, timesteps_to
from embrl.report.curves import read_curve
from embrl.storage.run_folder import RunFolder

HERE = Path(__file__).parent
AUTOENCODER = ("--objectives", "state", "1", "action", "1")
SOURCE_LAYOUT, LAYOUTS = "rows", ("rows", "aisles")

COMMON = (
    *("--policy.inputs", "embedding", "--exploration.bonus", "0"),
    *("--ppo.update-epochs", "6"),
    *("--rollout.steps-per-update", "750", "--rollout.num-envs", "30"),
    *("--evaluation.every", "3000", "--evaluation.episodes", "10"),
    *("--evaluation.final-episodes", "30"),
)
"""Settings of every run. The policy sees phi alone: what phi lacks, it cannot learn around."""

PRETRAINING = (
    *("--pretrain.timesteps", "9000", "--pretrain.gradient-steps", "300"),
    *("--pretrain.batch-size", "256"),
)
"""Settings of runs that pre-train: all but those that take over the whole embedding."""

FROZEN = ("--online.every", "0")

SOURCES: dict[str, tuple[str, ...]] = {
    "warehouse": (),
    "random": FROZEN,
    "autoencoder": (*FROZEN, *AUTOENCODER),
}
"""Runs in the warehouse. warehouse: phi is updated while the policy learns. The others see as many
samples, of random actions alone."""


@dataclasses.dataclass(frozen=True)
class Arm:
    """A way to begin in sorting."""

    text: str
    source: str = ""
    flags: tuple[str, ...] = ()


ARMS = {
    "scratch": Arm("from scratch"),
    "scratch-frozen": Arm("from scratch, not updated online", "", FROZEN),
    "frozen": Arm("phi, g and T of the warehouse, frozen", "warehouse", FROZEN),
    "fine-tuned": Arm("phi, g and T of the warehouse, fine-tuned", "warehouse"),
    "phi": Arm("phi of the warehouse alone", "warehouse", (*FROZEN, "--transfer.keep", "states")),
    "g-and-T": Arm(
        "g and T of the warehouse alone", "warehouse", (*FROZEN, "--transfer.keep", "actions")
    ),
    "random": Arm("phi, g and T of random experience, frozen", "random", FROZEN),
    "autoencoder": Arm("phi and g of an autoencoder, frozen", "autoencoder", FROZEN + AUTOENCODER),
}


def train(out: Path, *flags: str) -> None:
    """Train a run, or go on with it; what is finished stays as it is."""
    command = [str(Path(sys.executable).parent / "embrl"), "train", "lidar_robot", *flags]
    done = subprocess.run([*command, "--resume", "--out", str(out)], check=False)
    if done.returncode:  # what fails is missing from the table
        print(f"{out} failed", file=sys.stderr)


def main() -> None:
    """Train what is not finished and write the table."""
    parser = argparse.ArgumentParser(description="Transfer from the warehouse to sorting.")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--timesteps", type=int, default=30_000, help="of each seed in sorting")
    parser.add_argument("--source", type=int, default=36_000, help="of each seed in the warehouse")
    parser.add_argument("--arms", nargs="*", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--layouts", nargs="*", default=list(LAYOUTS), choices=LAYOUTS)
    parser.add_argument("--runs", type=Path, default=HERE.parent / "runs" / "lidar-transfer")
    parser.add_argument("--out", type=Path, default=HERE / "lidar_transfer")
    parser.add_argument("--table", action="store_true", help="train nothing")
    given = parser.parse_args()
    common = (*COMMON, "--seeds", str(given.seeds))
    for layout in given.layouts:
        for name in given.arms if not given.table else ():
            arm, flags = ARMS[name], ()
            if arm.source:
                source = given.runs / f"source-{arm.source}"
                budget = ("--total-timesteps", str(given.source))
                if arm.source != "warehouse":
                    budget += ("--pretrain.timesteps", str(given.source - 750))
                where = ("--env.layout", SOURCE_LAYOUT)
                train(source, *where, *common, *PRETRAINING, *budget, *SOURCES[arm.source])
                flags = ("--transfer.run", str(source))
            job = ("--env.job", "sorting", "--env.layout", layout)
            budget = ("--total-timesteps", str(given.timesteps))
            if not arm.source or "--transfer.keep" in arm.flags:
                budget = (*PRETRAINING, *budget)
            train(given.runs / f"{layout}-{name}", *job, *common, *budget, *arm.flags, *flags)
            write_tables(given.runs, given.out)
    write_tables(given.runs, given.out)


def write_tables(runs: Path, out: Path) -> None:
    """Write a table for each layout, of whatever is finished."""
    for layout in LAYOUTS:
        found = {}
        for name in ARMS:
            folder = RunFolder(runs / f"{layout}-{name}")
            if folder.holds_run and (folder.path / "summary.json").exists():
                found[name] = read_curve(folder)
        if found:
            out.mkdir(parents=True, exist_ok=True)
            (out / f"{layout}.md").write_text("\n".join(section(layout, found, runs)) + "\n")


def section(layout: str, found: dict, runs: Path) -> list[str]:
    """Return the lines of one layout's table."""
    finals = {name: curve.returns[:, -1] for name, curve in found.items()}
    level = 0.5 * max(final.mean() for final in finals.values())
    seeds, budget = len(next(iter(finals.values()))), next(iter(found.values())).timesteps[-1]
    needed = {
        name: np.minimum(timesteps_to(curve.timesteps, curve.returns, level), curve.timesteps[-1])
        for name, curve in found.items()
    }
    lines = [
        f"Sorting in {layout}: mean of {seeds} seeds, 95 % interval (bootstrap over seeds). Half "
        f"of the best mean return is {level:.2f}; a seed that does not reach it counts as "
        f"{budget:,.0f}. Saved: samples of scratch less those of the arm, without those of the "
        "source, and with them.",
        "",
        "| arm | return at the end | samples to half of the best | seeds that get there | saved "
        "| saved, source counted |",
        "|---|---|---|---|---|---|",
    ]
    for name, curve in found.items():
        arm, saved = ARMS[name], ("", "")
        reached = int(np.isfinite(timesteps_to(curve.timesteps, curve.returns, level)).sum())
        if name != "scratch" and "scratch" in needed:
            source = 0.0
            if arm.source:
                source = read_curve(RunFolder(runs / f"source-{arm.source}")).timesteps[-1]
            both = needed[name], needed[name] + source
            saved = tuple(
                cell(bootstrap_difference(needed["scratch"], each), ",.0f") for each in both
            )
        final, samples = bootstrap_mean(finals[name]), bootstrap_mean(needed[name])
        lines.append(
            f"| {arm.text} | {cell(final, '.2f')} | {cell(samples, ',.0f')} | {reached} | "
            f"{saved[0]} | {saved[1]} |"
        )
    return lines


def cell(interval: object, form: str) -> str:
    """Return a mean and its interval as text."""
    mean, low, high = (float(getattr(interval, part)) for part in ("mean", "low", "high"))
    return f"{mean:{form}} [{low:{form}}, {high:{form}}]"


if __name__ == "__main__":
    main()
