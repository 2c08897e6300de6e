"""A million actions with features, and a thousand: time and memory of fit, f, wrapper and PPO.

    python -m benchmarks.many_actions --out results/many-actions

Each size and each part runs in a process of its own, so that its peak memory is its own.
"""

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Float

from benchmarks.wrapper_step import own
from embrl.config.defaults import default_config
from embrl.config.run import RunConfig
from embrl.core.runtime import machine, prepare_jax
from embrl.core.types import TimeStep
from embrl.decoding import nearest
from embrl.embedding.feature_actions import FeatureActions
from embrl.envs.environment import Environment
from embrl.storage.files import write_json, write_text
from embrl.training.action_inputs import ActionInputs
from embrl.training.loop import Progress
from embrl.training.loop import train as run_training
from embrl.training.replicas import Replicas
from embrl.training.trainer import Trainer

FEATURES = 16
STEP_LIMIT = 20
CLOSE = 0.1
PARTS = ("fit", "f", "wrapper", "ppo")
STEPS = 50
"""Gradient steps, or decisions, that are timed together."""


class Place(NamedTuple):
    """Position of the agent, and the number of steps taken."""

    position: Float[Array, "2"]
    steps: Array


class Reach(Environment):
    """A point has to be brought to the middle of a square.

    An action moves it by a linear function of the action's features, which is not known.
    """

    features: Float[Array, "n 16"]
    effect: Float[Array, "16 2"]

    def __init__(self, config: "ReachConfig") -> None:
        random = np.random.default_rng(0)
        self.features = jnp.asarray(random.normal(size=(config.actions, FEATURES)), jnp.float32)
        self.effect = jnp.asarray(
            0.2 / FEATURES**0.5 * random.normal(size=(FEATURES, 2)), jnp.float32
        )

    @property
    def observation_space(self) -> spaces.Box:
        """Space of positions."""
        return spaces.Box(-1.0, 1.0, (2,))

    @property
    def action_space(self) -> spaces.Discrete:
        """Space of action indices."""
        return spaces.Discrete(self.features.shape[0])

    def action_features(self) -> np.ndarray:
        """Return features `[n, 16]`, random numbers."""
        return np.asarray(self.features)

    def reset(self, key: Array) -> tuple[Place, Array]:
        """Start at a random position."""
        place = Place(jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0), jnp.int32(0))
        return place, place.position

    def step(self, key: Array, state: Place, action: Array) -> tuple[Place, TimeStep]:
        """Move the point; a step costs the distance that is left."""
        del key
        moved = state.position + self.features[action] @ self.effect
        place = Place(jnp.clip(moved, -1.0, 1.0), state.steps + 1)
        distance = jnp.linalg.norm(place.position)
        close = distance < CLOSE
        late = (place.steps >= STEP_LIMIT) & ~close
        return place, TimeStep(place.position, -distance, close, late)


@dataclasses.dataclass(frozen=True)
class ReachConfig:
    """Settings of `Reach`."""

    actions: int = 1000
    """Number of actions."""

    def build(self) -> Reach:
        """Return the environment."""
        return Reach(self)


def settings(actions: int, timesteps: int) -> RunConfig:
    """Return the tuned settings of JSAE with PPO, one seed."""
    config = default_config(
        "reach", ReachConfig(actions), "jsae", "ppo", "tuned", total_timesteps=1_000_000
    )
    return dataclasses.replace(
        config,
        seeds=1,
        total_timesteps=timesteps,
        embedding=dataclasses.replace(config.embedding, action_features="env"),
        pretrain=dataclasses.replace(config.pretrain, timesteps=6000, gradient_steps=300),
        evaluation=dataclasses.replace(
            config.evaluation, every=3000, episodes=10, final_episodes=50
        ),
    )


def timed(function: Callable[[], Any], repetitions: int = 3) -> float:
    """Return seconds per call, the best of a few after a warm-up."""
    jax.block_until_ready(function())
    best = float("inf")
    for _ in range(repetitions):
        start = time.perf_counter()
        jax.block_until_ready(function())
        best = min(best, time.perf_counter() - start)
    return best


def fit(actions: int, timesteps: int) -> dict[str, float]:
    """Return milliseconds of a gradient step on 512 transitions."""
    del timesteps
    config = settings(actions, 10_000)
    env = config.env.build()
    inputs = ActionInputs(env.action_features())  # type: ignore[attr-defined]
    trainer = Trainer(config, env.observation_space, env.action_space, action_inputs=inputs)
    replicas = Replicas(trainer)
    keys = replicas.keys
    seen = replicas.over(Trainer.collect, shared=(0,), once=True)(env, keys)
    start = replicas.over(Trainer.new_model, shared=(2,), once=True)
    state = start(keys, seen, inputs.features)
    step = replicas.over(Trainer.fit, shared=(3,))
    steps = jnp.arange(STEPS, dtype=jnp.int32)
    return {"fit_ms": 1e3 * timed(lambda: step(state, seen, keys, steps)) / STEPS}


