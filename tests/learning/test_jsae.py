import pytest

import embrl


@pytest.mark.slow  # tests/test_readme.py learns the same
def test_jsae_learns_the_way_among_512_actions_within_45_000_timesteps(tmp_path):
    run = embrl.train(
        "gridworld", actuators=9, seeds=2, total_timesteps=45_000, out=tmp_path / "run"
    )
    assert run.summary["random_return"] < -2.5
    # .5 is usual, and one seed alone can lag; without embeddings it is about -2.4.
    assert run.summary["final_return_mean"] > 0.0
    for report in run.folder.quality():
        assert report["action_distance_correlation"] > 0.6
        assert report["next_state_accuracy"] > 0.2
