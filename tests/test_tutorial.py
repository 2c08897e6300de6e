"""The Python of docs/tutorials/inventory.md, in order, at a fraction of its size."""

from pathlib import Path

import numpy as np
import pytest
from test_examples import load

ROOT = Path(__file__).parents[1]
SIZES = "SEEDS, STEPS, RANDOM_STEPS, EPISODES = 1, 3_072, 1_000, 2"


def test_the_tutorial_begins_with_the_example():
    example = (ROOT / "examples/inventory.py").read_text().split('"""', 2)[2].strip()
    assert load("inventory_study").blocks()[0].strip() == example


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Stable-Baselines3 about its own wrappers
def test_the_tutorial_runs(tmp_path, capsys):
    for module in ("stable_baselines3", "matplotlib"):
        pytest.importorskip(module, reason="pip install 'embrl[interop,plot]'")
    names = load("inventory_study").main(tmp_path, SIZES)
    assert (tmp_path / "curves.png").stat().st_size > 5_000
    table = (tmp_path / "table.md").read_text()
    assert table.count("\n") == 6
    assert "of 161,051 orders were tried" in capsys.readouterr().out
    assert names["best"] > -110  # near -93; random orders come to -250
    assert [len(seeds) for seeds in names["curves"].values()] == [1, 1, 1]
    assert all(np.isfinite(returns).all() for ((_, returns),) in names["curves"].values())
