import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_agents import SMALL, pushers

from embrl.agents import novelty as nv
from embrl.agents.canonical import canonical, permuted
from embrl.agents.embeddings.prior import fit_prior
from embrl.agents.episodes import visited_states
from embrl.agents.similarity import (
    MIN_PROBABILITY,
    agreement,
    divergence,
    votes,
    votes_from_probabilities,
)
from embrl.core.statistics import bootstrap_mean, bootstrap_ratio
from embrl.envs.cart_pole import CartPoleConfig

PROBES = np.random.default_rng(9).standard_normal((50, 4)).astype(np.float32)


def test_a_training_agent_is_not_new_however_its_units_are_numbered():
    w = canonical(SMALL, pushers(10))
    copies = canonical(SMALL, permuted(SMALL, w[::-1], np.random.default_rng(0)))
    found = nv.novelty(SMALL, copies, w, PROBES)
    np.testing.assert_array_equal(found.weights, 0)
    np.testing.assert_allclose(found.decisions, 0, atol=1e-6)


def test_novelty_as_counted_by_hand(monkeypatch):
    monkeypatch.setattr(nv, "CHUNK_AGENTS", 3)
    training, new = pushers(6, seed=1), pushers(4, seed=2)
    found = nv.novelty(SMALL, new, training, PROBES)
    unit = np.sqrt((training**2).sum(1).mean())
    chosen = [
        np.stack([np.asarray(SMALL.logits(jnp.asarray(one), jnp.asarray(PROBES))) for one in w])
        for w in (new, training)
    ]
    for at, w in enumerate(new):
        far = np.linalg.norm(training - w, axis=1).min() / unit
        apart = (chosen[0][at].argmax(-1) != chosen[1].argmax(-1)).mean(1).min()
        assert found.weights[at] == pytest.approx(far, rel=1e-5)
        assert found.decisions[at] == pytest.approx(apart, abs=1e-6)


def test_trivial_generators():
    w = pushers(6)
    np.testing.assert_allclose(
        np.sort(np.unique(nv.add_noise(w, 50, 0.0).round(5), axis=0), axis=0),
        np.sort(np.unique(w.round(5), axis=0), axis=0),
        atol=1e-5,
    )
    far = nv.add_noise(w, 4000, 2.0)
    np.testing.assert_allclose(far.std(0), np.sqrt(5) * w.std(0), rtol=0.1)
    pairs = nv.average_pairs(w[:2], 10)
    np.testing.assert_allclose(pairs, np.tile((w[0] + w[1]) / 2, (10, 1)), rtol=1e-6)


@pytest.mark.parametrize(
    ("novelty", "expected"),
    # Others: quality 500 at novelty 0, 400 at 1, 100 at 2.
    [(0.0, -10), (0.5, 490 - 450), (1.0, 90), (1.5, 490 - 250), (3.0, 490)],
)
def test_how_far_above_the_frontier(novelty, expected):
    others = [(2.0, 100.0), (0.0, 500.0), (1.0, 400.0)]
    assert nv.frontier_margin(novelty, 490.0, others) == pytest.approx(expected)


def test_a_better_and_newer_point_dominates():
    assert nv.frontier_margin(0.1, 450.0, [(0.05, 100.0), (0.5, 480.0)]) == pytest.approx(-30)
    assert nv.frontier_margin(0.6, -80.0, [(0.5, -480.0)], floor=-500.0) == pytest.approx(420)


def test_votes_know_no_sharpness():
    logits = jnp.array([[1.0, -1.0], [2.0, 4.0]])
    # Centred: 1, -1 and -1, 1: their root mean square is 1.
    expected = [[1.0, -1.0], [-1.0, 1.0]]
    for factor in (0.01, 1.0, 3.0):
        np.testing.assert_allclose(votes(factor * logits), expected, rtol=1e-5)
        answers = jax.nn.softmax(factor * logits)
        np.testing.assert_allclose(votes_from_probabilities(answers), expected, rtol=1e-4)
    sure = jnp.array([[1.0, 0.0], [0.5, 0.5]])
    assert np.isfinite(votes_from_probabilities(sure)).all()
    assert MIN_PROBABILITY > 0
    np.testing.assert_array_equal(votes(jnp.zeros((2, 2))), 0)


