"""Examples with other libraries, at a fraction of their size: `make interop` runs them."""

import sys
import warnings

import pytest
from test_examples import EXAMPLES, load

CASES = {
    "sb3_ppo": ("stable_baselines3", 2_048),
    "sb3_sac": ("stable_baselines3", 400),
    "cleanrl_ppo": ("torch", 2_048),
    "torchrl_ppo": ("torchrl", 2_000),
}


@pytest.mark.parametrize("name", CASES)
def test_an_example_runs(name, monkeypatch, capsys):
    module, steps = CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the libraries' own
        pytest.importorskip(module, reason="pip install 'embrl[interop]'")
        pytest.importorskip("torch").set_num_threads(1)
        monkeypatch.syspath_prepend(EXAMPLES)
        mean = load(name).main(steps, samples=1_500)
    assert -300 < mean < -30
    assert f"after {steps:,} steps" in capsys.readouterr().out
    sys.modules.pop("inventory", None)
