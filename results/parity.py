"""PPO and SAC without embeddings beside Stable-Baselines3: same settings, same timesteps.

    python results/parity.py [CASE ...]        CASE: ppo-Pendulum-v1, sac-HalfCheetah-v5, ...

Writes results/parity: a JSON file for each case, and README.md with the table. Existing results are
kept. Needs stable-baselines3 (which installs torch), and mujoco.
"""

import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from embrl import envs
from embrl.config.defaults import default_config
from embrl.config.settings_by_name import replaced
from embrl.core.runtime import prepare_jax
from embrl.core.statistics import bootstrap_mean
from embrl.report.claims import number
from embrl.training.loop import train

OUT = Path(__file__).parent / "parity"
SEEDS, EPISODES = 3, 20
CASES = {
    ("ppo", "Pendulum-v1"): 204_800,
    ("ppo", "HalfCheetah-v5"): 307_200,
    ("sac", "Pendulum-v1"): 10_000,
    ("sac", "HalfCheetah-v5"): 50_000,
}
"""Algorithm and environment, to timesteps."""


def ours(algorithm: str, name: str, timesteps: int, normalise: str) -> dict[str, Any]:
    """Return the results of embrl, all seeds side by side."""
    config = default_config(
        name, envs.configure(name), "none", algorithm, "tuned", total_timesteps=1_000_000
    )
    update = config.rollout.steps_per_update
    config = replaced(
        config,
        {
            "seeds": SEEDS,
            "total_timesteps": timesteps,
            "policy.normalise": normalise,
            "policy.bounded": False,
            "evaluation.every": timesteps // update * update,
            "evaluation.final_episodes": EPISODES,
        },
    )
    with TemporaryDirectory() as folder:
        summary = train(config, Path(folder) / "run").summary()
    greedy = summary["final_greedy_return_mean"]
    return {
        "returns": summary["final_return_per_seed"],
        "greedy_return_mean": greedy,
        "wall_s": summary["wall_s"],
    }


def theirs(algorithm: str, name: str, timesteps: int) -> dict[str, Any]:
    """Return the results of Stable-Baselines3 with its defaults, seed after seed."""
    import torch
    from stable_baselines3 import PPO, SAC
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy

    torch.set_num_threads(1)  # a second one slows these small networks down
    returns, greedy, start = [], [], time.perf_counter()
    for seed in range(SEEDS):
        if algorithm == "ppo":
            model: Any = PPO("MlpPolicy", make_vec_env(name, 8, seed=seed), n_steps=256, seed=seed)
        else:
            envs_of_seed = make_vec_env(name, 4, seed=seed)
            model = SAC("MlpPolicy", envs_of_seed, train_freq=50, gradient_steps=200, seed=seed)
        model.learn(timesteps)
        for found, most_likely in ((returns, False), (greedy, True)):
            here = make_vec_env(name, 1, seed=1000 + seed)
            mean, _ = evaluate_policy(model, here, EPISODES, deterministic=most_likely)
            found.append(float(mean))
    wall = time.perf_counter() - start
    return {"returns": returns, "greedy_return_mean": float(np.mean(greedy)), "wall_s": wall}


def measured(algorithm: str, name: str, timesteps: int) -> dict[str, Any]:
    """Return all three results of a case; each is saved as soon as it is complete."""
    path = OUT / f"{algorithm}-{name}.json"
    found = json.loads(path.read_text()) if path.exists() else {"timesteps": timesteps, "rows": {}}
    rows = {
        "Stable-Baselines3": lambda: theirs(algorithm, name, timesteps),
        "embrl, the same settings": lambda: ours(algorithm, name, timesteps, "off"),
        "embrl, observations scaled": lambda: ours(algorithm, name, timesteps, "running"),
    }
    for label, run in rows.items():
        if label not in found["rows"]:
            found["rows"][label] = run()
            path.write_text(json.dumps(found, indent=2) + "\n")
    return found


def main() -> None:
    """Run what is missing and write the table."""
    prepare_jax()
    OUT.mkdir(exist_ok=True)
    for algorithm, name in CASES:
        if not sys.argv[1:] or f"{algorithm}-{name}" in sys.argv[1:]:
            measured(algorithm, name, CASES[algorithm, name])
    lines = [
        "# PPO and SAC without embeddings, beside Stable-Baselines3",
        "",
        "    python results/parity.py",
        "",
        f"{SEEDS} seeds, {EPISODES} episodes at the end; 95 % intervals, bootstrapped over seeds. "
        "The second row has Stable-Baselines3's defaults for everything that both have; the third "
        "scales observations by running statistics (--policy.normalise running, PPO's default; "
        "SAC's is now scale_down_only; Pendulum's are scaled by their bounds in both). Seconds "
        "were measured beside other work on the same two cores (–: it was paused).",
        "",
        "| | timesteps | | final return | worst seed | most likely action | seconds, all seeds |",
        "|---|---|---|---|---|---|---|",
    ]
    for algorithm, name in CASES:
        path = OUT / f"{algorithm}-{name}.json"
        if not path.exists():
            continue
        found = json.loads(path.read_text())
        for label, row in found["rows"].items():
            wall = "–" if row["wall_s"] is None else f"{row['wall_s']:.0f}"
            mean, low, high = (float(value) for value in bootstrap_mean(np.array(row["returns"])))
            lines.append(
                f"| {algorithm.upper()}, {name} | {found['timesteps']:,} | {label} "
                f"| {number(mean, [low, high], 0)} | {min(row['returns']):.0f} "
                f"| {row['greedy_return_mean']:.0f} | {wall} |"
            )
    (OUT / "README.md").write_text("\n".join(lines) + "\n")


main()
