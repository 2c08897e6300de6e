"""The environments that people try first, with nothing but the name: embrl and Stable-Baselines3.

    python results/first_environments.py --sb3 PYTHON [ENVIRONMENT ...]

trains both with their defaults, for the same number of timesteps and with the same seeds, and
writes results/first_environments/table.md, which docs/results.md shows. PYTHON is the interpreter
of an environment with Stable-Baselines3; without it only embrl's half is trained. What is finished
is kept in runs/first and not trained again. All ten take some hours on 2 cores.
"""

import argparse
import functools
import subprocess
import sys
from pathlib import Path

from beside_sb3 import cell, summary_of, their_returns, train_theirs

HERE = Path(__file__).parent
RUNS = HERE.parent / "runs" / "first"
EPISODES, UNLIMITED = 100, 20
"""Episodes after training of Stable-Baselines3, and of those environments that have no time limit,
where a policy that stands still plays 10,000 steps; ours are the default."""

TIMESTEPS = {
    "CartPole-v1": 100_000,
    "FrozenLake-v1": 100_000,
    "FrozenLake8x8-v1": 200_000,
    "Taxi-v4": 200_000,
    "CliffWalking-v1": 100_000,
    "Acrobot-v1": 100_000,
    "MountainCar-v0": 100_000,
    "Pendulum-v1": 100_000,
    "LunarLander-v3": 100_000,
    "BipedalWalker-v3": 100_000,
}

SB3 = f"""
import sys, json
import gymnasium, stable_baselines3
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
name, timesteps, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
env = gymnasium.make(name)
episodes = {EPISODES}
if env.spec.max_episode_steps is None:  # as embrl cuts its evaluation's episodes
    env, episodes = gymnasium.wrappers.TimeLimit(env, 10_000), {UNLIMITED}
model = PPO("MlpPolicy", env, seed=seed, device="cpu").learn(timesteps)
sampled = evaluate_policy(model, env, episodes, deterministic=False)[0]
print(json.dumps({{"sampled": sampled, "version": stable_baselines3.__version__}}))
"""


def train_ours(name: str, timesteps: int, seeds: int) -> None:
    """Train all seeds with `embrl train NAME`."""
    out = RUNS / name / "embrl"
    command = [str(Path(sys.executable).parent / "embrl"), "train", name, "--seeds", str(seeds)]
    command += ["--total-timesteps", str(timesteps), "--resume", "--out", str(out)]
    subprocess.run(command, check=False)  # what fails is missing from the table


def their_command(python: str, name: str, seed: int) -> list[str]:
    """Return the command that trains a seed of Stable-Baselines3's PPO with its defaults."""
    return [python, "-c", SB3, name, str(TIMESTEPS[name]), str(seed)]


def main() -> None:
    """Train what is asked for and write the table."""
    parser = argparse.ArgumentParser(description="Environments that people try first.")
    parser.add_argument("environments", nargs="*", default=list(TIMESTEPS), metavar="ENVIRONMENT")
    parser.add_argument("--sb3", metavar="PYTHON", help="interpreter with Stable-Baselines3")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    for name in arguments.environments:
        timesteps = TIMESTEPS[name]
        train_ours(name, timesteps, arguments.seeds)
        if arguments.sb3:
            command = functools.partial(their_command, arguments.sb3, name)
            train_theirs(RUNS / name, arguments.seeds, command)
        write_table(arguments.seeds)


def write_table(seeds: int) -> None:
    """Write the table of whatever is finished."""
    lines = [
        f"Returns after training, sampled actions: mean over {seeds} seeds,",
        "95 % interval (bootstrap over seeds), and every seed.",
        "",
        "| environment | timesteps | embrl | Stable-Baselines3 PPO |",
        "|---|---|---|---|",
    ]
    for name, timesteps in TIMESTEPS.items():
        found = summary_of(RUNS / name / "embrl").get("final_return_per_seed", [])
        rival = their_returns(RUNS / name, seeds)
        if found or rival:
            cells = cell(found, seeds), cell(rival, seeds)
            lines.append(f"| {name} | {timesteps:,} | {cells[0]} | {cells[1]} |")
    table = HERE / "first_environments" / "table.md"
    table.parent.mkdir(exist_ok=True)
    table.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