def f(actions: int, timesteps: int) -> dict[str, float]:
    """Return milliseconds of all g(a), and of one decision, the nearest of all actions."""
    del timesteps
    features = ReachConfig(actions).build().features
    g = eqx.filter_jit(lambda features: FeatureActions(features, 2, (64,), key=jax.random.key(0)))
    embedded = eqx.filter_jit(lambda g: g.table)
    model = g(features)
    table = embedded(model)
    points = jax.random.uniform(jax.random.key(1), (STEPS, 2), minval=-1.0, maxval=1.0)
    one_by_one = jax.jit(
        lambda table, points: jax.lax.scan(lambda _, e: (None, nearest(table, e)), None, points)[1]
    )
    return {
        "table_ms": 1e3 * timed(lambda: embedded(model)),
        "decision_ms": 1e3 * timed(lambda: one_by_one(table, points)) / STEPS,
    }


def wrapper(actions: int, timesteps: int) -> dict[str, float]:
    """Return microseconds that the wrapper of a Gymnasium environment adds to a step."""
    del timesteps
    features = np.asarray(ReachConfig(actions).build().features)
    return {"wrapper_us": own(spaces.Discrete(actions), actions, 2, features=features)}


def ppo(actions: int, timesteps: int) -> dict[str, float]:
    """Return milliseconds of a timestep, with updates and evaluations, and the returns."""
    config, looks = settings(actions, timesteps), []

    def watch(progress: Progress) -> None:
        if progress.stage == "training":
            looks.append((progress.done, time.perf_counter()))

    with tempfile.TemporaryDirectory() as folder:
        run = run_training(config, Path(folder) / "run", on_progress=watch, save_every=1e9)
        summary = run.summary()
    # The first part compiles, and the last is evaluated at length.
    (first, start), (last, end) = looks[0], looks[-2]
    return {
        "timestep_ms": 1e3 * (end - start) / (last - first),
        "return": summary["final_return_mean"],
        "random_return": summary["random_return"],
    }


def peak() -> float:
    """Return the peak memory of this process in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(part: str, actions: int, timesteps: int) -> dict[str, float]:
    """Run one part in a process of its own; return its measurements."""
    command = [sys.executable, "-m", "benchmarks.many_actions", "--part", part]
    command += ["--actions", str(actions), "--total-timesteps", str(timesteps)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def page(found: dict[str, Any]) -> str:
    """Return the table in Markdown."""
    sizes = found["actions"]
    rows = [
        ("a gradient step of pre-training, 512 transitions, ms", "fit", "fit_ms"),
        ("... peak memory, MB", "fit", "peak_mb"),
        ("g of all actions, ms", "f", "table_ms"),
        ("one decision of f, ms", "f", "decision_ms"),
        ("... peak memory, MB", "f", "peak_mb"),
        ("a wrapper's own time per step, microseconds", "wrapper", "wrapper_us"),
        ("... peak memory, MB", "wrapper", "peak_mb"),
        ("PPO, a timestep with its part of updates and evaluations, ms", "ppo", "timestep_ms"),
        ("... peak memory, MB", "ppo", "peak_mb"),
        ("... final return", "ppo", "return"),
        ("... of random actions", "ppo", "random_return"),
    ]
    lines = [
        "| | " + " | ".join(f"{size:,} actions" for size in sizes) + " |",
        "|---|" + "---:|" * len(sizes),
    ]
    for text, part, name in rows:
        values = [found["measured"][str(size)][part][name] for size in sizes]
        lines.append(f"| {text} | " + " | ".join(_shown(value) for value in values) + " |")
    return "\n".join(lines) + "\n"


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def main() -> None:
    """Print the table; with --out, also write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actions", type=int, nargs="+", default=[1_000, 1_000_000])
    parser.add_argument("--total-timesteps", type=int, default=21_000, help="of the PPO run")
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--note", default="", help="what else the machine was doing")
    given = parser.parse_args()
    if given.part:
        prepare_jax()
        part = {"fit": fit, "f": f, "wrapper": wrapper, "ppo": ppo}[given.part]
        found = part(given.actions[0], given.total_timesteps)
        print(json.dumps({**found, "peak_mb": peak()}))
        return
    found = {
        "actions": given.actions,
        "features": FEATURES,
        "timesteps": given.total_timesteps,
        "machine": machine(),
        "note": given.note,
        "measured": {
            str(size): {part: measured(part, size, given.total_timesteps) for part in PARTS}
            for size in given.actions
        },
    }
    print(page(found))
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        write_json(given.out / "summary.json", found)
        note = f" ({given.note})" if given.note else ""
        write_text(
            given.out / "README.md",
            "# A million actions with features\n\n"
            "    python -m benchmarks.many_actions --out results/many-actions\n\n"
            f"{FEATURES} features per action; JSAE with PPO, tuned settings except for a short "
            "pre-training (300 gradient steps on 6,000 timesteps), one seed, "
            f"{given.total_timesteps:,} timesteps. {machine()}{note}.\n\n{page(found)}",
        )


if __name__ == "__main__":
    main()
