"""Wrapped environments under the checkers of Gymnasium and of Stable-Baselines3."""

import importlib.util
import sys
import warnings
from pathlib import Path

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env
from untrained import embedding_of

from embrl.interop.wrappers import wrap

EXAMPLES = Path(__file__).parents[2] / "examples"


def inventory():
    if str(EXAMPLES) not in sys.path:
        sys.path.insert(0, str(EXAMPLES))
    from inventory import Inventory  # type: ignore[import-not-found]

    return Inventory()


TAXI = "Taxi-v3" if "Taxi-v3" in gymnasium.registry else "Taxi-v4"  # from Gymnasium 1.4 on
NAMES = ("CartPole-v1", "FrozenLake-v1", TAXI, "Pendulum-v1", "Ant-v5", "inventory")


@pytest.fixture(params=NAMES)
def wrapped(request):
    if request.param == "inventory":
        env = inventory()
    else:
        if request.param == "Ant-v5":
            pytest.importorskip("mujoco", reason="pip install 'embrl[gymnasium]'")
        env = gymnasium.make(request.param)
    env.observation_space.seed(0)
    yield wrap(env, embedding_of(env))
    env.close()


def test_gymnasiums_checker_passes(wrapped):
    with warnings.catch_warnings():
        # It would look at what is inside of a wrapper.
        warnings.filterwarnings("ignore", ".*different from the unwrapped version")
        check_env(wrapped, skip_render_check=True)


def test_stable_baselines_checker_passes(wrapped):
    name = "stable_baselines3"
    if importlib.util.find_spec(name) is None:
        pytest.skip("pip install 'embrl[interop]'")
    from stable_baselines3.common.env_checker import (  # type: ignore[import-not-found]
        check_env as check,
    )

    check(wrapped, warn=True)
