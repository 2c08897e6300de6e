"""Predicted ends of episodes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from worlds import acted, anywhere, batch, drawing, embedded, leaves, network, steps, trained

from embrl.embedding.config import EmbeddingConfig
from embrl.embedding.model import JointEmbedding
from embrl.embedding.objectives.rewards import Termination
from embrl.embedding.pretraining import loss

KEY = jax.random.key(0)
SIX = spaces.Discrete(6)
FOUR = spaces.Discrete(4)
WEIGHTS = {"termination": 1.0}

weighted = eqx.filter_jit(loss)


def ending(config: EmbeddingConfig = EmbeddingConfig()) -> JointEmbedding:  # noqa: B008
    return JointEmbedding(SIX, FOUR, config, objectives=("termination",), key=KEY)


def test_knowing_that_three_in_four_end() -> None:
    blank = jax.tree.map(jnp.zeros_like, ending(EmbeddingConfig(head_hidden=())))
    model = eqx.tree_at(
        lambda m: m.parts["termination"].network.layers[-1].bias, blank, jnp.log(jnp.array([3.0]))
    )
    three = steps([0, 1, 2], [0, 1, 2], [3, 4, 5], terminated=[True, False, True])
    expected = -(2 * np.log(0.75) + np.log(0.25)) / 3
    assert weighted(model, batch(three), WEIGHTS) == pytest.approx(expected, rel=1e-5)


def test_truncation_is_no_end() -> None:
    model = ending()
    going = steps([0, 1], [0, 1], [3, 4])
    cut = going._replace(truncated=jnp.array([True, True]))
    assert weighted(model, batch(going), WEIGHTS) == weighted(model, batch(cut), WEIGHTS)
    ended = going._replace(terminated=jnp.array([True, True]))
    assert weighted(model, batch(going), WEIGHTS) != weighted(model, batch(ended), WEIGHTS)


def test_it_is_a_network_of_both_embeddings() -> None:
    model, drawn = ending(EmbeddingConfig(state_dim=3, head_hidden=(8,))), anywhere(SIX)
    part = model.parts["termination"]
    assert isinstance(part, Termination)
    x, e = embedded(model, drawn.observation), acted(model, drawn.action)
    p = 1 / (1 + np.exp(-network(part.network, x, e)[:, 0]))
    ended = np.asarray(drawn.terminated)
    assert 0 < ended.sum() < len(ended)
    expected = -np.log(np.where(ended, p, 1 - p)).mean()
    assert weighted(model, batch(drawn), WEIGHTS) == pytest.approx(expected, rel=1e-5)


def test_being_sure_and_wrong_is_finite() -> None:
    model = eqx.tree_at(
        lambda m: m.parts["termination"].network.layers[-1].bias, ending(), jnp.array([200.0])
    )
    value, gradient = eqx.filter_jit(eqx.filter_value_and_grad(loss))(
        model, batch(steps([0], [0], [1])), WEIGHTS
    )
    assert value == pytest.approx(200.0, abs=1.0)
    assert all(np.isfinite(leaf).all() for leaf in leaves(gradient))


def test_where_episodes_end_is_learned() -> None:
    # They end in state 5, and by action 3 in state 0.
    drawn = anywhere(SIX, count=200)
    state, action = np.asarray(drawn.observation), np.asarray(drawn.action)
    ends = (state == 5) | ((state == 0) & (action == 3))
    drawn = drawn._replace(terminated=jnp.asarray(ends))
    model, losses = trained(ending(), drawing(drawn, 64), WEIGHTS, 400)
    assert losses[0] > 0.5
    assert losses[-20:].mean() < 0.02
    [x] = model.phi.points
    away = np.linalg.norm(np.asarray(x)[:, None] - np.asarray(x), axis=-1)
    # States 1 to 4 never end.
    assert away[1:5, 1:5].max() < 0.5 * away[5, :5].min()
