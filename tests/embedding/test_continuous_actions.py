"""g, and the f that undoes it, where actions are numbers."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.spaces import Box
from worlds import leaves

from embrl.core.scaling import RawBox
from embrl.core.types import Transition
from embrl.data.replay import Segments, draw_segments
from embrl.decoding import base as decoders
from embrl.decoding.base import DecoderConfig
from embrl.decoding.continuous import LearnedAction, Rescaled
from embrl.embedding import pretraining as fitting
from embrl.embedding.config import EmbeddingConfig
from embrl.embedding.encoders import ContinuousActions
from embrl.embedding.model import JointEmbedding
from embrl.training import online_updates as moving

KEY = jax.random.key(5)
STATES = Box(-1.0, 1.0, (3,))
ACTIONS = Box(np.array([-1.0, 0.0], np.float32), np.array([3.0, 0.5], np.float32))
CONFIG = EmbeddingConfig(
    state_dim=2, action_dim=3, action_hidden=(16,), decoder_hidden=(32,), transition_hidden=(8,)
)


def some_actions(count: int) -> jax.Array:
    share = jax.random.uniform(KEY, (count, 2))
    return jnp.asarray(ACTIONS.low + share * (ACTIONS.high - ACTIONS.low))


def transitions() -> Transition:
    states = jax.random.uniform(KEY, (64, 4, 3), minval=-1.0)
    actions = some_actions(64 * 4).reshape(64, 4, 2)
    over = jnp.zeros((64, 4), bool)
    return Transition(states, actions, jnp.zeros((64, 4)), states, over, over)


@pytest.fixture(scope="module")
def models() -> tuple[JointEmbedding, JointEmbedding]:
    """Before f was trained, and after."""
    steps = transitions()

    def draw(key: jax.Array) -> Segments:
        return draw_segments(steps, key, 128)

    @eqx.filter_jit
    def train(model: JointEmbedding) -> JointEmbedding:
        rates = fitting.cosine_decay(1e-2, 500, jnp.arange(500))
        keys = jax.random.split(KEY, 500)
        return fitting.fit_decoder(model, fitting.start_decoder(model), draw, keys, rates)[0]

    before = JointEmbedding(STATES, ACTIONS, CONFIG, key=KEY)
    return before, train(before)


def error(model: JointEmbedding) -> np.ndarray:
    """Root mean square, in parts of the range."""
    actions = some_actions(500)
    assert model.f is not None
    apart = (model.f(model.g(actions)) - actions) / (ACTIONS.high - ACTIONS.low)
    return np.sqrt(np.asarray(apart**2).mean(0))


def test_g_lies_within_its_cube_and_lists_nothing(models):
    model, _ = models
    assert isinstance(model.g, ContinuousActions)
    e = np.asarray(model.g(some_actions(500)))
    assert e.shape == (500, 3)
    assert (np.abs(e) < 1.0).all()
    assert model.g.table is None
    assert model.g_inputs == 2


def test_neighbours_of_an_action_are_embedded_as_neighbours(models):
    # It begins wide: some two actions are far apart, and a small change is a small change.
    g, actions = models[0].g, some_actions(500)
    e, near = np.asarray(g(actions)), np.asarray(g(actions + 1e-3))
    assert np.ptp(e, axis=0).min() > 0.1
    assert np.linalg.norm(near - e, axis=1).max() < 0.02


def test_f_learns_to_undo_g(models):
    before, after = models
    assert error(before).min() > 0.15
    assert error(after).max() < 0.3 * error(before).min()


def test_g_phi_and_T_stay_bit_by_bit_while_f_learns(models):
    before, after = models
    for name in ("phi", "g", "parts", "raw"):
        same = zip(leaves(getattr(before, name)), leaves(getattr(after, name)), strict=True)
        assert all(np.array_equal(a, b) for a, b in same), name
    moved = zip(leaves(before.f), leaves(after.f), strict=True)
    assert any(not np.array_equal(a, b) for a, b in moved)


def test_the_objectives_leave_f_alone(models):
    steps = transitions()
    state = fitting.start(models[0])
    after, _ = eqx.filter_jit(
        lambda state: fitting.fit(
            state,
            lambda key: draw_segments(steps, key, 32),
            jax.random.split(KEY, 3),
            jnp.full(3, 1e-2),
            weights={"forward": 1.0},
        )
    )(state)
    assert all(
        np.array_equal(a, b)
        for a, b in zip(leaves(state.model.f), leaves(after.model.f), strict=True)
    )
    assert any(
        not np.array_equal(a, b)
        for a, b in zip(leaves(state.model.g), leaves(after.model.g), strict=True)
    )


def test_whatever_e_is_f_gives_an_action_within_its_bounds(models):
    _, model = models
    e = jax.random.uniform(KEY, (200, 3), minval=-1.0)
    actions = np.asarray(model.f(e))
    assert actions.dtype == np.float32
    assert (actions >= ACTIONS.low).all()
    assert (actions <= ACTIONS.high).all()


def test_actions_without_bounds_are_scaled_by_those_seen():
    space = Box(-np.inf, np.inf, (1,))
    model = JointEmbedding(STATES, space, CONFIG, key=KEY)
    seen = jax.random.normal(KEY, (100, 1)) * 50.0 + 200.0
    model = model.scaled_by(jnp.zeros((100, 3)), seen)
    assert isinstance(model.g, ContinuousActions)
    assert model.f is not None
    for raw in (model.g.raw, model.f.raw):
        assert raw.scale is not None
        np.testing.assert_allclose(raw.scale.centre, seen.mean(0), rtol=1e-5)
        np.testing.assert_allclose(raw.scale.width, seen.std(0), rtol=1e-5)
    # f is in the actions' own units.
    said = model.f(jnp.zeros((1, 3)))
    scaled = model.f.scaled(jnp.zeros((1, 3)))
    np.testing.assert_allclose(said, seen.mean(0) + seen.std(0) * scaled, rtol=1e-5)


def test_f_of_a_discrete_model_has_nothing_to_learn():
    from gymnasium.spaces import Discrete

    model = JointEmbedding(STATES, Discrete(4), CONFIG, key=KEY)
    assert model.f is None
    empty = fitting.start_decoder(model)
    same, _ = fitting.fit_decoder(model, empty, lambda key: None, KEY, jnp.zeros(3))  # type: ignore[arg-type, return-value]
    assert same is model


# The f of a policy


def test_the_learned_f_is_the_network_of_the_embedding(models):
    _, model = models
    f = decoders.build(DecoderConfig(kind="learned"))
    assert isinstance(f, LearnedAction)
    e = jax.random.uniform(KEY, (7, 3), minval=-1.0)
    np.testing.assert_array_equal(f(model.f, e), model.f(e))
    np.testing.assert_array_equal(f.log_prob(model.f, e, model.f(e)), np.zeros(7))
    assert f.noise(KEY, (7,)) is None


def test_without_an_embedding_minus_one_to_one_are_the_bounds():
    f = Rescaled(RawBox(ACTIONS))
    u = jnp.array([[-1.0, -1.0], [1.0, 1.0], [0.0, 0.5], [-7.0, 7.0]])
    expected = [[-1.0, 0.0], [3.0, 0.5], [1.0, 0.375], [-1.0, 0.5]]
    np.testing.assert_allclose(f(None, u), expected, rtol=1e-6)
    np.testing.assert_array_equal(f.log_prob(None, u, f(None, u)), np.zeros(4))
    assert f.noise(KEY, (4,)) is None


# What the replay buffer keeps


def test_an_internal_action_comes_back_from_its_offset(models):
    _, model = models
    e = jax.random.uniform(KEY, (50, 3), minval=-1.0)
    action = model.f(e)
    offset = moving.offsets(model, model.f, action, e)
    np.testing.assert_allclose(offset, e - model.g(action), atol=1e-6)
    for updated in (False, True):
        again = moving.re_embedded(model, model.f, action, offset, updated=updated)
        np.testing.assert_allclose(again, e, atol=1e-6)


def test_where_g_has_moved_it_has_moved_along(models):
    _, model = models
    e = jax.random.uniform(KEY, (50, 3), minval=-1.0)
    action = model.f(e)
    offset = moving.offsets(model, model.f, action, e)
    moved = eqx.tree_at(lambda m: m.g.network.layers[-1].bias, model, replace_fn=lambda b: b + 0.3)
    again = moving.re_embedded(moved, moved.f, action, offset, updated=True)
    by = moved.g(action) - model.g(action)
    assert np.abs(by).max() > 0.05
    np.testing.assert_allclose(again, e + by, atol=1e-6)
