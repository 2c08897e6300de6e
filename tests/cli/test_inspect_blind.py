"""A planted case, from training to what the command says: phi learns one coordinate of two."""

import pytest

import embrl
from embrl.cli import main


def only_x(model, batch):
    """Cells are numbered row by row: the remainder is x, and nothing asks for y."""
    x = (batch.observation % 10) / 9.0
    return ((model.phi(batch.observation)[..., 0] - x) ** 2).mean()


@pytest.mark.slow
def test_inspect_names_the_feature_that_phi_is_blind_to(tmp_path, capsys):
    run = embrl.train(
        "gridworld",
        actuators=4,
        bins=10,
        out=tmp_path / "run",
        seeds=2,
        total_timesteps=6_000,
        objectives={"only_x": 1.0},
        custom_objectives={"only_x": only_x},
        pretrain={"timesteps": 3_000, "gradient_steps": 200},
        evaluation={"every": 1_500, "final_episodes": 10},
    )
    assert main(["inspect", str(run.folder.path)]) == 0
    said = capsys.readouterr().out
    lost = [line for line in said.splitlines() if "lost" in line or "lack" in line]
    assert any(" y" in line for line in lost), said
    assert not any(" x" in line.split(":")[-1] for line in lost), said
