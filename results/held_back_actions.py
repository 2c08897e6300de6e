"""Returns with actions that training never tried, chosen by their features alone.

    python results/held_back_actions.py [--seeds 10] [--total-timesteps 150000]

Gridworld with 2,048 actions, of which a tenth is held back (`rollout.excluded_actions`): neither
tried in pre-training nor returned by f. Afterwards only these are allowed. For comparison: training
on just these, sampling among them, as many actions that were tried, and the same with a row for
each action, which leaves new ones at their initial values.

Writes results/held-back-actions: summary.json and README.md.
"""

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import embrl
from embrl.algorithms.policy import OverallPolicy
from embrl.config.defaults import default_config
from embrl.config.settings_by_name import replaced
from embrl.core.runtime import machine, prepare_jax
from embrl.core.statistics import bootstrap_mean
from embrl.envs.gridworld import Gridworld, GridworldConfig
from embrl.storage.files import write_json, write_text
from embrl.training.evaluation import play
from embrl.training.loop import train

OUT = Path(__file__).parent / "held-back-actions"
ACTUATORS = 11
FRACTION = 0.1
EPISODES = 100


def returns(env: Gridworld, policies: list[OverallPolicy], mask: np.ndarray) -> list[float]:
    """Return each policy's mean return over episodes in which only these actions are allowed."""

    @jax.jit
    def one(policy: OverallPolicy, key: Any) -> jax.Array:
        def act(key: Any, observation: Any) -> jax.Array:
            return policy.act(observation, policy.noise(key, (EPISODES,)))[0]

        return play(env, act, key, EPISODES).returns.mean()

    only = [dataclasses.replace(policy, allowed=jnp.asarray(mask)) for policy in policies]
    return [float(one(policy, jax.random.key(seed))) for seed, policy in enumerate(only)]


def trained(
    folder: Path, excluded: np.ndarray, features: str, given: argparse.Namespace
) -> list[OverallPolicy]:
    """Train JSAE with PPO, tuned settings, without these actions; return each seed's policy."""
    np.save(folder / "excluded.npy", excluded)
    config = default_config(
        "gridworld",
        GridworldConfig(given.actuators),
        "jsae",
        "ppo",
        "tuned",
        total_timesteps=1_000_000,
    )
    changes = {
        "seeds": given.seeds,
        "total_timesteps": given.total_timesteps,
        "embedding.action_features": features,
        "rollout.excluded_actions": str(folder / "excluded.npy"),
        "evaluation.every": 30_000,
        "exploration.bonus": given.bonus,
        "exploration.known_after": 10,
    }
    run = embrl.load(train(replaced(config, changes), folder / "run").path)
    return [run.policy(seed).overall for seed in range(given.seeds)]


def random_returns(env: Gridworld, held_back: np.ndarray, seeds: int) -> list[float]:
    """Return mean returns of sampling among these actions."""
    places = jnp.asarray(held_back)

    @jax.jit
    def one(key: Any) -> jax.Array:
        def act(key: Any, observation: Any) -> jax.Array:
            return places[jax.random.randint(key, observation.shape[:1], 0, len(places))]

        return play(env, act, key, EPISODES).returns.mean()

    return [float(one(jax.random.key(seed))) for seed in range(seeds)]


