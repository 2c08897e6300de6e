import functools
import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import embrl
from embrl.config.defaults import default_config

pytestmark = [pytest.mark.pages, pytest.mark.usefixtures("quick")]

EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("method", "evaluated"),
    [
        # The example but for its method, which compiles in twice the time.
        ("none", ["0", "2,500", "5,000", "7,500"]),
        pytest.param("jsae", ["5,000", "7,500"], marks=pytest.mark.slow),
    ],
)
def test_vmap_seeds_trains_every_seed(capsys, monkeypatch, method, evaluated):
    example = load("vmap_seeds")

    def with_method(*args, **settings):
        assert settings["method"] == "jsae"
        return default_config(*args, **{**settings, "method": method})

    monkeypatch.setattr(example, "default_config", with_method)
    returns = example.main(7_500, seeds=2)
    assert returns.shape == (2,)
    assert np.isfinite(returns).all()
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed[1:]] == evaluated


@pytest.mark.parametrize(
    "changes",
    [
        # States as they are, the algorithm that is compiled soonest, and little of everything.
        {
            "method": "ra",
            "algorithm": "vpg",
            "pretrain": {"timesteps": 500, "gradient_steps": 10},
            "evaluation": {"episodes": 2, "final_episodes": 2},
        },
        pytest.param({}, marks=pytest.mark.slow),
    ],
    ids=["shortened", "as it stands"],
)
def test_small_talk_prints_a_dialogue(monkeypatch, changes):
    monkeypatch.setattr(embrl, "train", functools.partial(embrl.train, **changes))
    lines = load("small_talk").main(1_000)
    assert lines[0].startswith("user: ")
    assert lines[1].startswith("agent: ")
