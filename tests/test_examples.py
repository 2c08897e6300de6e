import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np

EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_train_and_act_trains_loads_and_acts(tmp_path, capsys):
    load("train_and_act").main(tmp_path / "run", 5_000)
    printed = capsys.readouterr().out
    assert "after 5,000 timesteps" in printed
    assert "step  1: action" in printed


def test_vmap_seeds_trains_every_seed(capsys):
    returns = load("vmap_seeds").main(7_500, seeds=4)
    assert returns.shape == (4,)
    assert np.isfinite(returns).all()
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed[1:]] == ["5,000", "7,500"]


def test_embed_your_own_finds_which_actions_are_alike():
    assert load("embed_your_own").main() >= 0.9


def test_agents_are_collected_embedded_and_walked_between(tmp_path, capsys):
    # The plain autoencoder compiles in a fraction of the time.
    small = {"kind": "vae", "batch": 16, "working": 16, "chunk": 10, "keep": 16, "states": 16}
    walked = load("agents").main(tmp_path, 4, 10, **small)
    assert walked.shape == (13,)
    assert ((walked >= 1) & (walked <= 500)).all()
    printed = capsys.readouterr().out
    assert "12 agents 4-16-16-2 tanh" in printed
    assert " 0.50 " in printed
