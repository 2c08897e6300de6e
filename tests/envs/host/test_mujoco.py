"""MuJoCo's environments, where it is installed."""

import numpy as np
import pytest
from counting import configured

pytest.importorskip("mujoco", reason="needs mujoco: pip install 'embrl[gymnasium]'")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo leaves its log where it stands


def test_a_cheetah_runs():
    config = configured("HalfCheetah-v5", max_episode_steps=4, kwargs={"frame_skip": 2})
    assert config.continuous_actions
    environment = config.build()
    assert environment.observation_space.shape == (17,)
    assert environment.action_space.shape == (6,)
    with environment.open(2, 0) as parallel:
        for t in range(1, 9):
            step = parallel.step(np.ones((2, 6), np.float32))
            assert np.isfinite(step.reward).all()
            assert step.truncated.tolist() == [t % 4 == 0] * 2
            assert np.array_equal(step.observation, parallel.observations) == (t % 4 != 0)


def test_no_notices_for_every_environment(tmp_path, capfd):
    configured("HalfCheetah-v5", max_episode_steps=7).build().open(3, 0).close()
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().err == ""


def test_an_ant_ends_where_it_is_told_to():
    config = configured("Ant-v5", kwargs={"healthy_z_range": (0.2, 0.3)})
    with config.build().open(1, 0) as parallel:
        assert parallel.observations.shape == (1, 105)
        assert parallel.step(np.zeros((1, 8), np.float32)).terminated.tolist() == [True]
