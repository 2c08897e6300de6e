"""The objectives of autoencoders, and DCT, which has one of them beside the forward objective."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from worlds import (
    ACTIONS,
    STATES,
    acted,
    alike_lie_together,
    anywhere,
    batch,
    between,
    cross_entropy,
    drawing,
    embedded,
    leaves,
    network,
    ring,
    ring_model,
    steps,
    trained,
)

from embrl.embedding.config import EmbeddingConfig
from embrl.embedding.methods import METHODS
from embrl.embedding.model import JointEmbedding
from embrl.embedding.objectives.reconstruction import ActionReconstruction, StateReconstruction
from embrl.embedding.pretraining import loss

KEY = jax.random.key(0)
CONFIG = EmbeddingConfig(state_dim=3, action_dim=2, transition_hidden=(16,), head_hidden=(16,))
DISCRETE = [spaces.Discrete(6), spaces.MultiDiscrete([3, 5])]
BOX = spaces.Box(np.array([-2.0, 100.0], np.float32), np.array([2.0, 101.0], np.float32))
FOUR = spaces.Discrete(4)

weighted = eqx.filter_jit(loss)


def model_of(space: spaces.Space, *objectives: str) -> JointEmbedding:
    return JointEmbedding(space, FOUR, CONFIG, objectives=objectives, key=KEY)


@pytest.mark.parametrize("space", DISCRETE, ids=str)
def test_a_state_costs_the_cross_entropy_of_every_factor(space: spaces.Space) -> None:
    model, drawn = model_of(space, "state"), anywhere(space)
    part = model.parts["state"]
    assert isinstance(part, StateReconstruction)
    outputs = network(part.decoder, embedded(model, drawn.observation))
    sizes = model.raw.features
    assert isinstance(sizes, tuple)
    targets = np.asarray(drawn.observation).reshape(20, -1)
    logits = np.split(outputs, np.cumsum(sizes)[:-1], axis=-1)
    expected = sum(cross_entropy(part, targets[:, k]) for k, part in enumerate(logits))
    assert weighted(model, batch(drawn), {"state": 1.0}) == pytest.approx(expected, rel=1e-5)


def test_a_box_costs_its_squared_error_in_scaled_units() -> None:
    model = jax.tree.map(jnp.zeros_like, model_of(BOX, "state"))
    known = eqx.tree_at(
        lambda m: m.parts["state"].decoder.layers[-1].bias, model, jnp.array([0.5, -1.0])
    )
    # Scaled to (.5, -1) and (-1, 1).
    drawn = steps(np.array([[1.0, 100.0], [-2.0, 101.0]]), [0, 0], np.array([[0.0, 100.5]] * 2))
    expected = (0.0 + (1.5**2 + 2.0**2) / 2) / 2
    assert weighted(known, batch(drawn), {"state": 1.0}) == pytest.approx(expected, rel=1e-6)


def test_an_action_costs_its_cross_entropy() -> None:
    model, drawn = model_of(DISCRETE[0], "action"), anywhere(DISCRETE[0])
    part = model.parts["action"]
    assert isinstance(part, ActionReconstruction)
    logits = network(part.decoder, acted(model, drawn.action))
    expected = cross_entropy(logits, drawn.action)
    assert weighted(model, batch(drawn), {"action": 1.0}) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("objective", "learns", "rests"), [("state", "phi", "g"), ("action", "g", "phi")]
)
def test_each_half_teaches_its_own_encoder(objective: str, learns: str, rests: str) -> None:
    model = model_of(DISCRETE[1], objective)
    drawn = batch(anywhere(DISCRETE[1]))
    gradient = eqx.filter_jit(eqx.filter_grad(loss))(model, drawn, {objective: 1.0})
    for leaf in [*leaves(getattr(gradient, learns)), *leaves(gradient.parts)]:
        assert np.abs(leaf).max() > 0.0
    for leaf in leaves(getattr(gradient, rests)):
        np.testing.assert_array_equal(leaf, np.zeros_like(leaf))


def test_an_autoencoder_tells_every_state_and_action() -> None:
    weights = dict(METHODS["autoencoder"].objectives)
    untrained = ring_model(CONFIG, KEY, objectives=tuple(weights))
    model, losses = trained(untrained, drawing(ring(), 48), weights, 600)
    assert losses[0] == pytest.approx(np.log(STATES) + np.log(6), rel=0.1)
    assert losses[-20:].mean() < 0.05
    # Actions that do the same are as far apart as others: it does not know what they do.
    assert not alike_lie_together(model.g.table)


def test_an_autoencoder_tells_every_place_in_a_box() -> None:
    untrained = JointEmbedding(BOX, FOUR, CONFIG, objectives=("state",), key=KEY)
    world = anywhere(BOX, count=400)
    _, losses = trained(untrained, drawing(world, 64), {"state": 1.0}, 600)
    assert losses[0] > 0.2
    assert losses[-20:].mean() < 1e-3


def test_dct_knows_what_actions_do_and_still_tells_them_apart() -> None:
    weights = dict(METHODS["dct"].objectives)
    assert set(weights) == {"forward", "action"}
    config = EmbeddingConfig(state_dim=3, action_dim=2)
    jsae, _ = trained(ring_model(config, KEY), drawing(ring(), 48), {"forward": 1.0}, 600)
    untrained = JointEmbedding(
        spaces.Discrete(STATES), ACTIONS, config, objectives=tuple(weights), key=KEY
    )
    model, losses = trained(untrained, drawing(ring(), 48), weights, 600)
    assert losses[-20:].mean() < 0.3
    distance = between(model.g.table)
    duplicates = distance[[0, 2, 4], [1, 3, 5]]
    assert duplicates.min() > 3 * between(jsae.g.table)[[0, 2, 4], [1, 3, 5]].max()
    # And yet nearest to each is its duplicate.
    nearest = (distance + 9.0 * np.eye(6)).argmin(-1)
    np.testing.assert_array_equal(nearest, [1, 0, 3, 2, 5, 4])