def test_divergence_against_a_sum_by_hand():
    vote, logits = jnp.array([0.5, -0.5]), jnp.array([0.2, -0.3])
    p = np.exp([1.5, -1.5]) / np.exp([1.5, -1.5]).sum()
    q = np.exp(logits) / np.exp(logits).sum()
    assert divergence(vote, logits) == pytest.approx((p * np.log(p / q)).sum(), rel=1e-5)
    assert divergence(vote, 3 * vote) == pytest.approx(0, abs=1e-6)


def test_agreement_counts_states():
    one = jnp.array([[[1.0, 0.0], [0.0, 1.0], [3.0, 2.0], [0.0, 9.0]]])
    other = jnp.array([[[5.0, 0.0], [0.0, 1.0], [1.0, 2.0], [0.0, 1.0]]])
    assert float(agreement(one, other)[0]) == 0.75


def test_visited_states_are_those_of_an_episode():
    """With all steps kept they are a trajectory, and a new one where it ends."""
    config = CartPoleConfig()
    env, w = config.build(), pushers(2)
    states = np.asarray(visited_states(env, SMALL, w, jax.random.key(0), keep=64, steps=64))
    assert states.shape == (4, 64, 4)
    for mine, agent in zip(states, w, strict=True):
        for now, after in itertools.pairwise(mine):
            action = np.asarray(SMALL.logits(agent, now[None]))[0].argmax()
            state, _ = env.reset(jax.random.key(0))
            _, seen = env.step(jax.random.key(0), state._replace(observation=now), action)
            if seen.terminated:
                assert np.abs(after).max() <= config.spread
            else:
                np.testing.assert_allclose(after, seen.observation, atol=1e-5)


def test_a_prior_finds_the_gaussians_it_is_shown():
    draw = np.random.default_rng(0)
    z = draw.standard_normal((2000, 2)) @ np.array([[1.0, 0.5], [0.0, 0.3]])
    one = fit_prior(z)
    assert len(one.shares) == 1
    np.testing.assert_allclose(one.mean, z.mean(0), atol=1e-5)
    covariance = np.asarray(one.roots[0]) @ np.asarray(one.roots[0]).T
    np.testing.assert_allclose(covariance, np.cov(z.T), rtol=0.02, atol=0.01)
    two = fit_prior(np.concatenate([z, z + 20]))
    assert len(two.shares) == 2
    assert sorted(np.asarray(two.means)[:, 0].round()) == [0, 20]
    from scipy.stats import multivariate_normal

    expected = multivariate_normal.logpdf(z[:5], np.asarray(one.means[0]), covariance)  # type: ignore[arg-type]
    np.testing.assert_allclose(one.log_density(jnp.asarray(z[:5])), expected, rtol=1e-4)
    key = jax.random.key(0)
    near, far = (np.asarray(two.sample(key, 500, spread)) for spread in (1.0, 2.0))
    centre = np.asarray(two.mean)
    np.testing.assert_allclose(far - centre, 2 * (near - centre), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(near.std(0), np.concatenate([z, z + 20]).std(0), rtol=0.1)


def test_one_agent_alone_has_a_prior():
    assert np.isfinite(np.asarray(fit_prior(np.ones((1, 3))).roots)).all()


def test_a_ratio_resamples_clusters():
    above, below = np.array([1.0, 3.0, 5.0, 7.0]), np.array([1.0, 1.0, 2.0, 2.0])
    alone = bootstrap_ratio(above, below, np.arange(4))
    assert alone.mean == pytest.approx(16 / 6)
    together = bootstrap_ratio(above, below, np.array([0, 0, 1, 1]))
    # Of two clusters there are three resamples: both, or one of them twice.
    assert (together.low, together.high) == (pytest.approx(2.0), pytest.approx(3.0))
    assert np.isnan(bootstrap_ratio(above, below, np.zeros(4)).low)
    ones = np.ones(4)
    mean = bootstrap_mean(above)
    mine = bootstrap_ratio(above, ones, np.arange(4), resamples=9_999)
    assert mine.low == pytest.approx(mean.low, abs=0.3)
    assert mine.high == pytest.approx(mean.high, abs=0.3)
