"""One small embedding, and a run beside it, for all tests that only look at them."""

import pytest
from small_fits import SMALL, WORLD
from unmeasured import measured

import embrl


@pytest.fixture(scope="session")
def gridworld_embedding():
    """Of a gridworld with 100 states and 8 actions."""
    with measured():
        return embrl.fit("gridworld", timesteps=600, settings="tuned", **SMALL, **WORLD)


@pytest.fixture(scope="session")
def tiny_run(trained):
    """The folder of a run of two seeds in the same world."""
    return trained.path
