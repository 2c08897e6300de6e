import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.usefixtures("quick")
def test_vmap_seeds_trains_every_seed(capsys):
    returns = load("vmap_seeds").main(7_500, seeds=2)
    assert returns.shape == (2,)
    assert np.isfinite(returns).all()
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed[1:]] == ["5,000", "7,500"]


@pytest.mark.usefixtures("quick")
def test_small_talk_prints_a_dialogue():
    lines = load("small_talk").main(1_000)
    assert lines[0].startswith("user: ")
    assert lines[1].startswith("agent: ")
