import numpy as np
import pytest
from safetensors.numpy import save_file

from embrl.agents.population import Population
from embrl.cli import main

SMALL = [
    *("--lineages", "4", "--block", "2", "--checkpoints", "0", "2", "--hidden", "3"),
    *("--steps-per-update", "100", "--num-envs", "10", "--episodes", "4", "--env.step-limit", "40"),
]


def complaint(capsys, *arguments: str) -> str:
    """Runs `embrl agents`, which must fail; its one line on standard error."""
    assert main(["agents", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("embrl: ")
    assert err.count("\n") == 1, err
    return err


def test_a_population_is_collected_and_gone_on_with(capsys, tmp_path):
    out = str(tmp_path / "population")
    assert main(["agents", "collect", "cart_pole", *SMALL, "--out", out]) == 0
    said = capsys.readouterr().out
    assert "lineages 100 %, 4/4, mean return" in said  # the first of two blocks may come too soon
    assert "8 agents 4-3-2 tanh, 4 episodes each: mean survival" in said
    assert "mean return below 50 100%" in said
    assert Population(out).count == 8
    # Its settings are the folder's, without being said again.
    assert main(["agents", "collect", "--resume", "--out", out]) == 0
    assert "8 agents" in capsys.readouterr().out
    assert "add --resume" in complaint(capsys, "collect", *SMALL, "--out", out)
    assert "seed must be 0 as in the collection" in complaint(
        capsys, "collect", "--resume", "--seed", "5", "--out", out
    )
    assert "environment must be cart_pole as in the collection" in complaint(
        capsys, "collect", "acrobot", "--resume", "--out", out
    )


def test_policies_from_elsewhere_are_evaluated_and_join_a_population(capsys, tmp_path):
    # Against the pole's fall and its spin: balances; pushes left whatever happens: falls.
    good = np.array([[0, 0, 0, 0], [0.0, 0.0, 10.0, 3.0]], np.float32)
    save_file({"0.weight": good, "0.bias": np.zeros(2, np.float32)}, tmp_path / "good.safetensors")
    bias = np.array([1.0, 0.0], np.float32)
    save_file({"0.weight": 0 * good, "0.bias": bias}, tmp_path / "bad.safetensors")
    out = str(tmp_path / "population")
    for name in ("good", "bad"):
        path = str(tmp_path / f"{name}.safetensors")
        flags = ["--episodes", "5", "--env.step-limit", "60"] if name == "good" else []
        assert main(["agents", "import", path, "--out", out, *flags]) == 0
        assert f"{name}.safetensors: mean return" in capsys.readouterr().out
    table = Population(out).table()
    assert table["lineage"].tolist() == [0, 1]
    assert table["survival_mean"][0] == 60
    assert table["survival_mean"][1] < 12
    path = str(tmp_path / "good.safetensors")
    assert "mountain_car" in complaint(
        capsys, "import", path, "--out", out, "--environment", "mountain_car"
    )


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], ["COMMAND must be one of collect", "collect, import"]),
        (["colect"], ["unknown agents command 'colect': did you mean collect?"]),
        (["collect", "cart_pol"], ["unknown environment 'cart_pol': did you mean cart_pole"]),
        (["collect", "--lineages", "many"], ["--lineages must be a whole number, got many"]),
        (["collect", "--lineages", "0"], ["lineages must be 1 or more, got 0"]),
        (["collect", "--checkpoints", "5", "2"], ["from 0, got 5 2"]),
        (["collect", "--hidden", "0"], ["must be 1 or more, got 4-0-2"]),
        (["collect", "--algorithm", "sac"], ["--algorithm", "vpg"]),
        (["collect", "--speed", "3"], ["unknown flag '--speed'"]),
        (["collect", "--env.tau", "0"], ["env.tau must be", "got 0"]),
        (["collect", "slot_machine"], ["observations must be vectors (a Box), got MultiDiscrete"]),
        (["import"], ["FILE"]),
        (["import", "a.zip"], ["--out"]),
        (["import", "--out", "there"], ["FILE must be"]),
        (["import", "nothing.txt", "--out", "there"], ["nothing.txt must be a state dict"]),
        (["import", "a.zip", "--out", "x", "--environment", "pole"], ["unknown environment"]),
        (
            ["import", "a.zip", "--out", "x", "--seed", "-1"],
            ["seed must be 0 to 4294967295, got -1"],
        ),
    ],
)
def test_a_wrong_word_is_named_with_what_would_be_right(capsys, tmp_path, monkeypatch, flags, said):
    monkeypatch.chdir(tmp_path)
    message = complaint(capsys, *flags)
    for part in said:
        assert part in message
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("command", [["agents"], ["agents", "collect"], ["agents", "import"]])
def test_help_explains(capsys, command):
    assert main([*command, "--help"]) == 0
    assert "usage: embrl agents" in capsys.readouterr().out


def test_all_flags_of_an_environment_are_explained(capsys):
    assert main(["agents", "collect", "cart_pole", "--help-all"]) == 0
    said = capsys.readouterr().out
    for flag in ("--lineages", "--checkpoints", "--learning-rate", "--env.gravity"):
        assert flag in said
