import json
import shlex

import pytest

from embrl.cli import main
from embrl.cli.flags import configured
from embrl.config.settings_by_name import setting

pytestmark = pytest.mark.usefixtures("quick")

TINY = [
    *("gridworld", "--env.actuators", "3", "--env.bins", "6", "--env.step-limit", "10"),
    *("--method", "none", "--seeds", "2", "--total-timesteps", "300", "--policy.hidden", "8"),
    *("--rollout.steps-per-update", "100", "--rollout.num-envs", "10", "--evaluation.every", "100"),
    *("--evaluation.episodes", "2", "--evaluation.final-episodes", "2"),
]


def test_a_sweep_ends_in_a_table_a_picture_and_flags_to_train_with(capsys, tmp_path):
    out = tmp_path / "sweep"
    over = ["--over", "ppo.actor-lr", "1e-3", "1e-2", "--over", "policy.hidden", "8"]
    assert main(["sweep", *TINY, *over, "--by", "final", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    found = json.loads((out / "sweep.json").read_text())
    assert found["points"] == 2
    assert found["seed"] == 1
    assert found["chosen_by"] == "final return"
    flags = found["best"]["flags"]
    assert f"best: {shlex.join(flags)}" in said
    program, command, environment, *rest = found["best"]["command"]
    assert (program, command) == ("embrl", "train")
    config, _ = configured(environment, rest, "train")
    assert setting(config, "ppo.actor_lr") == found["best"]["settings"]["ppo.actor_lr"]
    assert config.policy.hidden == (8,)
    assert (config.seed, config.seeds, config.total_timesteps) == (0, 4, 300)
    assert (out / "grid.png").read_bytes().startswith(b"\x89PNG")
    before = {name: (out / name).read_bytes() for name in ("table.md", "table.csv", "sweep.json")}
    assert main(["sweep", "--resume", "--out", str(out)]) == 0
    assert before == {name: (out / name).read_bytes() for name in before}
    assert main(["train", "--resume", "--out", str(out / "runs/000")]) == 2
    assert "is a part of a sweep; continue with embrl sweep --resume" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "nothing to sweep"),
        (["--over"], "--over must be followed by a setting"),
        (["--over", "policy.std"], "--over policy.std must have at least one value"),
        (["--over", "ppo.actr-lr", "1"], "did you mean ppo.actor_lr"),
        (["--over", "policy.hidden", "8,8", "8,a"], "--over policy.hidden 8,a"),
        (["--over=ppo.gamma", "low"], "--over ppo.gamma low"),
        (["--over", "ppo.gamma", "high"], "--over ppo.gamma high"),
        (["--over", "ppo.gamma", ".9", "--over", "ppo.gamma", ".8"], "given twice"),
        (["--over", "ppo.gamma", ".9", "--seed", "0"], "seed must not be 0"),
        (
            ["--over", "policy.std", ".3", ".6"],
            "--over policy.std must be left out with method none",
        ),
        (["--over", "seeds", "2"], "seeds cannot be swept"),
        (["--over", "algorithm", "ppo", "pop"], "unknown algorithm 'pop'"),
        (["--over", "method"], "--over method must have at least one value"),
        (["--over", "algorithm", "ppo", "vpg", "--over", "ppo.gamma", ".9"], "'ppo.gamma'"),
        (["--over", "ppo.gamma", ".9", "--workers", "2"], "workers must be left out with executor"),
        (["--over", "ppo.gamma", ".8:.9"], "--over ppo.gamma: a range needs --search optuna"),
        (["--over", "ppo.gamma", ".9", "--trials", "3"], "trials must be left out without"),
        (["--grid", "papr"], "unknown grid 'papr': did you mean paper?"),
    ],
)
def test_a_wrong_sweep_is_refused_in_one_line(capsys, tmp_path, flags, said):
    assert main(["sweep", *TINY, "--out", str(tmp_path / "sweep"), *flags]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "sweep").exists()


def test_methods_and_algorithms_are_swept_each_with_its_own_defaults(capsys, tmp_path):
    out = tmp_path / "sweep"
    over = ["--over", "algorithm", "vpg", "ppo", "--over", "policy.hidden", "8", "4"]
    assert main(["sweep", *TINY, *over, "--out", str(out)]) == 0
    found = json.loads((out / "sweep.json").read_text())
    assert found["points"] == 4
    _, _, environment, *rest = found["best"]["command"]
    config, _ = configured(environment, rest, "train")
    assert config.algorithm == found["best"]["settings"]["algorithm"]
    assert config.policy.hidden == tuple(found["best"]["settings"]["policy.hidden"])
    kept = (out / "table.csv").read_bytes()
    assert main(["sweep", "--resume", "--out", str(out)]) == 0
    assert (out / "table.csv").read_bytes() == kept
