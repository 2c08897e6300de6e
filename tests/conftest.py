"""Tests run as `embrl` does: seeds spread over the cores, compiled programs kept between runs. But
they are compiled in a hurry, as most of them run for less time than compiling them takes.
"""

import os

os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)

from embrl.core.runtime import prepare_jax

prepare_jax()
