"""phi, g and T: bounds, shapes, and the arithmetic of both heads."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from worlds import embedded, network

from embrl.embedding.encoders import ActionEncoder, Norm, RawStates, Standardised, StateEncoder
from embrl.embedding.model import JointEmbedding, ModelConfig
from embrl.embedding.transition import PACE, MetricTransition
from embrl.errors import EmbrlError

KEY = jax.random.key(0)
predict = eqx.filter_jit(lambda model, s, a: model.predict(jnp.asarray(s), jnp.asarray(a)))
PAIR = spaces.MultiDiscrete([3, 5])


def wide(tree: Any) -> Any:
    """The same model with weights that saturate the tanh."""
    return jax.tree.map(lambda leaf: 1e3 * leaf if eqx.is_array(leaf) else leaf, tree)


@pytest.mark.parametrize("hidden", [(), (7,)])
def test_embeddings_stay_within_one(hidden: tuple[int, ...]) -> None:
    phi = StateEncoder(spaces.Discrete(50), 4, hidden, key=KEY)
    g = ActionEncoder(30, 2, key=KEY)
    states, actions = jnp.arange(50), jnp.arange(30)
    for bound, encode in ((0.5, lambda e: e), (1.0, wide)):
        x, e = encode(phi)(states), encode(g)(actions)
        assert x.shape == (50, 4)
        assert e.shape == (30, 2)
        # tanh of large numbers rounds to 1 in float32.
        assert np.abs(x).max() <= bound
        assert np.abs(e).max() <= bound
        assert np.abs(x).max() > bound / 20


def test_the_table_holds_every_action_s_embedding() -> None:
    g = ActionEncoder(30, 2, key=KEY)
    np.testing.assert_array_equal(g.table, g(jnp.arange(30)))
    assert len(np.unique(g.table, axis=0)) == 30


@pytest.mark.parametrize("hidden", [(), (7,)])
def test_points_are_every_state_s_embedding(hidden: tuple[int, ...]) -> None:
    phi = StateEncoder(spaces.Discrete(50), 4, hidden, key=KEY)
    [points] = phi.points
    np.testing.assert_allclose(points, phi(jnp.arange(50)), rtol=1e-6)
    assert phi.features == 4


def test_points_of_several_factors_are_the_rows_of_their_values() -> None:
    phi = StateEncoder(PAIR, 4, key=KEY)
    first, second = phi.points
    assert first.shape == (3, 4)
    assert second.shape == (5, 4)
    x = phi(jnp.array([[2, 4], [0, 1]]))
    together = np.arctanh(first[jnp.array([2, 0])]) + np.arctanh(second[jnp.array([4, 1])])
    np.testing.assert_allclose(np.arctanh(x), together, atol=1e-5)


def test_hidden_layers_over_several_factors_are_refused() -> None:
    with pytest.raises(EmbrlError, match=r"^model\.state-hidden is \(64,\)"):
        StateEncoder(PAIR, 4, (64,), key=KEY)


def test_raw_states_have_an_axis_of_factors() -> None:
    scalar, pair = RawStates(spaces.Discrete(50)), RawStates(PAIR)
    assert scalar(jnp.zeros((2, 3), jnp.int32)).shape == (2, 3, 1)
    assert pair(jnp.zeros((2, 3, 2), jnp.int32)).shape == (2, 3, 2)
    assert scalar.features == (50,)
    assert pair.features == (3, 5)


@pytest.mark.parametrize("head", ["metric", "softmax"])
@pytest.mark.parametrize("space", [spaces.Discrete(6), PAIR], ids=str)
def test_there_is_an_array_of_logits_for_each_factor(head: Any, space: spaces.Space) -> None:
    model = JointEmbedding(space, spaces.Discrete(4), ModelConfig(m=3, head=head), key=KEY)
    sizes = model.phi.raw.factors
    shape = () if len(sizes) == 1 else (2,)
    for batch in ((), (7,), (2, 3)):
        observation = jnp.zeros((*batch, *shape), jnp.int32)
        logits = jax.eval_shape(model.predict, observation, jnp.zeros(batch, jnp.int32))
        assert [factor.shape for factor in logits] == [(*batch, n) for n in sizes]


def metric_model(space: spaces.Space) -> tuple[JointEmbedding, np.ndarray, np.ndarray]:
    """A model with random weights everywhere, and all states and actions in pairs."""
    model = JointEmbedding(space, spaces.Discrete(4), ModelConfig(m=3, d=2), key=KEY)
    rng = np.random.default_rng(0)
    model = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape, scale=0.4), jnp.float32), model
    )
    model = eqx.tree_at(lambda m: m.T.log_beta, model, jnp.float32(np.log(3.0)))
    sizes = model.phi.raw.factors
    states = np.stack([part.ravel() for part in np.indices(sizes)], axis=-1)
    observation = np.repeat(states, 4, axis=0)
    action = np.tile(np.arange(4), len(states))
    return model, observation[:, 0] if len(sizes) == 1 else observation, action


@pytest.mark.parametrize("space", [spaces.Discrete(9), PAIR], ids=str)
def test_metric_logits_are_squared_distances_to_one_point(space: spaces.Space) -> None:
    # Whatever the point p is: -beta |p - c|^2 + beta |c|^2 is affine in c, with slope 2 beta p.
    model, observation, action = metric_model(space)
    for logits, points in zip(predict(model, observation, action), model.phi.points, strict=True):
        beta, centres = 3.0, np.asarray(points, np.float64)
        affine = np.asarray(logits, np.float64) + beta * (centres**2).sum(-1)
        basis = np.concatenate([centres, np.ones((len(centres), 1))], axis=1)
        solution, *_ = np.linalg.lstsq(basis, affine.T)
        np.testing.assert_allclose(basis @ solution, affine.T, atol=1e-4)


@pytest.mark.parametrize("space", [spaces.Discrete(9), PAIR], ids=str)
def test_the_predicted_point_is_a_step_from_x_along_e(space: spaces.Space) -> None:
    model, observation, action = metric_model(space)
    assert isinstance(model.T, MetricTransition)
    x = embedded(model, observation)
    e = np.tanh(np.asarray(model.g.rows, np.float64))[action]
    matrix = PACE * network(model.T.matrix, x).reshape(len(x), -1, 2)
    moves = ((matrix + np.asarray(model.T.linear).T) @ e[:, :, None])[..., 0]
    moves += PACE * network(model.T.network, np.hstack([x, e]))
    logits = predict(model, observation, action)
    for index, (factor, points) in enumerate(zip(logits, model.phi.points, strict=True)):
        p = x + moves[:, 3 * index : 3 * index + 3]
        distances = ((p[:, None] - np.asarray(points, np.float64)) ** 2).sum(-1)
        # Up to a constant over s'.
        ours, theirs = np.asarray(factor, np.float64), -3.0 * distances
        np.testing.assert_allclose(
            ours - ours.mean(-1, keepdims=True), theirs - theirs.mean(-1, keepdims=True), atol=1e-4
        )


def test_a_new_metric_head_moves_linearly_in_e() -> None:
    # p = x + e L: read off the logits, which are affine in p.
    head = MetricTransition(3, 2, (8,), (9,), key=KEY)
    x, points = jax.random.normal(KEY, (3,)), (jax.random.normal(KEY, (9, 3)),)
    [still], [once], [twice] = (
        head(x, t * jnp.array([0.3, -0.2]), points) for t in (0.0, 1.0, 2.0)
    )
    np.testing.assert_allclose(twice - once, once - still, rtol=1e-3)
    assert np.abs(once - still).max() > 1.0
    np.testing.assert_allclose(head.linear @ head.linear.T, np.eye(2), atol=1e-6)


def test_standardised_states_are_centred_and_keep_their_geometry() -> None:
    phi = StateEncoder(spaces.Discrete(50), 4, key=KEY)
    states = jnp.arange(50)
    plain = np.asarray(phi(states))
    ours = np.asarray(Standardised(phi, Norm.of(phi(states)))(states))
    np.testing.assert_allclose(ours.mean(0), 0.0, atol=1e-5)
    assert (ours**2).mean() == pytest.approx(1.0, rel=1e-3)
    between, before = ours - ours[0], plain - plain[0]
    ratio = np.linalg.norm(between, axis=1)[1:] / np.linalg.norm(before, axis=1)[1:]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)
    np.testing.assert_array_equal(Standardised(phi, Norm.none(4))(states), plain)


def test_states_in_one_place_can_be_standardised() -> None:
    norm = Norm.of(jnp.full((5, 3), 0.25))
    assert np.isfinite(norm.width)
    assert norm.width > 0.0


def test_gradients_reach_every_part_of_the_model() -> None:
    model, observation, action = metric_model(spaces.Discrete(9))

    @eqx.filter_jit
    @eqx.filter_grad
    def total(model: JointEmbedding) -> jax.Array:
        [logits] = model.predict(jnp.asarray(observation), jnp.asarray(action))
        return jax.nn.log_softmax(logits)[:, 0].sum()

    for leaf in jax.tree.leaves(total(model)):
        assert np.isfinite(leaf).all()
        assert np.abs(leaf).max() > 0.0
