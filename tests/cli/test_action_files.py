"""Files of action features and of excluded actions, with the mistakes that users make."""

import gymnasium
import numpy as np
import pytest

from embrl.cli import main
from embrl.envs.gym import HostEnvironment

pytestmark = pytest.mark.usefixtures("quick")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ["--embedding.action-features", "x.npy"],
            "embedding.action_features x.npy: x.npy does not exist",
        ),
        (["--embedding.action-features", "few.npy"], "512 actions, got 3 rows"),
        (
            ["--embedding.action-features", "pickle.npy"],
            "pickle.npy is not a complete .npy file of numbers",
        ),
        (
            ["--rollout.excluded-actions", "few.npy"],
            "rollout.excluded_actions must be a list of integers from 0 to 511, got float64[3, 2]",
        ),
        (
            ["--rollout.excluded-actions", "x.npy", "--method", "none"],
            "rollout.excluded_actions needs embedded actions, and method none",
        ),
    ],
)
def test_one_line(capsys, tmp_path, monkeypatch, flags, said):
    monkeypatch.chdir(tmp_path)
    np.save("few.npy", np.zeros((3, 2)))
    np.save("pickle.npy", np.array([{}], object), allow_pickle=True)
    assert main(["train", "gridworld", *flags, "--out", "run"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err
    assert not (tmp_path / "run").exists()


class Known(gymnasium.Env):
    observation_space = gymnasium.spaces.Discrete(2)
    action_space = gymnasium.spaces.Discrete(3)
    action_features = ((0.0,), (1.0,), (5.0,))


class Asked(Known):
    def action_features(self):  # type: ignore[override]
        return [[1.0]] * 3


def test_an_environment_of_gymnasiums_may_know_its_actions():
    assert HostEnvironment.of(Known).action_features() == Known.action_features
    assert HostEnvironment.of(Asked).action_features() == [[1.0]] * 3
    assert HostEnvironment.of(lambda: gymnasium.make("CartPole-v1")).action_features() is None
