"""From 512 to a million actions: the cost of a timestep, and what is learned.

    python -m benchmarks.action_counts [--dims 2 8] [--actions 512 ...] [--decoder KIND] [--out DIR]
    embrl --plugin benchmarks/action_counts.py train moves --env.actions 1048576

Each action moves a point by a vector of its own, which is not known and has no features. The point
has to be brought to the middle. Cost is the processor time of this process in the middle of a
training with default settings (one device): rollouts, updates of the policy and online updates of
the embedding. Pre-training, the tree and peak memory are listed apart. Each size runs in a process
of its own.
"""

import argparse
import dataclasses
import functools
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Float

import embrl
from embrl.config.defaults import default_config
from embrl.core.runtime import machine, prepare_jax
from embrl.core.types import TimeStep
from embrl.decoding.tree import build
from embrl.envs.environment import Environment
from embrl.storage.files import write_text
from embrl.training.trainer import Trainer

STEP_LIMIT = 20
CLOSE = 0.1
LONGEST = 0.25
"""The longest move along an axis."""
UPDATES = 20
"""Updates that are timed."""


class Place(NamedTuple):
    """Position of the point, and the number of steps taken."""

    position: Float[Array, " dims"]
    steps: Array


class Moves(Environment):
    """A point in a cube has to be brought to its middle; a step costs the distance that is left."""

    moves: Float[Array, "n dims"]

    def __init__(self, actions: int, dims: int) -> None:
        moves = np.random.default_rng(0).uniform(-LONGEST, LONGEST, (actions, dims))
        self.moves = jnp.asarray(moves, jnp.float32)

    @property
    def observation_space(self) -> spaces.Box:
        """Space of positions."""
        return spaces.Box(-1.0, 1.0, (self.moves.shape[1],))

    @property
    def action_space(self) -> spaces.Discrete:
        """Space of action indices."""
        return spaces.Discrete(self.moves.shape[0])

    def reset(self, key: Array) -> tuple[Place, Array]:
        """Start at a random position."""
        position = jax.random.uniform(key, self.moves.shape[1:], minval=-1.0, maxval=1.0)
        return Place(position, jnp.int32(0)), position

    def step(self, key: Array, state: Place, action: Array) -> tuple[Place, TimeStep]:
        """Move the point."""
        del key
        moved = jnp.clip(state.position + self.moves[action], -1.0, 1.0)
        place = Place(moved, state.steps + 1)
        distance = jnp.linalg.norm(moved)
        close = distance < CLOSE
        late = (place.steps >= STEP_LIMIT) & ~close
        return place, TimeStep(moved, -distance, close, late)


@embrl.register_environment("moves")
@dataclasses.dataclass(frozen=True)
class MovesConfig:
    """Actions that move a point, each by a vector that is not known."""

    actions: int = 512
    """Number of actions."""
    dims: int = 2
    """Dimensions of the cube."""

    def build(self) -> Moves:
        """Return the environment."""
        return Moves(self.actions, self.dims)


def greedy_return(dims: int, episodes: int = 2000) -> float:
    """Return the mean return of always going to the point nearest to the middle.

    It is that of a million moves: each axis is shortened by as much as a move can.
    """
    place = np.random.default_rng(1).uniform(-1, 1, (episodes, dims))
    total, running = np.zeros(episodes), np.ones(episodes, bool)
    for _ in range(STEP_LIMIT):
        place -= np.clip(place, -LONGEST, LONGEST)
        distance = np.linalg.norm(place, axis=1)
        total -= np.where(running, distance, 0.0)
        running &= distance >= CLOSE
    return float(total.mean())


