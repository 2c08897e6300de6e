"""Rewards read off the next state."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from worlds import anywhere, batch, drawing, leaves, log_softmax, steps, trained

from embrl.embedding.config import EmbeddingConfig
from embrl.embedding.model import JointEmbedding
from embrl.embedding.objectives.rewards import Outcome
from embrl.embedding.pretraining import loss

KEY = jax.random.key(0)
PAIR = spaces.MultiDiscrete([3, 5])
BOX = spaces.Box(np.array([-2.0, 10.0], np.float32), np.array([2.0, 20.0], np.float32))
FOUR = spaces.Discrete(4)
WORTH = np.array([0.0, 1.0, 3.0, 0.5, -2.0, 4.0, 0.0, 9.0])
"""Of the 3 values of the first factor of `PAIR`, then of the 5 of the second."""


def outcome_model(space: spaces.Space, states: bool = True) -> JointEmbedding:
    return JointEmbedding(
        space, FOUR, EmbeddingConfig(state_dim=3), states=states, objectives=("outcome",), key=KEY
    )


def part(model: JointEmbedding) -> Outcome:
    found = model.parts["outcome"]
    assert isinstance(found, Outcome)
    return found


def knowing(scale: float = 1.0) -> JointEmbedding:
    """A model that knows `WORTH`, in units of `scale`."""
    return eqx.tree_at(
        lambda m: (m.parts["outcome"].network.layers[0].table, m.parts["outcome"].log_scale),
        outcome_model(PAIR),
        (jnp.asarray(WORTH / scale, jnp.float32)[:, None], jnp.log(jnp.float32(scale))),
    )


def test_error_by_hand() -> None:
    after = np.array([[0, 0], [2, 1], [1, 4]])
    moves = steps(np.zeros((3, 2), int), np.zeros(3, int), after, [1.5, 1.0, 10.0])
    # Read off: .5, 1 and 10. The rewards' mean is 25/6, their variance 49.25/3.
    variance = np.var([1.5, 1.0, 10.0])
    for scale in (1.0, 4.0):
        assert part(knowing(scale))(knowing(scale), moves) == pytest.approx(
            1.0 / 3.0 / variance, rel=1e-4
        )


def test_worths_stand_factor_by_factor() -> None:
    first, second = part(knowing(4.0)).contributions
    np.testing.assert_allclose(first, WORTH[:3], rtol=1e-6)
    np.testing.assert_allclose(second, WORTH[3:], rtol=1e-6)
    assert part(outcome_model(BOX)).contributions == ()


def test_the_mean_over_a_prediction_is_that_over_all_states() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(6, 3)), rng.normal(size=(6, 5))
    p, q = np.exp(log_softmax(one)), np.exp(log_softmax(two))
    mean = np.einsum("ni,nj,ij->n", p, q, WORTH[:3, None] + WORTH[3:])
    outcome = eqx.tree_at(lambda o: o.network.layers[0].bias, part(knowing(2.0)), jnp.ones(1))
    found = eqx.filter_jit(outcome.expected)((jnp.asarray(one), jnp.asarray(two)))
    np.testing.assert_allclose(found, mean + 2.0, rtol=1e-4)


@pytest.mark.parametrize("unit", [0.01, 1.0, 100.0])
def test_it_learns_rewards_of_any_size_and_leaves_phi_alone(unit: float) -> None:
    moves = anywhere(PAIR, count=400)
    after = np.asarray(moves.next_observation)
    reward = unit * (WORTH[:3][after[:, 0]] + WORTH[3:][after[:, 1]])
    moves = moves._replace(reward=jnp.asarray(reward, jnp.float32))
    before = outcome_model(PAIR)
    after_, losses = trained(before, drawing(moves, 64), {"outcome": 1.0}, 1500)
    assert losses[-1] < 1e-3
    for old, new in zip(leaves(before.phi), leaves(after_.phi), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("states", [True, False])
def test_it_reads_boxes_linearly(states: bool) -> None:
    moves = anywhere(BOX, count=400)
    reward = moves.next_observation @ jnp.array([2.0, -1.0]) + 7.0
    moves = moves._replace(reward=reward)
    model, losses = trained(outcome_model(BOX, states), drawing(moves, 64), {"outcome": 1.0}, 1500)
    assert losses[-1] < 1e-3
    found = part(model).expected(model.raw(moves.next_observation))
    np.testing.assert_allclose(found, reward, atol=0.3)


def test_rewards_that_never_vary_are_no_division_by_zero() -> None:
    moves = anywhere(PAIR)._replace(reward=jnp.zeros(20))
    value = loss(outcome_model(PAIR), batch(moves), {"outcome": 1.0})
    assert np.isfinite(value)
