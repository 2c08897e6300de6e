import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_agents import SMALL, pushers

from embrl.agents.embeddings.evaluate import SUMMARY, evaluate
from embrl.agents.embeddings.fit import AgentSplit, select_agents
from embrl.agents.embeddings.prior import fit_prior
from embrl.agents.episodes import survival
from embrl.agents.generate import generate
from embrl.agents.latent_search import (
    expected_score,
    fit_critic,
    guided_samples,
    improve,
    latent_search,
)
from embrl.agents.novelty import NOVELTY_FILE, evaluate_novelty
from embrl.core.errors import EmbrlError
from embrl.storage import files


def test_generated_agents_are_a_population(fitted, tmp_path):
    embedding, _ = fitted
    made = generate(embedding, 5, tmp_path / "new", spread=0.5, seed=3, episodes=2)
    assert made.count == 5
    assert made.architecture == SMALL
    table = made.table()
    assert set(table["lineage"]) == {-1}
    assert set(table["seed"]) == {3}
    lengths = survival(
        embedding.env.build(), SMALL, made.weights(), jax.random.split(jax.random.key(3))[1], 2
    ).lengths
    np.testing.assert_allclose(table["survival_mean"], np.asarray(lengths).mean(1))
    again = generate(embedding, 5, tmp_path / "again", spread=0.5, seed=3, episodes=2)
    np.testing.assert_array_equal(made.weights(), again.weights())
    with pytest.raises(EmbrlError, match="already holds a population"):
        generate(embedding, 5, tmp_path / "new")
    with pytest.raises(EmbrlError, match="n must be 1 or more, got 0"):
        generate(embedding, 0, tmp_path / "c")
    with pytest.raises(EmbrlError, match="spread must be above 0, got nan"):
        generate(embedding, 1, tmp_path / "c", spread=float("nan"))


def test_a_search_goes_on_where_all_members_of_a_critic_agree():
    z = np.random.default_rng(0).normal(size=(6, 2))
    critic = fit_critic(z, z[:, 0], jax.random.key(0), steps=1)
    alike = jax.tree.map(lambda leaf: jnp.repeat(leaf[:1], len(leaf), 0), critic.members)
    critic = dataclasses.replace(critic, members=alike)
    path, expected = latent_search(critic, jnp.asarray(z), steps=2)
    assert np.isfinite(path).all()
    assert expected[-1].mean() > expected[0].mean()


def test_a_summary_says_what_is_kept(fitted, agents, tmp_path):
    embedding, _ = fitted
    found = evaluate(embedding, agents, tmp_path, episodes=2, most=6)
    assert files.read_json(tmp_path / SUMMARY) == found
    assert found["bytes"]["weights"] == 4 * SMALL.size
    assert found["training_agents"] + found["held_out_agents"] == agents.count
    assert (
        sum(g["training"]["agents"] for g in found["groups"].values() if "training" in g)
        == (found["training_agents"])
    )
    for group in found["groups"].values():
        for side in ("training", "held_out"):
            if side in group:
                one = group[side]
                ratio = one["reconstructed"]["mean"] / one["original"]["mean"]
                assert one["kept"]["mean"] == pytest.approx(ratio)
                assert 0 <= one["agreement"]["mean"] <= 1


@pytest.mark.slow
def test_the_plane_has_a_point_for_each_setting(fitted, agents, tmp_path):
    embedding, _ = fitted
    found = evaluate_novelty(
        embedding, agents, tmp_path, agents=4, episodes=2, spreads=(1.0,), group="2"
    )
    assert files.read_json(tmp_path / NOVELTY_FILE) == found
    named = [point["generator"] for point in found["points"]]
    assert {"embedding", "noise", "average", "held_out", "reconstruction"} == set(named) - {
        "guided"
    }
    small = next(p for p in found["points"] if p["setting"] == 0.05)
    large = next(p for p in found["points"] if p["setting"] == 2.0)
    assert small["weights"] < large["weights"]


@pytest.mark.slow
def test_one_training_agent_has_no_averages_of_pairs(fitted, agents, tmp_path, monkeypatch):
    embedding, _ = fitted
    rows = select_agents(agents, embedding.config)
    alone = AgentSplit(rows.train[:1], rows.held_out)
    monkeypatch.setattr("embrl.agents.novelty.select_agents", lambda *_: alone)
    found = evaluate_novelty(embedding, agents, tmp_path, agents=2, episodes=1, spreads=(1.0,))
    assert "average" not in {point["generator"] for point in found["points"]}


@functools.cache
def slope() -> Any:
    """Points whose value rises along the first axis, those values, and a critic of them."""
    draw = np.random.default_rng(0)
    z = draw.standard_normal((600, 2)).astype(np.float32) * np.array([1.0, 2.0], np.float32)
    value = 100 + 10 * z[:, 0]
    return z, value, fit_critic(z, value, jax.random.key(0), steps=300)


def test_a_critic_knows_the_way_up_and_a_path_stays_near():
    z, value, critic = slope()
    expected, _ = critic(jnp.asarray(z))
    assert np.corrcoef(expected, value)[0, 1] > 0.99
    path, score = latent_search(critic, jnp.asarray(z[:20]), steps=30, radius=1.0)
    np.testing.assert_array_equal(path[0], z[:20])
    score = np.asarray(score)
    assert (score[-1] > score[0] + 5).all()
    assert (np.asarray(path[-1])[:, 0] > z[:20, 0]).all()
    away = (np.asarray(path) - z[:20]) / z.std(0)
    assert np.sqrt((away**2).mean(-1)).max() <= 1.0 + 1e-4


def test_guided_draws_are_those_that_the_critic_likes():
    z, _, critic = slope()
    prior = fit_prior(z)
    found = guided_samples(prior, critic, jax.random.key(1), 200, least=105.0)
    assert found.shape == (200, 2)
    assert (expected_score(critic, found) >= 105).all()
    assert (found[:, 0] > 0.2).all()
    assert len(np.unique(found, axis=0)) == 200
    with pytest.raises(EmbrlError, match="choose a smaller spread or score"):
        guided_samples(prior, critic, jax.random.key(1), 10, least=1000.0)


def test_improved_agents_are_decoded_from_their_paths(fitted):
    embedding, _ = fitted
    w = pushers(4)
    critic = fit_critic(embedding.encode(w), np.arange(8.0), jax.random.key(0), steps=20)
    found = improve(embedding, critic, w)
    assert found.w.shape == w.shape
    np.testing.assert_array_equal(found.path[0], embedding.encode(w))