def measure(actions: int, dims: int, action_dim: int, decoder: str) -> dict[str, float]:
    """Return the costs of one size, in processor time of this process."""
    config = default_config(
        "moves", MovesConfig(actions, dims), "jsae", "ppo", total_timesteps=200_000
    )
    embedding = dataclasses.replace(config.embedding, action_dim=action_dim)
    f = dataclasses.replace(config.decoder, kind=decoder)
    config = dataclasses.replace(config, embedding=embedding, decoder=f)
    env = MovesConfig(actions, dims).build()
    trainer, key = Trainer.of(config, env), jax.random.key(0)
    data = jax.jit(trainer.collect)(env, key)
    train = jax.jit(trainer.split)(data)[0]
    steps = jnp.arange(100)
    fit = jax.jit(trainer.fit)
    state = trainer.new_model(key, train)
    fit_s, (state, _) = timed(fit, state, train, key, steps)
    agent = trainer.new_agent(key, jax.jit(trainer.pretrain)(key, train))
    begin_s, began = timed(jax.jit(functools.partial(trainer.start, env)), key, agent, data)
    iterate = jax.jit(trainer.iterate, donate_argnums=1)
    began, _ = jax.block_until_ready(iterate(env, began, key, jnp.int32(0), jnp.int32(UPDATES)))
    start = time.process_time()
    jax.block_until_ready(iterate(env, began, key, jnp.int32(UPDATES), jnp.int32(UPDATES)))
    timestep_s = (time.process_time() - start) / (UPDATES * config.rollout.steps_per_update)
    return {
        "timestep_us": 1e6 * timestep_s,
        "gradient_step_ms": 1e3 * fit_s / 100,
        "begin_ms": 1e3 * begin_s,
        "tried": int(jnp.unique(data.action).size),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def whole_tree(actions: int, dims: int) -> dict[str, float]:
    """Return the time of building a tree of all actions."""
    table = jnp.tanh(MovesConfig(actions, dims).build().moves)
    return {"build_ms": 1e3 * timed(jax.jit(build), table)[0]}


def timed(function: Any, *arguments: Any) -> tuple[float, Any]:
    """Return the processor time of the second call, and its result."""
    jax.block_until_ready(function(*arguments))
    start = time.process_time()
    found = jax.block_until_ready(function(*arguments))
    return time.process_time() - start, found


def main() -> None:
    """Print a table for each number of dimensions."""
    parser = argparse.ArgumentParser(description="The cost of many actions.")
    parser.add_argument("--actions", type=int, nargs="+", default=[2**9, 2**14, 2**17, 2**20])
    parser.add_argument("--dims", type=int, nargs="+", default=[2, 8])
    parser.add_argument("--action-dim", type=int, default=8, help="dimensions of E")
    parser.add_argument("--decoder", default="nearest", help="decoder.kind")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--part", action="store_true", help="measure in this process")
    given = parser.parse_args()
    if given.part:
        prepare_jax()
        size = given.actions[0], given.dims[0]
        print(json.dumps(measure(*size, given.action_dim, given.decoder) | whole_tree(*size)))
        return
    lines = [f"E has {given.action_dim} dimensions; {machine()}; processor time.", ""]
    for dims in given.dims:
        found = [part(n, dims, given.action_dim, given.decoder) for n in given.actions]
        greedy = greedy_return(dims)
        lines += [f"Straight to the middle of {dims} dimensions: return {greedy:.3f}.", ""]
        lines += [*table(given.actions, dims, found), ""]
    print("\n".join(lines))
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        write_text(given.out / "cost.md", "\n".join(lines))


def part(actions: int, dims: int, action_dim: int, decoder: str) -> dict[str, float]:
    """Measure one size in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.action_counts", "--part"]
    command += ["--actions", str(actions), "--dims", str(dims), "--action-dim", str(action_dim)]
    command += ["--decoder", decoder]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def table(sizes: list[int], dims: int, found: list[dict[str, float]]) -> list[str]:
    """Return a table in Markdown."""
    rows = [
        ("a timestep of training, microseconds", "timestep_us"),
        ("a gradient step of pre-training, ms", "gradient_step_ms"),
        ("actions that pre-training tried", "tried"),
        ("start of training, with the tree of these, ms", "begin_ms"),
        ("a tree of all actions, ms", "build_ms"),
        ("peak memory, MB", "peak_mb"),
    ]
    lines = [
        f"| moves in {dims} dimensions | " + " | ".join(f"{size:,} actions" for size in sizes),
        "|---|" + "---:|" * len(sizes),
    ]
    lines[0] += " |"
    for words, name in rows:
        values = " | ".join(
            f"{each[name]:,.0f}" if each[name] >= 100 else f"{each[name]:.3g}" for each in found
        )
        lines.append(f"| {words} | {values} |")
    first = found[0]["timestep_us"]
    ratios = " | ".join(f"{each['timestep_us'] / first:.2f}" for each in found)
    return [*lines, f"| a timestep, relative to {sizes[0]:,} actions | {ratios} |"]


if __name__ == "__main__":
    main()
