"""Memory and time of a chatbot with 20,000 replies: training, and a decision afterwards.

    python -m benchmarks.many_replies [--replies 20000] [--timesteps 24000] [--decisions 2000]

It trains one seed with default settings and sentence vectors as features of actions, then decides
one message at a time, as a service does: with the policy in JAX, and as exported to NumPy.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import embrl
from benchmarks.many_actions import peak
from embrl.core.runtime import machine


def median_ms(decide: Callable[[Any], object], observations: np.ndarray) -> float:
    """Return the median time of a decision, after a warm-up."""
    decide(observations[0])
    times = []
    for seen in observations:
        start = time.perf_counter()
        decide(seen)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def main() -> None:
    """Train, decide, and print a line for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replies", type=int, default=20_000)
    parser.add_argument("--timesteps", type=int, default=24_000)
    parser.add_argument("--decisions", type=int, default=2000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        run = embrl.train(
            "chatbot",
            out=Path(folder) / "run",
            max_replies=given.replies,
            seeds=1,
            total_timesteps=given.timesteps,
            embedding={"action_features": "env"},
        )
        print(f"replies: {len(run.action_names or ()):,}; machine: {machine()}")
        print(f"training, {given.timesteps:,} timesteps: {time.perf_counter() - start:.0f} s")
        print(f"peak memory after training: {peak() / 1024:.2f} GB", flush=True)
        rng = np.random.default_rng(0)
        policy = run.policy()
        size = policy.observation_space.shape or ()
        seen = rng.normal(size=(given.decisions, *size)).astype(np.float32)
        print(f"a decision, policy in JAX: {median_ms(policy.predict, seen):.3f} ms")
        path = embrl.export(Path(folder) / "run", out=Path(folder) / "policy", onnx=False)
        exported = embrl.load_policy(path)
        print(f"a decision, exported to NumPy: {median_ms(exported.act, seen):.3f} ms")
        print(f"peak memory: {peak() / 1024:.2f} GB")


if __name__ == "__main__":
    main()
