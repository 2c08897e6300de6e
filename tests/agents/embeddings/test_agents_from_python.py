"""The functions of `embrl` for agents: what the commands call, opened or by folder."""

import dataclasses

import numpy as np
import pytest

import embrl
from embrl.agents.generate import generate
from embrl.agents.walks import COEFFICIENTS


def test_a_loaded_embedding_is_the_fitted_one(agents, fitted):
    embedding, out = fitted
    w = agents.weights()
    np.testing.assert_array_equal(embrl.load_agents(out).encode(w), embedding.encode(w))
    settings = {**dataclasses.asdict(embedding.config)}
    # It is finished: nothing is fitted again.
    again = embrl.fit_agents(
        agents.path, "fingerprint", out=out, resume=True, measure=False, **settings
    )
    np.testing.assert_array_equal(again.encode(w), embedding.encode(w))


def test_generated_agents_are_the_commands(fitted, tmp_path):
    embedding, out = fitted
    told = []
    made = embrl.generate_agents(
        out,
        3,
        out=tmp_path / "a",
        episodes=2,
        seed=5,
        on_progress=lambda now: told.append((now.done, now.total)),
    )
    expected = generate(embedding, 3, tmp_path / "b", episodes=2, seed=5)
    np.testing.assert_array_equal(made.weights(), expected.weights())
    assert told == [(3, 3)]


def test_a_walk_is_written_only_if_asked(agents, fitted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    walk = embrl.walk_agents(agents, fitted[0], 2, 7, episodes=2)
    assert walk.record["spaces"]["latent"]["mean"] == pytest.approx(
        walk.returns["latent"].mean(1).tolist()
    )
    assert walk.latent.shape == (len(COEFFICIENTS), agents.architecture.size)
    assert not list(tmp_path.iterdir())


def test_wrong_names_and_places_are_one_line(agents, fitted, tmp_path):
    with pytest.raises(embrl.EmbrlError, match="unknown setting of a fit 'step': did you mean"):
        embrl.fit_agents(agents, out=tmp_path / "x", step=3)
    with pytest.raises(embrl.EmbrlError, match="unknown setting of a report 'pair': did you mean"):
        embrl.report_agents(agents, {"a": fitted[0]}, out=tmp_path / "x", pair=3)
    with pytest.raises(embrl.EmbrlError, match="embeddings must be one or more"):
        embrl.report_agents(agents, {}, out=tmp_path / "x")
    with pytest.raises(embrl.EmbrlError, match="not a finished embedding"):
        embrl.load_agents(tmp_path)
    with pytest.raises(embrl.EmbrlError, match=r"agents must be integers .*float64"):
        embrl.improve_agents(agents, fitted[0], [0.5], out=tmp_path / "x")  # type: ignore[list-item]
    assert not (tmp_path / "x").exists()
