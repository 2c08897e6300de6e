"""Traffic lights: colour that an embedding keeps or loses, and when its report and monitor say so.

    python results/traffic_lights.py [--seeds 10]

trains the arms below with the same seeds and writes results/traffic_lights/table.md, for
docs/environments/traffic_lights.md. Runs are kept in runs/traffic_lights, and finished ones are
not trained again.
"""

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from beside_sb3 import interval, summary_of

from embrl.embedding.probing import LOST
from embrl.embedding.quality import PROBED_AGAIN

HERE = Path(__file__).parent
OUT = HERE / "traffic_lights"
RUNS = HERE.parent / "runs" / "traffic_lights"

COMMON = [
    *("--embedding.image-layers", "flat", "--total-timesteps", "100000", "--ppo.anneal"),
    *("--rollout.steps-per-update", "2048", "--evaluation.every", "8192"),
    *("--ppo.actor-lr", "2e-3", "--ppo.critic-lr", "2e-3"),
    *("--evaluation.episodes", "20", "--evaluation.final-episodes", "200"),
]
FROM_GREY = ["--transfer.run", str(RUNS / "grey"), "--transfer.keep", "states"]
"""Flags of a run whose phi sees colours, and begins with that of `grey`."""

ARMS = {
    "colour, image too": ["--policy.inputs", "both"],
    "colour": ["--policy.inputs", "embedding"],
    "grey": ["--policy.inputs", "embedding", "--embedding.grey-scale"],
    "grey, online updates": [
        *("--policy.inputs", "embedding", "--embedding.grey-scale", "--online.every", "1")
    ],
    "grey, image too": ["--policy.inputs", "both", "--embedding.grey-scale"],
    "grey at first": ["--policy.inputs", "embedding", *FROM_GREY],
    "grey at first, online updates": [
        *("--policy.inputs", "embedding", "--online.every", "1", *FROM_GREY)
    ],
}
"""Flags of each arm, after that whose run it needs. The policy sees phi(s) alone, or also the
image."""


def folder(arm: str) -> Path:
    """Return the run folder of an arm."""
    return RUNS / arm.replace(",", "").replace(" ", "-")


def returns(arm: str) -> Iterator[tuple[int, list[float]]]:
    """Yield the timesteps of each evaluation, and the return of each seed."""
    found: dict[int, list[float]] = {}
    with (folder(arm) / "metrics.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(int(row["timesteps"]), []).append(float(row["return_mean"]))
    yield from found.items()


def falls_behind(arm: str, other: str) -> int | None:
    """Return from when on every seed of an arm earns less than every one of another."""
    found = None
    for (timesteps, mine), (_, theirs) in zip(returns(arm), returns(other), strict=True):
        found = None if max(mine) >= min(theirs) else found or timesteps
    return found


def line(arm: str) -> str:
    """Return an arm's line of the table."""
    summary = summary_of(folder(arm))
    quality = json.loads((folder(arm) / "quality.json").read_text())["seeds"]
    each, best = summary["final_return_per_seed"], summary["best_known_return"]
    lost = counted(seed["state_features_lost"] for seed in quality)
    again = [seed.get(PROBED_AGAIN) for seed in quality]
    in_the_end = "the same"  # phi is frozen
    if all(again):
        in_the_end = counted(
            [name for name, score in scores.items() if score < LOST] for scores in again
        )
    behind = None if arm == "colour" else falls_behind(arm, "colour")
    reported = next(iter(returns(arm)))[0]
    warned = "; ".join(summary["warnings"]) or "none"
    return (
        f"| {arm} | {interval(each, 3)} | {sum(each) / len(each) / best:.1%}, "
        f"worst {min(each) / best:.1%} | {lost} | {in_the_end} | {reported:,} "
        f"| {f'{behind:,}' if behind else 'never'} | {warned} |"
    )


def counted(lost: Iterable[list[str]]) -> str:
    """Return what was lost, and in how many seeds."""
    names = [" and ".join(each) or "nothing" for each in lost]
    return ", ".join(f"{name} ({names.count(name)} seeds)" for name in dict.fromkeys(names))


def main() -> None:
    """Train what is not trained, and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    seeds = parser.parse_args().seeds
    for arm, flags in ARMS.items():
        if not summary_of(folder(arm)):
            command = [str(Path(sys.executable).parent / "embrl"), "train", "traffic_lights"]
            command += [*COMMON, *flags, "--seeds", str(seeds), "--resume"]
            subprocess.run([*command, "--out", str(folder(arm))], check=True)
    OUT.mkdir(exist_ok=True)
    lines = [
        f"Drawn actions after 100,000 timesteps, {seeds} seeds: mean and 95 % interval (bootstrap",
        "over seeds). Behind: from when on every seed earns less than every seed of `colour`.",
        "",
        "| arm | return | of the optimum | lost, by the report | in the end | reported after "
        "| behind from | warnings of the monitor |",
        "|---|---|---|---|---|---|---|---|",
        *map(line, ARMS),
    ]
    (OUT / "table.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
