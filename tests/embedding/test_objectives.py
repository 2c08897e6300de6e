"""The forward objective against a cross entropy in NumPy, and what holds of all objectives."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from worlds import (
    acted,
    anywhere,
    batch,
    cross_entropy,
    drawing,
    embedded,
    in_lane,
    leaves,
    network,
    steps,
    trained,
)

from embrl.core.errors import EmbrlError, UnknownNameError
from embrl.core.types import Transition
from embrl.data.replay import draw_segments
from embrl.embedding.config import EmbeddingConfig
from embrl.embedding.methods import METHODS, Method
from embrl.embedding.model import JointEmbedding
from embrl.embedding.objectives import OBJECTIVES
from embrl.embedding.objectives.dynamics import Forward
from embrl.embedding.pretraining import loss
from embrl.embedding.quality import measure
from embrl.embedding.transition import SoftmaxTransition

KEY = jax.random.key(0)
DISCRETE = [spaces.Discrete(6), spaces.MultiDiscrete([3, 5])]
BOX = spaces.Box(np.array([-2.0, 100.0], np.float32), np.array([2.0, 101.0], np.float32))
FOUR = spaces.Discrete(4)

predict = eqx.filter_jit(lambda model, batch: model.predict(batch.observation, batch.action))


@eqx.filter_jit
def forward_loss(model: JointEmbedding, batch: Transition) -> jax.Array:
    return model.parts["forward"](model, batch)


# Forward


@pytest.mark.parametrize("head", ["metric", "softmax"])
@pytest.mark.parametrize("space", DISCRETE, ids=str)
def test_the_forward_loss_is_the_cross_entropy_of_every_factor(
    head: Any, space: spaces.Space
) -> None:
    model = JointEmbedding(space, FOUR, EmbeddingConfig(state_dim=3, head=head), key=KEY)
    drawn = anywhere(space)
    targets = np.asarray(drawn.next_observation).reshape(20, -1)
    logits = [np.asarray(part, np.float64) for part in predict(model, drawn)]
    assert len(logits) == targets.shape[1]
    expected = sum(cross_entropy(part, targets[:, k]) for k, part in enumerate(logits))
    assert forward_loss(model, drawn) == pytest.approx(expected, rel=1e-5)
    part = model.parts["forward"]
    assert isinstance(part, Forward)
    each = eqx.filter_jit(part.losses)(model, drawn)
    assert each.shape == (20,)
    assert each.mean() == pytest.approx(expected, rel=1e-5)
    assert each.std() > 0.0


@pytest.mark.parametrize("space", DISCRETE, ids=str)
def test_the_softmax_head_is_a_network_of_both_embeddings(space: spaces.Space) -> None:
    model = JointEmbedding(space, FOUR, EmbeddingConfig(state_dim=3, head="softmax"), key=KEY)
    assert isinstance(model.T, SoftmaxTransition)
    drawn = anywhere(space)
    x, e = embedded(model, drawn.observation), acted(model, drawn.action)
    joint = network(model.T.network, np.hstack([x, e]))
    ours = np.concatenate(predict(model, drawn), axis=-1)
    np.testing.assert_allclose(ours, joint, rtol=1e-4, atol=1e-6)


def test_knowing_nothing_costs_the_logarithm_of_the_states() -> None:
    model = JointEmbedding(DISCRETE[1], FOUR, EmbeddingConfig(head="softmax"), key=KEY)
    blank = jax.tree.map(jnp.zeros_like, model)
    assert forward_loss(blank, anywhere(DISCRETE[1])) == pytest.approx(np.log(3 * 5))


def test_accuracy_is_the_fraction_where_all_factors_are_right() -> None:
    model = JointEmbedding(DISCRETE[1], FOUR, EmbeddingConfig(head="softmax", state_dim=2), key=KEY)
    blank = jax.tree.map(jnp.zeros_like, model)
    bias = jnp.array([0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0])  # always (1, 3)
    certain = eqx.tree_at(lambda m: m.T.network.layers[-1].bias, blank, bias)
    after = np.array([[1, 3], [1, 2], [0, 3], [1, 3], [2, 4]])
    drawn = in_lane(steps(np.zeros((5, 2), int), np.zeros(5, int), after))
    quality = measure(
        certain, {"forward": 1.0}, drawn, np.array([[0, 0]]), observation_space=DISCRETE[1]
    )
    assert quality.next_state_accuracy == pytest.approx(0.4)


def test_the_forward_loss_of_a_box_is_a_squared_error_in_scaled_units() -> None:
    model = JointEmbedding(BOX, FOUR, EmbeddingConfig(state_dim=3), key=KEY)
    blank = jax.tree.map(jnp.zeros_like, model)
    known = eqx.tree_at(lambda m: m.T.decoder.bias, blank, jnp.array([0.5, -1.0]))
    # Scaled to (.5, -1), (-1, 1) and (0, 0); predicted is (.5, -1).
    after = np.array([[1.0, 100.0], [-2.0, 101.0], [0.0, 100.5]])
    drawn = steps(np.tile([0.0, 100.5], (3, 1)), np.zeros(3, int), after)
    expected = (0.0 + (1.5**2 + 2.0**2) / 2 + (0.5**2 + 1.0**2) / 2) / 3
    assert forward_loss(known, drawn) == pytest.approx(expected, rel=1e-6)


def test_the_next_place_in_a_box_is_learned() -> None:
    # Four actions push a point on a floor, along either axis.
    pushes = np.array([[0.2, 0.0], [-0.2, 0.0], [0.0, 0.05], [0.0, -0.05]])
    rng = np.random.default_rng(0)
    before, action = (
        rng.uniform([-1.5, 100.1], [1.5, 100.9], size=(400, 2)),
        rng.integers(4, size=400),
    )
    world = steps(before, action, before + pushes[action])
    model = JointEmbedding(
        BOX, FOUR, EmbeddingConfig(state_dim=4, transition_hidden=(16,)), key=KEY
    )
    after, losses = trained(model, drawing(world, 64), {"forward": 1.0}, 600)
    assert losses[0] > 0.1
    assert losses[-20:].mean() < 2e-4  # pushes have a square of .01 / 2
    g = np.asarray(after.g.table, np.float64)
    right, left, up, down = g - g.mean(0)
    assert right @ left < 0.0
    assert up @ down < 0.0
    assert abs(right @ up) < 0.5 * np.linalg.norm(right) * np.linalg.norm(up)


# All objectives


@pytest.mark.parametrize("space", [*DISCRETE, BOX], ids=str)
@pytest.mark.parametrize("states", [True, False], ids=["phi", "raw"])
def test_every_objective_has_finite_gradients_in_every_space(
    space: spaces.Space, states: bool
) -> None:
    names = tuple(OBJECTIVES) if states else ("inverse", "action", "reward", "termination")
    model = JointEmbedding(
        space, FOUR, EmbeddingConfig(state_dim=3), states=states, objectives=names, key=KEY
    )
    drawn = draw_segments(in_lane(anywhere(space)), KEY, 16, 3)
    value, gradient = eqx.filter_jit(eqx.filter_value_and_grad(loss))(
        model, drawn, dict.fromkeys(names, 1.0)
    )
    assert np.isfinite(value)
    for leaf in leaves(gradient):
        assert np.isfinite(leaf).all()
    assert np.abs(gradient.g.rows).max() > 0.0
    assert [np.abs(leaf).max() > 0.0 for leaf in leaves(gradient.phi)] == [True] * len(
        leaves(model.phi)
    )


@pytest.mark.parametrize("name", OBJECTIVES)
def test_compiled_is_not_compiled(name: str) -> None:
    model = JointEmbedding(
        DISCRETE[1],
        FOUR,
        EmbeddingConfig(state_dim=3, head_hidden=(8,)),
        objectives=(name,),
        key=KEY,
    )
    drawn = batch(anywhere(DISCRETE[1]))
    plain = loss(model, drawn, {name: 2.0})
    assert eqx.filter_jit(loss)(model, drawn, {name: 2.0}) == pytest.approx(float(plain), rel=1e-5)
    assert plain > 0.0


# Methods


@pytest.mark.parametrize("name", METHODS)
def test_every_method_s_objectives_suit_what_it_embeds(name: str) -> None:
    chosen = METHODS[name]
    weights = dict(chosen.objectives)
    if chosen.embeds:
        model = JointEmbedding(
            DISCRETE[1],
            FOUR,
            EmbeddingConfig(),
            states=chosen.states,
            objectives=tuple(weights),
            key=KEY,
        )
        assert list(model.parts) == list(weights)
        assert (leaves(model.phi) != []) == chosen.states
    else:
        assert not weights


def test_random_embeddings_are_left_as_they_are() -> None:
    assert METHODS["random"] == Method(states=True, actions=True, objectives=())
    model = JointEmbedding(DISCRETE[0], FOUR, EmbeddingConfig(), objectives=(), key=KEY)
    jsae = JointEmbedding(DISCRETE[0], FOUR, EmbeddingConfig(), key=KEY)
    assert model.parts == {}
    np.testing.assert_array_equal(model.g.table, jsae.g.table)
    np.testing.assert_array_equal(model.phi.points[0], jsae.phi.points[0])


def test_unknown_methods_are_refused_with_a_hint() -> None:
    with pytest.raises(UnknownNameError, match="unknown method 'jsea': did you mean jsae"):
        METHODS["jsea"]


def test_states_alone_are_not_embedded() -> None:
    with pytest.raises(EmbrlError, match="embed actions too"):
        Method(states=True, actions=False)
