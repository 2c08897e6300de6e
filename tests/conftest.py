"""Tests run as `embrl` does: seeds spread over the cores, compiled programs kept between runs."""

from embrl.training.seeds import prepare_jax

prepare_jax()
