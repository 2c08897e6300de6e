"""Predicted rewards: their code, what it costs, and what is learned from it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import acted, anywhere, batch, drawing, embedded, leaves, log_softmax, network, trained

from embrl.embedding.config import EmbeddingConfig
from embrl.embedding.model import JointEmbedding
from embrl.embedding.objectives.rewards import BINS, CENTRES, MAX_REWARD, SCALE, Reward, two_hot
from embrl.embedding.pretraining import loss

KEY = jax.random.key(0)
PAIR = spaces.MultiDiscrete([3, 5])
FOUR = spaces.Discrete(4)
ZERO = BINS // 2

code = jax.jit(two_hot)
weighted = eqx.filter_jit(loss)


def reward_model(
    states: bool = True,
    config: EmbeddingConfig = EmbeddingConfig(),  # noqa: B008
) -> JointEmbedding:
    return JointEmbedding(PAIR, FOUR, config, states=states, objectives=("reward",), key=KEY)


def part(model: JointEmbedding) -> Reward:
    found = model.parts["reward"]
    assert isinstance(found, Reward)
    return found


def test_bins_lie_evenly_in_the_logarithm_of_rewards() -> None:
    assert len(CENTRES) == BINS == 65
    assert CENTRES[ZERO] == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose([CENTRES[0], CENTRES[-1]], [-MAX_REWARD, MAX_REWARD])
    np.testing.assert_allclose(CENTRES, -CENTRES[::-1], atol=1e-9)
    symlog = np.sign(CENTRES) * np.log(1 + np.abs(CENTRES) / SCALE)
    np.testing.assert_allclose(np.diff(symlog), 2 * np.log(1 + MAX_REWARD / SCALE) / 64, rtol=1e-9)


def test_rewards_on_a_centre_and_between_two() -> None:
    low, high = CENTRES[40], CENTRES[41]
    weights = np.asarray(code(jnp.array([low, 0.75 * low + 0.25 * high], jnp.float32)))
    expected = np.zeros((2, BINS))
    expected[0, 40] = 1.0
    expected[1, 40:42] = 0.75, 0.25
    np.testing.assert_allclose(weights, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("reward", "bin"), [(0.0, ZERO), (1e4, -1), (3e7, -1), (-1e4, 0), (-3e7, 0)]
)
def test_rewards_at_zero_and_beyond_the_ends(reward: float, bin: int) -> None:  # noqa: A002
    weights = code(jnp.float32(reward))
    assert weights[bin] == pytest.approx(1.0, abs=1e-6)
    assert weights.sum() == pytest.approx(1.0, abs=1e-6)


@settings(deadline=None, max_examples=200)
@given(st.floats(-1e4, 1e4, width=32))
def test_the_code_averages_to_the_reward(reward: float) -> None:
    weights = np.asarray(code(jnp.float32(reward)), np.float64)
    assert weights @ CENTRES == pytest.approx(reward, rel=1e-5, abs=1e-6)
    assert weights.sum() == pytest.approx(1.0, abs=1e-6)
    assert (weights >= 0.0).all()
    [on] = weights.nonzero()
    assert len(on) <= 2
    assert on[-1] - on[0] <= 1


def test_the_loss_is_the_cross_entropy_of_the_code() -> None:
    model = reward_model(config=EmbeddingConfig(state_dim=3, head_hidden=(8,)))
    drawn = anywhere(PAIR)
    x, e = embedded(model, drawn.observation), acted(model, drawn.action)
    log_p = log_softmax(network(part(model).network, x, e))
    expected = -(np.asarray(code(drawn.reward)) * log_p).sum(-1).mean()
    assert weighted(model, batch(drawn), {"reward": 1.0}) == pytest.approx(expected, rel=1e-5)


def test_what_is_always_predicted_costs_its_logarithm() -> None:
    model = jax.tree.map(
        lambda leaf: jnp.asarray(np.zeros(leaf.shape, leaf.dtype)),
        reward_model(config=EmbeddingConfig(state_dim=3, head_hidden=())),
    )
    drawn = anywhere(PAIR, count=2)
    value = weighted(model, batch(drawn), {"reward": 1.0})
    assert value == pytest.approx(np.log(BINS), rel=1e-5)
    p = np.full(BINS, 0.4 / (BINS - 2))
    p[[40, 41]] = 0.5, 0.1
    certain = eqx.tree_at(
        lambda m: m.parts["reward"].network.layers[-1].bias,
        model,
        jnp.asarray(np.log(p), jnp.float32),
    )
    reward = np.array([CENTRES[40], 0.75 * CENTRES[40] + 0.25 * CENTRES[41]], np.float32)
    value = weighted(certain, batch(drawn._replace(reward=jnp.asarray(reward))), {"reward": 1.0})
    expected = -(np.log(0.5) + 0.75 * np.log(0.5) + 0.25 * np.log(0.1)) / 2
    assert value == pytest.approx(expected, rel=1e-4)


def test_it_teaches_both_encoders() -> None:
    model = reward_model()
    gradient = eqx.filter_jit(eqx.filter_grad(loss))(model, batch(anywhere(PAIR)), {"reward": 1.0})
    for leaf in leaves(gradient):
        assert np.isfinite(leaf).all()
        assert np.abs(leaf).max() > 0.0


@pytest.mark.parametrize("states", [True, False], ids=["phi", "raw"])
def test_rewards_of_any_size_are_learned(states: bool) -> None:
    # The first factor and the action say what is paid; the second factor says nothing.
    drawn = anywhere(PAIR, count=200)
    pay = np.array([[0.0, 1.0, -0.5, 500.0], [-0.05, 1.0, 2.0, 3.0], [7.0, -20.0, 1.0, 0.1]])
    seen, action = np.asarray(drawn.observation), np.asarray(drawn.action)
    reward = pay[seen[:, 0], action]
    drawn = drawn._replace(reward=jnp.asarray(reward, jnp.float32))
    model, losses = trained(reward_model(states), drawing(drawn, 64), {"reward": 1.0}, 800)
    # What the code leaves open: two bins share most rewards.
    weights = np.asarray(code(drawn.reward), np.float64)
    floor = -(weights * np.log(np.maximum(weights, 1e-30))).sum(-1).mean()
    assert losses[0] > 3.5
    assert losses[-20:].mean() < floor + 0.1
    probabilities = eqx.filter_jit(
        lambda model, drawn: jax.nn.softmax(
            part(model).network(model.phi(drawn.observation), model.g(drawn.action))
        )
    )
    expected = np.asarray(probabilities(model, drawn)) @ CENTRES
    # What little probability the bin of 500 gets elsewhere counts 500 times.
    assert np.median(np.abs(expected - reward)) < 0.1
    np.testing.assert_allclose(expected, reward, rtol=0.1, atol=2.0)


def test_states_that_pay_alike_come_together() -> None:
    drawn = anywhere(PAIR, count=200)
    # The first factor pays 1, 1 and -1.
    reward = np.array([1.0, 1.0, -1.0])[np.asarray(drawn.observation)[:, 0]]
    drawn = drawn._replace(reward=jnp.asarray(reward, jnp.float32))
    model, _ = trained(reward_model(), drawing(drawn, 64), {"reward": 1.0}, 400)
    first = np.asarray(model.phi.points[0])
    alike, apart = (np.linalg.norm(first[0] - first[other]) for other in (1, 2))
    assert alike < 0.25 * apart
