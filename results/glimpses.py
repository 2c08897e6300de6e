"""Glimpses: how often the digit is named after looks of one's own, and after other ones.

    python results/glimpses.py [--seeds 10] [--arms ARM ...]

trains the arms below on the digits for training, first to imitate the expert of the environment,
then by rewards, and plays 2,000 episodes with the digits that are held out, by the most likely
actions. It writes results/glimpses/table.md, for docs/environments/glimpses.md. Runs are kept in
runs/glimpses, and finished ones are not trained again; what each seed named is recorded in
results/glimpses/seeds.json, so that seeds can be added elsewhere.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from beside_sb3 import interval, summary_of

import embrl
from embrl.envs.glimpses import GlimpsesConfig

HERE = Path(__file__).parent
OUT = HERE / "glimpses"
RECORD = OUT / "seeds.json"
"""Of each arm and seed, the fraction of the digits that were named, and the mean of looks."""
RUNS = HERE.parent / "runs" / "glimpses"
EPISODES = 2000

LOOKS = {"gradient_steps": 8000, "warmup": 200}
NAMES = {"gradient_steps": 1600, "warmup": 100}
"""Imitation: of looks and names, and of names alone, which takes fewer gradient steps."""

TIMESTEPS = 8192
"""Of training by rewards."""

ARMS: dict[str, tuple[str, dict[str, float]]] = {
    "looks of its own": ("nothing", LOOKS),
    "the whole image": ("whole", NAMES),
    "six random looks": ("random", NAMES),
    "a look at the centre": ("centre", NAMES),
}
"""What each arm is given, and how it imitates."""


def folder(arm: str, seed: int) -> Path:
    """Return the run folder of a seed of an arm."""
    return RUNS / arm.replace(" ", "-") / str(seed)


def train(arm: str, seed: int) -> None:
    """Train a seed of an arm, unless it is trained; one that was stopped goes on."""
    given, imitation = ARMS[arm]
    out = folder(arm, seed)
    if summary_of(out):
        return
    embrl.train(
        "glimpses",
        given=given,
        out=out,
        resume=out.exists(),
        method="none",
        algorithm=embrl.PPO(
            actor_lr=3e-4,
            critic_lr=1e-3,
            ent_coef=0.0,
            anneal=True,
            num_minibatches=8,
            update_epochs=2,
            critic_epochs=2,
        ),
        seeds=1,
        seed=seed,
        total_timesteps=TIMESTEPS,
        embedding={"image_layers": "residual"},
        imitation={**imitation, "learning_rate": 1e-3, "batch_size": 256},
        policy={"hidden": (128, 128), "last_scale": 1.0},
        rollout={"num_envs": 256, "steps_per_update": 4096},
        evaluation={"every": 4096, "episodes": 200, "final_episodes": 1000},
        progress=True,
    )


def played(arm: str, seed: int) -> tuple[float, float]:
    """Return the fraction of episodes in which the digit was named, and the mean of looks."""
    given: Any = ARMS[arm][0]
    env = GlimpsesConfig(digits="held_out", given=given).build()
    policy = embrl.load(folder(arm, seed)).policy()
    keys = jax.random.split(jax.random.key(seed), EPISODES)
    state, seen = jax.jit(jax.vmap(env.reset))(keys)
    step = jax.jit(jax.vmap(env.step))
    going, right, looks = np.ones(EPISODES, bool), np.zeros(EPISODES, bool), np.zeros(EPISODES)
    while going.any():
        action = np.asarray(policy.act(np.asarray(seen), deterministic=True))
        names = action >= env.places
        right |= going & names & (action - env.places == np.asarray(state.label))
        looks += going & ~names
        state, after = step(keys, state, action)
        seen = after.observation
        going &= ~np.asarray(after.terminated)
    return float(right.mean()), float(looks.mean())


def main() -> None:
    """Train what is not trained, and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    arguments = parser.parse_args()
    for arm in arguments.arms:
        for seed in range(arguments.seeds):
            train(arm, seed)
    write_table()


def write_table() -> None:
    """Play what is finished and not recorded yet, and write the table of all that is recorded."""
    record: dict[str, dict[str, tuple[float, float]]] = {arm: {} for arm in ARMS}
    if RECORD.exists():
        record |= json.loads(RECORD.read_text())
    for arm, seeds in record.items():
        for run in folder(arm, 0).parent.glob("*"):
            if run.name not in seeds and summary_of(run):
                seeds[run.name] = played(arm, int(run.name))
    OUT.mkdir(exist_ok=True)
    RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    lines = [
        f"Digits that are held out, {EPISODES:,} episodes a seed, most likely actions: fraction of",
        "the episodes in which the digit was named; mean and 95 % interval (bootstrap over seeds).",
        "",
        "| seen | named | each seed | looks |",
        "|---|---|---|---|",
    ]
    for arm in ARMS:
        found = [record[arm][seed] for seed in sorted(record[arm], key=int)]
        if found:
            named = [right for right, _ in found]
            each = ", ".join(f"{value:.3f}" for value in named)
            looks = f"{np.mean([looks for _, looks in found]):.1f}"
            mean = interval(named, 3) if len(named) > 1 else each
            lines.append(f"| {arm} | {mean} | {each} | {looks} |")
    (OUT / "table.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
