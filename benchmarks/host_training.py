"""Training on Gymnasium's environments, against the same environments with random actions."""

import itertools
import time
from collections.abc import Callable, Iterator
from unittest import mock

import jax
import numpy as np

from benchmarks.timing import Row, compare
from embrl import envs
from embrl.config.defaults import default_config
from embrl.config.run import RunConfig
from embrl.config.settings_by_name import replaced
from embrl.core.spaces import dimensions
from embrl.envs.gym import HostEnvironment, HostStep, HostVectorEnv
from embrl.training.hosted_backend import HostedBackend
from embrl.training.replicas import Replicas
from embrl.training.trainer import Trainer

SEEDS, EPOCHS, FIT, STEPS = 3, 3, 6000, 500
"""Epochs and steps are those of one repetition."""
ENVIRONMENTS = ("HalfCheetah-v5", 250), ("Ant-v5", 1000)
"""And the paper's limits of steps."""


def cases() -> Iterator[tuple[str, RunConfig]]:
    """Environments of both speeds, with the paper's settings of VPG and our PPO's."""
    for (name, limit), vector in itertools.product(ENVIRONMENTS, ("sync", "threads")):
        env = envs.configure(name, max_episode_steps=limit, vector=vector)
        for method, algorithm in itertools.product(("none", "jsae"), ("vpg", "ppo")):
            settings = "paper" if algorithm == "vpg" else "tuned"
            config = default_config(name, env, method, algorithm, settings)
            changes = {"seeds": SEEDS} | ({"pretrain.timesteps": FIT} if method == "jsae" else {})
            yield f"{name}, {method} + {algorithm}, {vector}", replaced(config, changes)


def epochs(rows: Replicas, world: HostedBackend) -> Callable[[], object]:
    """A function that trains for `EPOCHS` more epochs. The embedding is untrained, which changes no
    shape.
    """
    found = world.collect() if rows.trainer.method.embeds else None
    state, done = world.begin(rows.over(Trainer.untrained)(rows.keys), found), 0

    def more() -> None:
        nonlocal state, done
        state, _ = jax.block_until_ready(world.improve(state, done, EPOCHS))
        done += EPOCHS

    return more


def random_steps(opened: HostVectorEnv, size: int) -> Callable[[], object]:
    """A function that takes `STEPS` random steps in every lane."""
    shape = (100, opened.lanes, size)
    actions = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)

    def steps() -> None:
        for t in range(STEPS):
            opened.step(actions[t % len(actions)])

    return steps


def share_in_simulator(train: Callable[[], object]) -> float:
    """Of the time that training takes, the share inside the lanes' steps. Unlike a ratio of rates
    it says the same on a machine whose speed changes from second to second, and whether the
    policy's actions are dearer to simulate than random ones or not.
    """
    inside, step = 0.0, HostVectorEnv.step

    def timed(lanes: HostVectorEnv, actions: np.ndarray) -> HostStep:
        nonlocal inside
        start = time.perf_counter()
        result = step(lanes, actions)
        inside += time.perf_counter() - start
        return result

    start = time.perf_counter()
    with mock.patch.object(HostVectorEnv, "step", timed):
        train()
    return inside / (time.perf_counter() - start)


def run(only: str = "") -> Iterator[Row]:
    """Steps a second with three seeds side by side, and of as many lanes with random actions.
    Evaluations, which are simulator's steps and no learning, are not in it.
    """
    for what, config in cases():
        if only not in what:
            continue
        env = config.env.build()
        assert isinstance(env, HostEnvironment)
        rows = Replicas(Trainer(config, env.observation_space, env.action_space))
        world, lanes = HostedBackend(rows, env), SEEDS * config.rollout.num_envs
        with env.open(lanes, 0) as opened:
            train = epochs(rows, world)
            row = compare(
                what, train, SEEDS * EPOCHS * config.rollout.steps_per_update,
                "", random_steps(opened, dimensions(env.action_space)), STEPS * lanes,
            )  # fmt: skip
            share = share_in_simulator(train)
        yield row._replace(name=f"bare simulator; {share:.0%} of training's time is its steps")
        world.close()
