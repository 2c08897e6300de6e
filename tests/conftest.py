"""Settings of JAX for the tests, and one tiny run for all that need any.

Tests run as `embrl` does, with seeds spread over the cores and compiled programs kept between runs,
but with little optimisation: most of them run for less time than compiling takes.
"""

import dataclasses
import gc
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false "  # the former ones compile in half the time
    "--xla_cpu_parallel_codegen_split_count=1",  # each part costs time, and the cores have work
)
# A cache of their own: warnings are errors here, and JAX warns where another process was killed
# while it wrote to the cache, or keeps it locked.
os.environ["XDG_CACHE_HOME"] = str(Path(__file__).parent.parent / ".pytest_cache" / "home")

from unmeasured import measured, unmeasured

from embrl.config.defaults import default_config
from embrl.config.run import RunConfig
from embrl.core.runtime import prepare_jax
from embrl.envs.gridworld import GridworldConfig
from embrl.storage.run_folder import RunFolder
from embrl.training.loop import train

PROGRAMS = 300
"""Programs that are lowered in one context of MLIR, which keeps their constants."""


def reuse_lowering_contexts() -> None:
    """Lower many programs in one context of MLIR; a new one takes a quarter of an operation's time.

    Where JAX makes them in another way, nothing changes.
    """
    from jax._src.interpreters import mlir

    make = getattr(mlir, "make_ir_context", None)
    if make is None:
        return
    kept = threading.local()  # a context is for one thread

    def make_or_reuse():
        if getattr(kept, "left", 0) == 0:
            kept.context, kept.left = make(), PROGRAMS
        kept.left -= 1
        return kept.context

    mlir.make_ir_context = make_or_reuse


prepare_jax()
reuse_lowering_contexts()
# Tracing makes many objects that live long: looking through them all took 6 % of the time, in a
# process that was still small.
gc.set_threshold(100_000, 50, 50)

MAPS = 40_000
"""Memory maps of a process from which compiled programs are dropped; Linux allows 65,530, and XLA
aborts beyond them."""


@pytest.fixture(scope="module", autouse=True)
def few_memory_maps() -> Iterator[None]:
    """Drop compiled programs after a module, once there are very many: each takes some maps."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_text().count("\n") > MAPS:
        import jax

        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope="session")
def tiny() -> Callable[..., RunConfig]:
    """Makes the configuration of a tiny gridworld run."""

    def make(method: str = "jsae", **changes) -> RunConfig:
        env = GridworldConfig(actuators=3, bins=10, step_limit=20)
        config = default_config("gridworld", env, method, "vpg", "tuned", total_timesteps=1_000_000)
        config = dataclasses.replace(
            config,
            seeds=2,
            total_timesteps=1_200 if method == "jsae" else 600,
            pretrain=dataclasses.replace(
                config.pretrain, timesteps=600, gradient_steps=100, batch_size=64
            ),
            rollout=dataclasses.replace(
                config.rollout, steps_per_update=100, num_envs=10, buffer_size=2_000
            ),
            evaluation=dataclasses.replace(
                config.evaluation, every=200, episodes=5, final_episodes=10
            ),
        )
        return dataclasses.replace(config, **changes)

    return make


@pytest.fixture(scope="session")
def trained(tiny, tmp_path_factory) -> RunFolder:
    """The tiny run to its end. Copy it before changing anything."""
    with measured():
        return train(tiny(), tmp_path_factory.mktemp("trained") / "run")


@pytest.fixture(scope="module")
def quick() -> Iterator[None]:
    """Trains without measures of embeddings and references, for modules that do not look at them.

    To be used by the whole module: `pytestmark = pytest.mark.usefixtures("quick")`.
    """
    with unmeasured():
        yield
