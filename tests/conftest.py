"""Settings of JAX for the tests.

Tests run as `embrl` does, with seeds spread over the cores and compiled programs kept between runs,
but with little optimisation: most of them run for less time than compiling takes.
"""

import gc
import os
from collections.abc import Iterator
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

from embrl.core.runtime import prepare_jax

prepare_jax()

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
