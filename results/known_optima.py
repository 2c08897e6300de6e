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

from beside_sb3 import cell, summary_of, their_returns, train_theirs

HERE = Path(__file__).parent
RUNS = HERE.parent / "runs" / "known_optima"
EPISODES = 100

REPLENISHMENT = {
    "ppo.gamma": 0.9,
    "ppo.gae-lambda": 0.9,
    "ppo.num-minibatches": 8,
    "ppo.update-epochs": 10,
    "ppo.critic-epochs": 10,
    "ppo.actor-lr": 1e-3,
    "ppo.critic-lr": 1e-3,
    "ppo.ent-coef": 0,
    "rollout.steps-per-update": 2000,
    "rollout.num-envs": 20,
    "evaluation.every": 10_000,
}
ORDERED = {"embedding.action-dim": 1, "online.every": 0, "exploration.bonus": 0}
"""Of JSAE alone: the values of a part are ordered by their effect. Beside these,
`--ppo.no-scale-by-std`."""

SB3_REPLENISHMENT = {
    "gamma": 0.9,
    "gae_lambda": 0.9,
    "learning_rate": 1e-3,
    "n_steps": 100,
    "batch_size": 250,
}
"""The same settings for Stable-Baselines3's PPO, whose other ones are its defaults."""


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
    sb3: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Of Stable-Baselines3's PPO."""
    sb3_settings: dict[str, str] = dataclasses.field(default_factory=dict)
    """Of the environment for it, where it cannot take its actions."""
    num_envs: int = 1
    """Parallel environments of Stable-Baselines3."""


def replenishment(items: int, joint_cost: float, timesteps: int) -> Row:
    """Return a row of joint replenishment."""
    settings: dict[str, str | int | float] = {"items": items, "joint_cost": joint_cost}
    return Row(
        "joint_replenishment",
        "embrl/JointReplenishment-v0",
        timesteps,
        settings,
        REPLENISHMENT,
        ORDERED,
        SB3_REPLENISHMENT,
        num_envs=20,
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
    "replenishment-20": replenishment(20, 0.0, 600_000),
    "replenishment-20-joint": replenishment(20, 75.0, 600_000),
}

SB3 = f"""
import sys, json
import gymnasium  # before embrl, which then registers its ids
import embrl
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
name, timesteps, seed, num_envs, settings, chosen = sys.argv[1:]
settings, chosen = json.loads(settings), json.loads(chosen)
make = lambda: gymnasium.make("embrl:" + name, **settings)
model = PPO("MlpPolicy", make_vec_env(make, int(num_envs)), seed=int(seed), device="cpu", **chosen)
model.learn(int(timesteps))
mean = evaluate_policy(model, make_vec_env(make, 1), {EPISODES}, deterministic=False)[0]
print(json.dumps({{"sampled": float(mean)}}))
"""


def train_ours(name: str, row: Row, method: str, seeds: int) -> None:
    """Train all seeds of one of embrl's arms."""
    out = RUNS / name / method
    command = [str(Path(sys.executable).parent / "embrl"), "train", row.environment]
    command += ["--method", method, "--seeds", str(seeds), "--resume", "--out", str(out)]
    command += ["--total-timesteps", str(row.timesteps)]
    for setting, value in row.settings.items():
        command += [f"--env.{setting.replace('_', '-')}", str(value)]
    flags = {**row.flags, **(row.jsae if method == "jsae" else {})}
    command += [f"--{flag}={value}" for flag, value in flags.items()]
    if row.jsae and method == "jsae":
        command.append("--ppo.no-scale-by-std")
    subprocess.run(command, check=False)  # what fails is missing from the table


def their_command(python: str, row: Row, seed: int) -> list[str]:
    """Return the command that trains a seed of Stable-Baselines3's PPO."""
    command = [python, "-c", SB3, row.id, str(row.timesteps), str(seed), str(row.num_envs)]
    settings = {**row.settings, **row.sb3_settings}
    return [*command, json.dumps(settings), json.dumps(dict(row.sb3))]


def write_table(seeds: int) -> None:
    """Write the table of whatever is finished."""
    lines = [
        f"Returns after training, sampled actions: mean over {seeds} seeds, 95 % interval",
        "(bootstrap over seeds), and every seed.",
        "",
        "| environment | timesteps | JSAE | no embedding | Stable-Baselines3 PPO | best known |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in ROWS.items():
        arms, known = [], "?"
        for method in ("jsae", "none"):
            summary = summary_of(RUNS / name / method)
            arms.append(summary.get("final_return_per_seed", []))
            if "best_known_return" in summary:
                known = f"{summary['best_known_return']:.4g}"
        arms.append(their_returns(RUNS / name, seeds))
        if any(arms):
            cells = " | ".join(cell(arm, seeds, digits=4) for arm in arms)
            lines.append(f"| {name} | {row.timesteps:,} | {cells} | {known} |")
    table = HERE / "known_optima" / "table.md"
    table.parent.mkdir(exist_ok=True)
    table.write_text("\n".join(lines) + "\n")


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
