"""phi, g and T: bounds, shapes, and the arithmetic of all heads."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from worlds import acted, embedded, moved, network

from embrl.core.errors import EmbrlError, UnknownNameError
from embrl.embedding.config import EmbeddingConfig
from embrl.embedding.encoders import (
    ActionEncoder,
    Norm,
    RawStates,
    StandardisedEncoder,
    StateEncoder,
)
from embrl.embedding.model import JointEmbedding
from embrl.embedding.transition import (
    BoxTransition,
    MetricTransition,
    SoftmaxTransition,
)

KEY = jax.random.key(0)
predict = eqx.filter_jit(lambda model, s, a: model.predict(jnp.asarray(s), jnp.asarray(a)))
PAIR = spaces.MultiDiscrete([3, 5])
BOX = spaces.Box(np.array([-2.0, 100.0], np.float32), np.array([2.0, 101.0], np.float32))


def wide(tree: Any) -> Any:
    """The same model with weights that saturate the tanh."""
    return jax.tree.map(lambda leaf: 1e3 * leaf if eqx.is_array(leaf) else leaf, tree)


@pytest.mark.parametrize("hidden", [None, (), (7,)])
def test_embeddings_stay_within_one(hidden: tuple[int, ...] | None) -> None:
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


def test_embeddings_begin_as_wide_as_they_are_told() -> None:
    for spread in (0.05, 0.2):
        phi = StateEncoder(spaces.Discrete(2000), 4, spread=spread, key=KEY)
        assert np.arctanh(phi.points[0]).std() == pytest.approx(spread, rel=0.05)
        g = ActionEncoder(2000, 4, spread=spread, key=KEY)
        assert np.arctanh(g.table).std() == pytest.approx(spread, rel=0.05)


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
    with pytest.raises(EmbrlError, match=r"^embedding\.state_hidden must be .*got \(64,\)"):
        StateEncoder(PAIR, 4, (64,), key=KEY)


def test_raw_states_have_an_axis_of_factors() -> None:
    scalar, pair = RawStates(spaces.Discrete(50)), RawStates(PAIR)
    assert scalar(jnp.zeros((2, 3), jnp.int32)).shape == (2, 3, 1)
    assert pair(jnp.zeros((2, 3, 2), jnp.int32)).shape == (2, 3, 2)
    assert scalar.features == (50,)
    assert pair.features == (3, 5)
    assert scalar.points == ()


def test_raw_boxes_are_scaled_by_their_bounds() -> None:
    raw = RawStates(BOX)
    assert raw.features == 2
    seen = raw(jnp.array([[-2.0, 100.0], [1.0, 100.25], [2.0, 101.0]]))
    np.testing.assert_allclose(seen, [[-1.0, -1.0], [0.5, -0.5], [1.0, 1.0]])


def test_coordinates_without_a_finite_range_are_squashed() -> None:
    # A bound on one side is none; and -3e38 to 3e38 is no range in float32.
    low = np.array([-2.0, -np.inf, 0.0, -3e38], np.float32)
    high = np.array([2.0, np.inf, np.inf, 3e38], np.float32)
    raw = RawStates(spaces.Box(low, high))
    seen = raw(jnp.array([[1.0, -3.0, 1.0, 0.0], [-2.0, 0.5, 0.0, 3e38]]))
    np.testing.assert_allclose(seen, [[0.5, -0.75, 0.5, 0.0], [-1.0, 1 / 3, 0.0, 1.0]], rtol=1e-6)
    slope = jax.jacobian(raw)(jnp.array([0.0, 1.0, 0.0, 0.0]))
    np.testing.assert_allclose(slope, np.diag([0.5, 0.25, 1.0, 1.0]))


def test_bounds_far_from_zero_cost_no_precision() -> None:
    # Neighbours in float32 stay apart as they are: 2 (observation - low) / (high - low) is exact.
    far = RawStates(spaces.Box(4095.0, 4096.0, (1,)))
    values = np.array([4095.0, 4095.25, np.nextafter(np.float32(4095.25), np.float32(5000))])
    expected = 2.0 * (values[:, None] - 4095.0) - 1.0
    np.testing.assert_array_equal(far(jnp.asarray(values[:, None], jnp.float32)), expected)


def test_boxes_are_embedded_by_a_network() -> None:
    phi = StateEncoder(BOX, 4, key=KEY)
    assert phi.features == 4
    assert phi.points == ()
    assert [layer.bias.shape for layer in phi.network.layers] == [(64,), (4,)]
    linear = StateEncoder(BOX, 4, (), key=KEY)
    assert len(linear.network.layers) == 1
    # phi sees the scaled observation: the middle of the box is at 0, where biases alone speak.
    np.testing.assert_array_equal(linear(jnp.array([0.0, 100.5])), np.zeros(4))


def test_box_embeddings_begin_narrow_and_stay_within_one() -> None:
    phi = StateEncoder(BOX, 4, key=KEY)
    corners = jnp.array([[-2.0, 100.0], [2.0, 100.0], [-2.0, 101.0], [2.0, 101.0]])
    assert 0.005 < np.abs(phi(corners)).max() < 0.3
    assert np.abs(wide(phi)(corners)).max() <= 1.0


@pytest.mark.parametrize("head", ["metric", "softmax"])
@pytest.mark.parametrize("space", [spaces.Discrete(6), PAIR], ids=str)
def test_there_is_an_array_of_logits_for_each_factor(head: Any, space: spaces.Space) -> None:
    model = JointEmbedding(
        space, spaces.Discrete(4), EmbeddingConfig(state_dim=3, head=head), key=KEY
    )
    assert isinstance(model.T, {"metric": MetricTransition, "softmax": SoftmaxTransition}[head])
    sizes = model.raw.features
    assert isinstance(sizes, tuple)
    shape = () if len(sizes) == 1 else (2,)
    for batch in ((), (7,), (2, 3)):
        observation = jnp.zeros((*batch, *shape), jnp.int32)
        logits = jax.eval_shape(model.predict, observation, jnp.zeros(batch, jnp.int32))
        assert [factor.shape for factor in logits] == [(*batch, n) for n in sizes]


@pytest.mark.parametrize("head", ["metric", "softmax"])
def test_of_a_box_there_is_one_prediction(head: Any) -> None:
    model = JointEmbedding(
        BOX, spaces.Discrete(4), EmbeddingConfig(state_dim=3, head=head), key=KEY
    )
    assert isinstance(model.T, BoxTransition)
    for batch in ((), (7,), (2, 3)):
        predicted = jax.eval_shape(
            model.predict, jnp.zeros((*batch, 2)), jnp.zeros(batch, jnp.int32)
        )
        assert predicted.shape == (*batch, 2)


def random_model(space: spaces.Space) -> JointEmbedding:
    """A model with random weights everywhere."""
    model = JointEmbedding(
        space, spaces.Discrete(4), EmbeddingConfig(state_dim=3, action_dim=2), key=KEY
    )
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape, scale=0.4), jnp.float32), model
    )


def metric_model(space: spaces.Space) -> tuple[JointEmbedding, np.ndarray, np.ndarray]:
    """Such a model, and all states and actions in pairs."""
    model = random_model(space)
    model = eqx.tree_at(lambda m: m.T.log_beta, model, jnp.float32(np.log(3.0)))
    sizes = model.raw.features
    assert isinstance(sizes, tuple)
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
    x, e = embedded(model, observation), acted(model, action)
    moves = moved(model.T.move, x, e)
    logits = predict(model, observation, action)
    for index, (factor, points) in enumerate(zip(logits, model.phi.points, strict=True)):
        p = x + moves[:, 3 * index : 3 * index + 3]
        distances = ((p[:, None] - np.asarray(points, np.float64)) ** 2).sum(-1)
        # Up to a constant over s'.
        ours, theirs = np.asarray(factor, np.float64), -3.0 * distances
        np.testing.assert_allclose(
            ours - ours.mean(-1, keepdims=True), theirs - theirs.mean(-1, keepdims=True), atol=1e-4
        )


def test_a_box_is_predicted_from_x_by_a_step_along_e() -> None:
    model = random_model(BOX)
    assert isinstance(model.T, BoxTransition)
    assert isinstance(model.phi, StateEncoder)
    rng = np.random.default_rng(0)
    observation = rng.uniform(BOX.low, BOX.high, size=(12, 2)).astype(np.float32)
    action = rng.integers(4, size=12)
    scaled = (observation - np.array([0.0, 100.5])) / np.array([2.0, 0.5])
    x, e = np.tanh(network(model.phi.network, scaled)), acted(model, action)
    decoder = model.T.decoder
    expected = x @ np.asarray(decoder.weight, np.float64) + np.asarray(decoder.bias)
    expected += moved(model.T.move, x, e)
    np.testing.assert_allclose(predict(model, observation, action), expected, atol=1e-4)


def test_a_new_metric_head_moves_linearly_in_e() -> None:
    # p = x + e L: read off the logits, which are affine in p.
    head = MetricTransition(3, 2, (8,), (9,), key=KEY)
    x, points = jax.random.normal(KEY, (3,)), (jax.random.normal(KEY, (9, 3)),)
    [still], [once], [twice] = (
        head(x, t * jnp.array([0.3, -0.2]), points) for t in (0.0, 1.0, 2.0)
    )
    np.testing.assert_allclose(twice - once, once - still, rtol=1e-3)
    assert np.abs(once - still).max() > 1.0
    np.testing.assert_allclose(head.move.linear @ head.move.linear.T, np.eye(2), atol=1e-6)


def test_standardised_states_are_centred_and_keep_their_geometry() -> None:
    phi = StateEncoder(spaces.Discrete(50), 4, key=KEY)
    states = jnp.arange(50)
    plain = np.asarray(phi(states))
    ours = np.asarray(StandardisedEncoder(phi, Norm.of(phi(states)))(states))
    np.testing.assert_allclose(ours.mean(0), 0.0, atol=1e-5)
    assert (ours**2).mean() == pytest.approx(1.0, rel=1e-3)
    between, before = ours - ours[0], plain - plain[0]
    ratio = np.linalg.norm(between, axis=1)[1:] / np.linalg.norm(before, axis=1)[1:]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)
    np.testing.assert_array_equal(StandardisedEncoder(phi, Norm.none(4))(states), plain)


def test_states_in_one_place_can_be_standardised() -> None:
    norm = Norm.of(jnp.full((5, 3), 0.25))
    assert np.isfinite(norm.width)
    assert norm.width > 0.0


def test_gradients_reach_every_part_of_the_model() -> None:
    model, observation, action = metric_model(spaces.Discrete(9))

    @eqx.filter_jit
    @eqx.filter_grad
    def total(model: JointEmbedding) -> jax.Array:
        prediction: Any = model.predict(jnp.asarray(observation), jnp.asarray(action))
        [logits] = prediction
        return jax.nn.log_softmax(logits)[:, 0].sum()

    for leaf in jax.tree.leaves(total(model)):
        assert np.isfinite(leaf).all()
        assert np.abs(leaf).max() > 0.0


def test_one_objective_more_leaves_the_others_numbers_alone() -> None:
    def new(*objectives: str) -> JointEmbedding:
        return JointEmbedding(
            spaces.Discrete(9),
            spaces.Discrete(4),
            EmbeddingConfig(),
            objectives=objectives,
            key=KEY,
        )

    one, two = new("forward"), new("forward", "reward")
    assert list(two.parts) == ["forward", "reward"]
    for part in ("phi", "g", "T"):
        ours, theirs = (jax.tree.leaves(getattr(model, part)) for model in (one, two))
        for left, right in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(left, right)


def test_there_is_a_model_without_embedded_states() -> None:
    model = JointEmbedding(
        PAIR, spaces.Discrete(4), EmbeddingConfig(), states=False, objectives=("inverse",), key=KEY
    )
    assert isinstance(model.phi, RawStates)
    assert model.phi.features == (3, 5)
    with pytest.raises(EmbrlError, match="no transition model; add forward"):
        _ = model.T


@pytest.mark.parametrize("objective", ["forward", "state", "latent"])
@pytest.mark.parametrize("space", [spaces.Discrete(9), PAIR], ids=str)
def test_objectives_of_embedded_states_refuse_raw_ones(objective: str, space: Any) -> None:
    with pytest.raises(EmbrlError, match=f"^objective {objective} needs embedded states") as error:
        JointEmbedding(
            space,
            spaces.Discrete(4),
            EmbeddingConfig(),
            states=False,
            objectives=("inverse", objective),
            key=KEY,
        )
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("objective", ["forward", "state", "latent"])
def test_a_raw_box_is_no_embedding(objective: str) -> None:
    with pytest.raises(EmbrlError, match=f"^objective {objective} needs embedded states"):
        JointEmbedding(
            BOX,
            spaces.Discrete(4),
            EmbeddingConfig(),
            states=False,
            objectives=(objective,),
            key=KEY,
        )


def test_unknown_objectives_are_refused_with_a_hint() -> None:
    with pytest.raises(UnknownNameError, match="unknown objective 'rewards': did you mean reward"):
        JointEmbedding(
            PAIR, spaces.Discrete(4), EmbeddingConfig(), objectives=("forward", "rewards"), key=KEY
        )