def summary(values: list[float]) -> dict[str, Any]:
    """Return the mean, its interval and each seed."""
    mean, low, high = (float(x) for x in bootstrap_mean(np.array(values)))
    return {"mean": mean, "ci95": [low, high], "per_seed": values}


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Return all lines of the table."""
    env = GridworldConfig(given.actuators).build()
    actions = int(env.action_space.n)
    order = np.random.default_rng(given.choice).permutation(actions)
    held_back = np.sort(order[: round(FRACTION * actions)])
    others = np.setdiff1d(np.arange(actions), held_back)
    new, old, few = np.zeros((3, actions), bool)
    new[held_back], old[others] = True, True
    few[order[-len(held_back) :]] = True
    lines: dict[str, Any] = {}

    def run(excluded: np.ndarray, features: str) -> list[OverallPolicy]:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            found = trained(Path(folder), excluded, features, given)
            print(f"{time.perf_counter() - start:.0f} s", flush=True)
            return found

    for name, features in (("features", "env"), ("rows", "")):
        policies = run(held_back, features)
        lines[f"{name}, old actions"] = summary(returns(env, policies, old))
        lines[f"{name}, as many old actions"] = summary(returns(env, policies, few))
        lines[f"{name}, new actions alone"] = summary(returns(env, policies, new))
        lines[f"{name}, trained on the new actions"] = summary(
            returns(env, run(others, features), new)
        )
    lines["drawn among the new actions"] = summary(random_returns(env, held_back, given.seeds))
    best = env.references(jax.random.key(0))["best_known_return"]
    return {"actions": actions, "held_back": len(held_back), "best_known_return": best} | {
        "lines": lines
    }


TEXT = {
    "features, new actions alone": "features: trained without them, then these alone",
    "features, trained on the new actions": "features: trained on these alone",
    "rows, new actions alone": "a row each: trained without them, then these alone",
    "rows, trained on the new actions": "a row each: trained on these alone",
    "drawn among the new actions": "sampled among these",
    "features, as many old actions": "features: as many actions that were tried, these alone",
    "rows, as many old actions": "a row each: as many actions that were tried, these alone",
    "features, old actions": "features: all actions that were tried",
    "rows, old actions": "a row each: all actions that were tried",
}


def page(found: dict[str, Any], folder: str) -> str:
    """Return the README of a folder in results/."""
    rows = []
    for name, text in TEXT.items():
        line = found["lines"][name]
        low, high = line["ci95"]
        rows.append(
            f"| {text} | {line['mean']:.3f} [{low:.3f}, {high:.3f}] | "
            f"{min(line['per_seed']):.3f} | {max(line['per_seed']):.3f} |"
        )
    note = f" ({found['note']})" if found["note"] else ""
    flag = f" --bonus {found['bonus']} --out results/{folder}" if found["bonus"] else ""
    bonus = f" with an exploration bonus of {found['bonus']}" if found["bonus"] else ""
    return (
        "# Held-back actions\n\n"
        f"    python results/held_back_actions.py --seeds {found['seeds']} "
        f"--total-timesteps {found['timesteps']}{flag}\n\n"
        f"Gridworld, {found['actions']:,} actions; {found['held_back']} of them, chosen by seed "
        f"{found['choice']}, are held back: never tried in training. JSAE with PPO, tuned "
        f"settings{bonus}, {found['timesteps']:,} timesteps, {found['seeds']} seeds. An "
        "action's features are the bits of its actuators (`--embedding.action-features env`). "
        f"Returns of the stochastic policy, {EPISODES} episodes per seed; means with 95 % "
        "intervals (bootstrap over seeds). Best known: "
        f"{found['best_known_return']:.2f}.\n\n"
        "| | return [95 % interval] | worst seed | best seed |\n|---|---:|---:|---:|\n"
        + "\n".join(rows)
        + f"\n\n{found['machine']}, {found['wall_s'] / 60:.0f} minutes{note}.\n"
    )


def main() -> None:
    """Train, measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--total-timesteps", type=int, default=150_000)
    parser.add_argument("--actuators", type=int, default=ACTUATORS)
    parser.add_argument("--choice", type=int, default=0, help="which tenth is held back")
    parser.add_argument("--bonus", type=float, default=0.0, help="exploration.bonus")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--note", default="", help="what else the machine was doing")
    given = parser.parse_args()
    prepare_jax()
    start = time.perf_counter()
    found = measure(given)
    found |= {name: getattr(given, name) for name in ("seeds", "choice", "bonus", "note")}
    found["timesteps"] = given.total_timesteps
    found |= {"machine": machine(), "wall_s": time.perf_counter() - start}
    given.out.mkdir(parents=True, exist_ok=True)
    write_json(given.out / "summary.json", found)
    write_text(given.out / "README.md", page(found, given.out.name))
    print(page(found, given.out.name))


if __name__ == "__main__":
    main()
