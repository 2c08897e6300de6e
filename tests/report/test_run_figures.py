"""What `embrl plot` draws where an environment has no picture."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np

from embrl.config.defaults import default_config
from embrl.config.run import TransferConfig
from embrl.embedding.model import JointEmbedding
from embrl.envs.continuous_gridworld import ContinuousGridworldConfig
from embrl.report import embedding_figure, run_figures
from embrl.storage.run_folder import RunFolder


def test_of_a_box_without_a_picture_states_of_pretraining_are_drawn(tmp_path, monkeypatch) -> None:
    env = ContinuousGridworldConfig(actuators=3)
    config = default_config("continuous_gridworld", env, "jsae", "vpg", "tuned")
    config = dataclasses.replace(
        config, pretrain=dataclasses.replace(config.pretrain, timesteps=4000)
    )
    world = env.build()
    spaces = world.observation_space, world.action_space
    embedding = JointEmbedding(*spaces, config.embedding, key=jax.random.key(0))
    drawn = {}

    def restored(*_) -> SimpleNamespace:
        return SimpleNamespace(model=embedding)

    def plot(path: Path, **arguments) -> None:
        drawn.update(arguments)
        embedding_figure.plot_embedding(path, **arguments)

    monkeypatch.setattr(run_figures, "embedding_of_run", restored)
    monkeypatch.setattr(run_figures, "plot_embedding", plot)
    for module in (run_figures, embedding_figure):
        monkeypatch.setattr(module, "picture_of", lambda environment: None)
    path = tmp_path / "embedding.png"
    run_figures.draw_embedding(RunFolder(tmp_path), config, 0, path)
    assert path.stat().st_size > 10_000
    assert 1000 < len(drawn["phi"]) <= run_figures.MAX_DRAWN
    assert np.unique(drawn["phi"], axis=0).shape[0] > 300  # of few actuators many meet
    # An embedding from another run had no pre-training: as if it had had it.
    before = drawn["phi"]
    config = dataclasses.replace(config, transfer=TransferConfig(run="runs/other"))
    run_figures.draw_embedding(RunFolder(tmp_path), config, 0, path)
    np.testing.assert_array_equal(drawn["phi"], before)
