"""Environments with known optima: JSAE, no embedding, and Stable-Baselines3's PPO.

    python results/known_optima.py --sb3 PYTHON [ROW ...]

trains each row's arms for the same number of timesteps with the same seeds and writes
results/known_optima/table.md, which docs/suite.md shows. PYTHON is an interpreter that has embrl
and Stable-Baselines3; without it only embrl's arms are trained. What is finished is kept in
runs/known_optima and not trained again. Rows are named by ROWS; all of them take some hours on 2
cores.
"""

import argparse
import dataclasses
import functools
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from beside_sb3 import short_cell, summary_of, their_returns, train_theirs

HERE = Path(__file__).parent
RUNS = HERE.parent / "runs" / "known_optima"

REPLENISHMENT = {
    "ppo.gamma": 0.9,
    "ppo.gae-lambda": 0.9,
    "ppo.num-minibatches": 8,
    "ppo.update-epochs": 10,
    "ppo.critic-epochs": 10,
    "ppo.actor-lr": 1e-3,
    "ppo.critic-lr": 1e-3,
    "ppo.ent-coef": 0,
    "policy.hidden": 32,
    "rollout.num-envs": 20,
}
ORDERED = {
    "embedding.action-dim": 1,
    "online.every": 0,
    "exploration.bonus": 0,
}
"""Of JSAE alone: the values of a part are ordered by their effect."""

MANY_ITEMS = {"ppo.gamma": 0.95, "ppo.gae-lambda": 0.5, "ppo.critic-lr": 3e-3}
"""Of both arms with 20 items for longer: a lower lambda leaves out the noise of later steps, and a
discount further from 1 would make orders too small, as an order saves later ones."""
ORDERED_MANY = {"policy.std": 0.3, "ppo.std-lr": 8e-4}
"""Of JSAE alone: begin narrower, and keep the noise that levels are found with for longer."""

SB3_REPLENISHMENT = {"gamma": 0.9, "gae_lambda": 0.9, "learning_rate": 1e-3}
"""The settings of 4 items for Stable-Baselines3's PPO, whose other ones are its defaults."""


@dataclasses.dataclass(frozen=True)
class Row:
    """An environment, and the settings of its arms."""

    environment: str
    id: str
    timesteps: int
    settings: dict[str, str | int | float] = dataclasses.field(default_factory=dict)
    """Of the environment, with underscores."""
    flags: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Of both of embrl's arms."""
    jsae: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Of JSAE alone."""
    sb3: Mapping[str, float] = dataclasses.field(default_factory=lambda: {"n_steps": 256})
    """Of Stable-Baselines3's PPO; by default 2,048 timesteps between two updates, as it has."""
    sb3_settings: dict[str, str] = dataclasses.field(default_factory=dict)
    """Of the environment for it, where it cannot take its actions."""
    num_envs: int = 8
    """Parallel environments of Stable-Baselines3."""
    switches: tuple[str, ...] = ()
    """Flags without a value, of both of embrl's arms."""
    jsae_switches: tuple[str, ...] = ()
    """The same of JSAE alone."""
    seeds: int | None = None
    """Seeds of embrl's arms; None: as many as asked for."""


