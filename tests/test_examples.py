import importlib.util
from pathlib import Path
from types import ModuleType

EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_train_and_act_trains_loads_and_acts(tmp_path, capsys):
    load("train_and_act").main(tmp_path / "run", 45_000)
    printed = capsys.readouterr().out
    assert "after 45,000 samples" in printed
    assert "step  1: action" in printed


def test_embed_your_own_finds_which_actions_are_alike():
    assert load("embed_your_own").main() >= 0.9
