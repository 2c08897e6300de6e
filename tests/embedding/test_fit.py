"""Training: on a ring whose best embedding is known, whole or in pieces."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from worlds import MOVES, STATES, ring, ring_model

from embrl.embedding.fit import FitConfig, FitState, fit, learning_rate, loss, start
from embrl.embedding.model import JointEmbedding, ModelConfig
from embrl.training.program import Purpose, purpose
from embrl.types import Transition

KEY = jax.random.key(0)
CONFIG = ModelConfig(m=3, d=2, transition_hidden=(16,))
FORWARD = (("forward", 1.0),)


@jax.jit
def piece(
    state: FitState, transitions: Transition, key: jax.Array, steps: jax.Array
) -> tuple[FitState, jax.Array]:
    """The steps with the given numbers, as `embrl.training.program` takes them."""
    keys = jax.vmap(lambda step: purpose(key, Purpose.FIT, step))(steps)
    rates = learning_rate(FitConfig(steps=400), steps)
    return fit(state, transitions, keys, rates, batch=48, objectives=FORWARD)


@eqx.filter_jit
def predict(model: JointEmbedding, batch: Transition) -> tuple[jax.Array, ...]:
    """Logits of the next states."""
    return model.predict(batch.observation, batch.action)


def leaves(tree: Any) -> list[np.ndarray]:
    """All arrays."""
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array))]


@pytest.fixture(scope="module")
def trained() -> tuple[JointEmbedding, np.ndarray]:
    """A model of the ring after 400 steps, and its losses."""
    state, losses = piece(start(ring_model(CONFIG, KEY)), ring(), KEY, jnp.arange(400))
    return state.model, np.asarray(losses)


def test_the_loss_falls(trained: tuple[JointEmbedding, np.ndarray]) -> None:
    _, losses = trained
    assert losses[0] == pytest.approx(np.log(STATES), rel=0.2)
    assert losses[-20:].mean() < 0.15


def test_next_states_are_predicted(trained: tuple[JointEmbedding, np.ndarray]) -> None:
    model, everything = trained[0], ring()
    [logits] = predict(model, everything)
    assert (logits.argmax(-1) == everything.next_observation).mean() > 0.95


def test_duplicate_actions_lie_closer_than_different_ones(
    trained: tuple[JointEmbedding, np.ndarray],
) -> None:
    e = np.asarray(trained[0].g.table)
    distance = np.linalg.norm(e[:, None] - e, axis=-1)
    alike = MOVES[:, None] == MOVES
    duplicates = distance[alike & ~np.eye(len(MOVES), dtype=bool)]
    assert duplicates.max() < 0.5 * distance[~alike].min()


def test_the_same_key_gives_the_same_model() -> None:
    def model(key: jax.Array, fit_key: jax.Array) -> list[np.ndarray]:
        return leaves(piece(start(ring_model(CONFIG, key)), ring(), fit_key, jnp.arange(10)))

    once, again, other = model(KEY, KEY), model(KEY, KEY), model(KEY, jax.random.key(1))
    for one, two in zip(once, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert any((one != two).any() for one, two in zip(once, other, strict=True))


def test_two_pieces_are_the_same_as_the_whole() -> None:
    whole, losses = piece(start(ring_model(CONFIG, KEY)), ring(), KEY, jnp.arange(20))
    first, losses_1 = piece(start(ring_model(CONFIG, KEY)), ring(), KEY, jnp.arange(10))
    second, losses_2 = piece(first, ring(), KEY, jnp.arange(10, 20))
    np.testing.assert_allclose(losses, np.concatenate([losses_1, losses_2]), rtol=1e-5)
    for one, two in zip(leaves(whole), leaves(second), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


def test_fitting_is_a_loop_of_adam_s_steps() -> None:
    # Step by step in Python, outside of any scan, with optax's own optimiser and schedule.
    config, everything, steps = FitConfig(steps=400), ring(), 5
    model = ring_model(CONFIG, KEY)
    adam = optax.adam(optax.cosine_decay_schedule(config.learning_rate, config.steps))
    optimiser = adam.init(eqx.filter(model, eqx.is_array))

    @eqx.filter_jit
    def step(
        model: JointEmbedding, optimiser: Any, batch: Transition
    ) -> tuple[JointEmbedding, Any, jax.Array]:
        value, gradient = eqx.filter_value_and_grad(loss)(model, batch, FORWARD)
        update, optimiser = adam.update(gradient, optimiser)
        return eqx.apply_updates(model, update), optimiser, value

    expected = []
    for number in range(steps):
        key = purpose(KEY, Purpose.FIT, number)
        chosen = jax.random.randint(key, (48,), 0, len(everything.action))
        drawn = jax.tree.map(lambda column, chosen=chosen: column[chosen], everything)
        model, optimiser, value = step(model, optimiser, drawn)
        expected.append(value)
    state, losses = piece(start(ring_model(CONFIG, KEY)), everything, KEY, jnp.arange(steps))
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    for one, two in zip(leaves(state.model), leaves(model), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-5)


def test_states_that_were_never_visited_do_no_harm() -> None:
    seen = ring(np.arange(STATES // 2))  # and one step beyond on either side
    everything = jax.tree.map(lambda column: jnp.tile(column, (2, 1)[: column.ndim]), seen)
    (model, _), _ = piece(start(ring_model(CONFIG, KEY)), everything, KEY, jnp.arange(400))
    assert all(np.isfinite(leaf).all() for leaf in leaves(model))
    [logits] = predict(model, seen)
    assert (logits.argmax(-1) == seen.next_observation).mean() > 0.95
    assert np.abs(model.phi(jnp.arange(STATES))).max() < 1.0


def test_the_learning_rate_falls_along_half_a_cosine() -> None:
    config = FitConfig(steps=100, learning_rate=0.02)
    rates = np.asarray(learning_rate(config, jnp.array([0, 25, 50, 75, 100, 500])))
    expected = 0.01 * (1 + np.cos(np.pi * np.array([0, 0.25, 0.5, 0.75, 1, 1])))
    np.testing.assert_allclose(rates, expected, atol=1e-8)


def test_no_learning_rate_no_learning() -> None:
    model = ring_model(CONFIG, KEY)
    keys = jax.random.split(KEY, 3)
    state, losses = fit(start(model), ring(), keys, jnp.zeros(3), batch=8, objectives=FORWARD)
    assert np.isfinite(losses).all()
    for before, after in zip(leaves(model), leaves(state.model), strict=True):
        np.testing.assert_array_equal(before, after)