def replenishment(
    items: int,
    joint_cost: float,
    timesteps: int,
    steps: int = 2000,
    seeds: int = 10,
    switches: tuple[str, ...] = ("ppo.by-part", "ppo.anneal"),
    many: bool = False,
) -> Row:
    """Return a row of joint replenishment, with that many timesteps between two updates.

    Many: with the settings for many items and a longer training.
    """
    settings: dict[str, str | int | float] = {"items": items, "joint_cost": joint_cost}
    evaluations = timesteps // 30 // steps * steps
    # Random orders show little of low levels; together, many items see enough of them.
    shared = ("embedding.shared-parts",) if items > 4 else ()
    sizes = {"rollout.steps-per-update": steps, "evaluation.every": evaluations}
    return Row(
        "joint_replenishment",
        "embrl/JointReplenishment-v0",
        timesteps,
        settings,
        REPLENISHMENT | sizes | (MANY_ITEMS if many else {}),
        ORDERED | {"embedding.state-dim": max(16, 2 * items)} | (ORDERED_MANY if many else {}),
        SB3_REPLENISHMENT | {"n_steps": steps // 20, "batch_size": steps // 8},
        num_envs=20,
        switches=switches,
        jsae_switches=("ppo.no-scale-by-std", *shared),
        seeds=seeds,
    )


ROWS = {
    "switches": Row("switches", "embrl/Switches-v0", 100_000),
    "manoeuvres": Row(
        "manoeuvres", "embrl/Manoeuvres-v0", 100_000, sb3_settings={"actions": "discrete"}
    ),
    "manoeuvres-discrete": Row(
        "manoeuvres", "embrl/Manoeuvres-v0", 100_000, {"actions": "discrete"}
    ),
    "manoeuvres-continuous": Row(
        "manoeuvres", "embrl/Manoeuvres-v0", 100_000, {"actions": "continuous"}
    ),
    "slot-machine-product": Row(
        "slot_machine", "embrl/SlotMachine-v0", 50_000, {"actions": "product"}
    ),
    "slot-machine-table": Row(
        "slot_machine",
        "embrl/SlotMachine-v0",
        50_000,
        {"actions": "table"},
    ),
    "replenishment-4": replenishment(4, 0.0, 300_000),
    "replenishment-4-joint": replenishment(4, 75.0, 300_000),
    # Too short to narrow the policy with rates that fall.
    "replenishment-20-short": replenishment(20, 0.0, 300_000, switches=("ppo.by-part",)),
    # The more parts, the more noise.
    "replenishment-20": replenishment(20, 0.0, 2_000_000, steps=8000, many=True),
    "replenishment-20-joint": replenishment(20, 75.0, 2_000_000, steps=8000, many=True),
}


def train_ours(name: str, row: Row, method: str, seeds: int) -> None:
    """Train all seeds of one of embrl's arms."""
    out, seeds = RUNS / name / method, row.seeds or seeds
    command = [str(Path(sys.executable).parent / "embrl"), "train", row.environment]
    command += ["--method", method, "--seeds", str(seeds), "--resume", "--out", str(out)]
    command += ["--total-timesteps", str(row.timesteps)]
    for setting, value in row.settings.items():
        command += [f"--env.{setting.replace('_', '-')}", str(value)]
    flags = {**row.flags, **(row.jsae if method == "jsae" else {})}
    command += [f"--{flag}={value}" for flag, value in flags.items()]
    switches = row.switches + (row.jsae_switches if method == "jsae" else ())
    command += [f"--{switch}" for switch in switches]
    subprocess.run(command, check=False)  # what fails is missing from the table


def their_command(python: str, row: Row, seed: int) -> list[str]:
    """Return the command that trains a seed of Stable-Baselines3's PPO."""
    command = [python, str(HERE / "train_sb3.py"), row.id, "--seed", str(seed)]
    command += ["--total-timesteps", str(row.timesteps), "--num-envs", str(row.num_envs)]
    settings = {**row.settings, **row.sb3_settings}
    return [*command, "--settings", json.dumps(settings), "--ppo", json.dumps(dict(row.sb3))]


def write_table(seeds: int) -> None:
    """Write the table of whatever is finished; what is not here stays as it stood."""
    table = HERE / "known_optima" / "table.md"
    stood = table.read_text().splitlines() if table.exists() else []
    old = {cells[0]: cells for cells in (_cells(line) for line in stood if line[:2] == "| ")}
    lines = [
        "Returns after training, sampled actions: mean, 95 % interval (bootstrap over seeds), and",
        "the worst seed. Way: what JSAE has gone of the way from the baseline (random actions; in",
        "joint replenishment ordering up to the mean demand) to the best known, or, in joint",
        "replenishment, to the best levels of each item.",
        "",
        "| row | timesteps | JSAE | way | no embedding | Stable-Baselines3 PPO | best known |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in ROWS.items():
        jsae, none = (summary_of(RUNS / name / method) for method in ("jsae", "none"))
        cells = [name, f"{row.timesteps:,}", "", "", "", "", "?"]
        if jsae:
            cells[2:4] = short_cell(jsae["final_return_per_seed"]), way(jsae)
        if none:
            cells[4] = short_cell(none["final_return_per_seed"])
        if theirs := their_returns(RUNS / name, seeds):
            cells[5] = short_cell(theirs)
        known = (jsae or none).get("best_known_return")
        if known is not None:
            cells[6] = f"{known:.4g}"
        before = old.get(
            name, [*cells[:2], "not measured", "", "not measured", "not measured", "?"]
        )
        found = [
            new if new not in ("", "?") else was for new, was in zip(cells, before, strict=True)
        ]
        if found != before or name in old:
            lines.append("| " + " | ".join(found) + " |")
    table.parent.mkdir(exist_ok=True)
    table.write_text("\n".join(lines) + "\n")


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def way(summary: Mapping) -> str:
    """Return the mean and the worst seed's share of the way from the baseline to the best."""
    returns = summary.get("final_return_per_seed", [])
    low = summary.get("mean_demand_return", summary.get("random_return"))
    high = summary.get("best_base_stock_return", summary.get("best_known_return"))
    if not returns or low is None or high is None:
        return ""
    shares = [(value - low) / (high - low) for value in returns]
    return f"{sum(shares) / len(shares):.1%}, worst {min(shares):.1%}"


def main() -> None:
    """Train what is asked for and write the table."""
    parser = argparse.ArgumentParser(description="Environments with known optima.")
    parser.add_argument("rows", nargs="*", default=list(ROWS), metavar="ROW")
    parser.add_argument("--sb3", metavar="PYTHON", help="interpreter with Stable-Baselines3")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    for name in arguments.rows:
        for method in ("jsae", "none"):
            train_ours(name, ROWS[name], method, arguments.seeds)
            write_table(arguments.seeds)
        if arguments.sb3:
            command = functools.partial(their_command, arguments.sb3, ROWS[name])
            train_theirs(RUNS / name, arguments.seeds, command)
        write_table(arguments.seeds)


if __name__ == "__main__":
    main()
