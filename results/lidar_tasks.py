"""A task of the lidar robot without training on it: take the package, by what carrying looks like.

    python results/lidar_tasks.py [--seeds 3]

fits an embedding with tasks to random transitions of the warehouse (runs/lidar_tasks), asks for the
policy of the reward "a package on the robot hides the beams behind it", and plays it beside random
commands. It writes results/lidar_tasks.json, which docs/tasks.md shows.
"""

import argparse
import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import embrl
from embrl.core.statistics import bootstrap_mean
from embrl.tasks.space import TaskPolicy

HERE = Path(__file__).parent
RUNS = HERE.parent / "runs" / "lidar_tasks"
TIMESTEPS = 20_000
EPISODES = 16
STICKY = 0.6
BEAMS = 64
BEHIND = slice(BEAMS // 2 - 2, BEAMS // 2 + 3)
"""Beams that a package on the robot hides."""
HIDDEN = 0.02
"""Reading, as a fraction of the range, below which a beam counts as hidden."""
TEMPERATURES = (0.3,)


def carries(observations: np.ndarray) -> np.ndarray:
    """Return 1 where the robot carries a package: a median, as some beams do not return."""
    return (np.median(observations[:, BEHIND], axis=1) < HIDDEN).astype(np.float32)


def play(env, policy: TaskPolicy | None, temperature: float, seed: int) -> dict[str, float]:
    """Play episodes of the warehouse side by side.

    Args:
        env: the warehouse.
        policy: policy of the task; None: random commands.
        temperature: of its draws.
        seed: random seed.
    """
    key, rng = jax.random.key(seed), np.random.default_rng(seed)
    reset = eqx.filter_jit(eqx.filter_vmap(env.reset))
    step = eqx.filter_jit(eqx.filter_vmap(env.step))
    state, seen = reset(jax.random.split(key, EPISODES))
    returns, taken = np.zeros(EPISODES), np.zeros(EPISODES, bool)
    active = np.ones(EPISODES, bool)
    for time in range(env.config.step_limit):
        keys = jax.random.split(jax.random.fold_in(key, time), EPISODES)
        if policy is None:
            actions = rng.integers(env.action_space.n, size=EPISODES)
        else:
            actions = policy.act(np.asarray(seen), temperature=temperature, seed=1000 * seed + time)
        state, after = step(keys, state, jnp.asarray(actions, jnp.int32))
        returns += np.where(active, np.asarray(after.reward), 0.0)
        taken |= active & np.asarray(state.loaded)
        active &= ~np.asarray(after.terminated)
        seen = after.observation
    return {"return": float(returns.mean()), "taken": float(taken.mean())}


def main(seeds: int) -> None:
    """Fit, play, and write the table."""
    env = embrl.make("lidar_robot")
    rows: dict[str, list[dict[str, float]]] = {}
    for seed in range(seeds):
        folder = RUNS / str(seed)
        if not folder.exists():
            embrl.fit(
                "lidar_robot",
                timesteps=TIMESTEPS,
                rollout={"sticky_action_prob": STICKY},
                tasks={"dim": 64},
                seed=seed,
            ).save(folder)
        space = embrl.load_embedding(folder).tasks
        share = float(space.model.weights @ carries(space.model.states))
        policy = space.policy(carries)
        named = {f"task, temperature {t:g}": (policy, t) for t in TEMPERATURES}
        for name, (one, temperature) in {"random": (None, 0.0), **named}.items():
            row = {**play(env, one, temperature, seed), "states of the data that carry": share}
            rows.setdefault(name, []).append(row)
            print(seed, name, row, flush=True)
    table = {
        name: {
            column: [
                round(float(s), 3) if np.isfinite(s) else None  # of one seed, no interval
                for s in bootstrap_mean(np.array([r[column] for r in found]))
            ]
            for column in found[0]
        }
        for name, found in rows.items()
    }
    (HERE / "lidar_tasks.json").write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    main(parser.parse_args().seeds)
