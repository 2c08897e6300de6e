"""Settings of JAX for the tests.

Tests run as `embrl` does, with seeds spread over the cores and compiled programs kept between runs,
but with little optimisation: most of them run for less time than compiling takes.
"""

import os

os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false",  # the former ones compile in half the time
)

from embrl.core.runtime import prepare_jax

prepare_jax()
