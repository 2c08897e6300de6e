"""Training on Gymnasium environments, against the same environments with random actions."""

import itertools
import time
from collections.abc import Callable, Iterator
from unittest import mock

import jax
import numpy as np

from benchmarks.timing import Row, compare, installed
from embrl import envs
from embrl.config.defaults import default_config
from embrl.config.run import RunConfig
from embrl.config.settings_by_name import replaced
from embrl.core.spaces import dimensions
from embrl.envs.gym import HostEnvironment, HostStep, HostVectorEnv
from embrl.training.hosted_backend import HostedBackend
from embrl.training.replicas import Replicas
from embrl.training.trainer import Trainer

SEEDS, UPDATES, PRETRAINING, STEPS = 3, 3, 6000, 500
"""Updates and steps are those of one repetition."""
ENVIRONMENTS = ("HalfCheetah-v5", 250), ("Ant-v5", 1000)
"""Names, and the paper's step limits."""


def cases() -> Iterator[tuple[str, RunConfig]]:
    """Yield slow and fast environments with the paper's settings of VPG and our settings of PPO."""
    for (name, limit), vector in itertools.product(ENVIRONMENTS, ("sync", "threads")):
        env = envs.configure(name, max_episode_steps=limit, vector=vector)
        for method, algorithm in itertools.product(("none", "jsae"), ("vpg", "ppo")):
            settings = "paper" if algorithm == "vpg" else "tuned"
            config = default_config(name, env, method, algorithm, settings)
            changes = {"seeds": SEEDS} | (
                {"pretrain.timesteps": PRETRAINING} if method == "jsae" else {}
            )
            yield f"{name}, {method} + {algorithm}, {vector}", replaced(config, changes)


def updates(replicas: Replicas, backend: HostedBackend) -> Callable[[], object]:
    """Return a function that trains for `UPDATES` more updates.

    The embedding is untrained, which changes no shape.
    """
    data = backend.collect() if replicas.trainer.schedule.method.embeds else None
    state, done = backend.begin(replicas.over(Trainer.untrained)(replicas.keys), data), 0

    def more() -> None:
        nonlocal state, done
        state, _ = jax.block_until_ready(backend.improve(state, done, UPDATES))
        done += UPDATES

    return more


def random_steps(opened: HostVectorEnv, size: int) -> Callable[[], object]:
    """Return a function that takes `STEPS` random steps in every environment."""
    shape = (100, opened.num_envs, size)
    actions = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)

    def steps() -> None:
        for t in range(STEPS):
            opened.step(actions[t % len(actions)])

    return steps


def simulator_fraction(train: Callable[[], object]) -> float:
    """Return the fraction of training time that is spent in the simulator's steps.

    Unlike a ratio of rates it does not depend on the machine's current speed, nor on whether the
    policy's actions take longer to simulate than random ones.
    """
    inside, step = 0.0, HostVectorEnv.step

    def timed(envs: HostVectorEnv, actions: np.ndarray) -> HostStep:
        nonlocal inside
        start = time.perf_counter()
        result = step(envs, actions)
        inside += time.perf_counter() - start
        return result

    start = time.perf_counter()
    with mock.patch.object(HostVectorEnv, "step", timed):
        train()
    return inside / (time.perf_counter() - start)


def run(only: str = "") -> Iterator[Row]:
    """Yield steps per second of three seeds, and of as many environments with random actions.

    Evaluations, which step the simulator without learning, are not included.

    Args:
        only: text that the names of the cases must contain.
    """
    if not installed("mujoco", "gymnasium"):
        return
    for what, config in cases():
        if only not in what:
            continue
        env = config.env.build()
        assert isinstance(env, HostEnvironment)
        replicas = Replicas(Trainer(config, env.observation_space, env.action_space))
        backend, count = HostedBackend(replicas, env), SEEDS * config.rollout.num_envs
        with env.open(count, 0) as opened:
            train = updates(replicas, backend)
            row = compare(
                what, train, SEEDS * UPDATES * config.rollout.steps_per_update,
                "", random_steps(opened, dimensions(env.action_space)), STEPS * count,
            )  # fmt: skip
            fraction = simulator_fraction(train)
        yield row._replace(name=f"bare simulator; {fraction:.0%} of training time is its steps")
        backend.close()
