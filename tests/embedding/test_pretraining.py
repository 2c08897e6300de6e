"""Training: on a ring whose best embedding is known, whole or in pieces."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from gymnasium import spaces
from worlds import (
    STATES,
    alike_lie_together,
    batch,
    drawing,
    in_lane,
    leaves,
    ring,
    ring_model,
)

from embrl.core.types import Transition
from embrl.data.replay import Segments, draw_segments
from embrl.decoding.tree import listed
from embrl.embedding.chosen_rows import narrowed_state, widened_state
from embrl.embedding.config import EmbeddingConfig, PretrainConfig
from embrl.embedding.model import JointEmbedding
from embrl.embedding.pretraining import FitState, fit, learning_rate, loss, start

KEY = jax.random.key(0)
CONFIG = EmbeddingConfig(state_dim=3, action_dim=2, transition_hidden=(16,), head_hidden=(16,))
FORWARD = {"forward": 1.0}
BATCH = 48


@jax.jit
def piece(
    state: FitState, transitions: Transition, key: jax.Array, numbers: jax.Array
) -> tuple[FitState, jax.Array]:
    """The steps with the given numbers, each with a key of its own."""
    keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(numbers)
    rates = learning_rate(PretrainConfig(gradient_steps=400), numbers)
    return fit(state, drawing(transitions, BATCH), keys, rates, weights=FORWARD)


@eqx.filter_jit
def predict(model: JointEmbedding, batch: Transition) -> Any:
    """Logits of the next states."""
    return model.predict(batch.observation, batch.action)


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
    assert (np.argmax(logits, -1) == everything.next_observation).mean() > 0.95


def test_duplicate_actions_lie_closer_than_different_ones(
    trained: tuple[JointEmbedding, np.ndarray],
) -> None:
    assert alike_lie_together(trained[0].g.table)


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
        # Adam turns the rounding of gradients near 0 into steps, and programs round differently.
        np.testing.assert_allclose(one, two, atol=5e-3)


def test_rows_that_no_data_train_may_be_left_out() -> None:
    model = JointEmbedding(spaces.Discrete(STATES), spaces.Discrete(40), CONFIG, key=KEY)
    few = ring()._replace(action=jnp.asarray(7 * np.asarray(ring().action) % 40))
    keys, rates = jax.random.split(KEY, 12), np.full(12, 0.01, np.float32)
    chosen = listed(jnp.asarray(np.isin(np.arange(40), few.action)), 9)

    @jax.jit
    def half(
        state: FitState, keys: jax.Array, rates: jax.Array, rows: jax.Array | None
    ) -> FitState:
        narrow = state if rows is None else narrowed_state(state, rows)
        after, _ = fit(narrow, drawing(few, BATCH), keys, rates, weights=FORWARD)
        return after if rows is None else widened_state(state, after, rows)

    whole = part = start(model)
    for which in (slice(0, 6), slice(6, 12)):
        whole = half(whole, keys[which], rates[which], None)
        part = half(part, keys[which], rates[which], chosen)
    for one, two in zip(leaves(whole), leaves(part), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)
    untouched: Any = part.model.g, model.g
    np.testing.assert_array_equal(untouched[0].rows[5], untouched[1].rows[5])


def test_fitting_is_a_loop_of_adam_s_steps() -> None:
    # Step by step in Python, outside of any scan, with optax's own optimiser and schedule.
    config, everything, steps = PretrainConfig(gradient_steps=400), ring(), 10
    model = ring_model(CONFIG, KEY)
    adam = optax.adam(optax.cosine_decay_schedule(config.learning_rate, config.gradient_steps))
    optimiser = adam.init(eqx.filter(model, eqx.is_array))

    @eqx.filter_jit
    def step(
        model: JointEmbedding, optimiser: Any, batch: Segments
    ) -> tuple[JointEmbedding, Any, jax.Array]:
        value, gradient = eqx.filter_value_and_grad(loss)(model, batch, FORWARD)
        update, optimiser = adam.update(gradient, optimiser)
        return eqx.apply_updates(model, update), optimiser, value

    expected = []
    for number in range(steps):
        key = jax.random.fold_in(KEY, number)
        chosen = np.asarray(jax.random.randint(key, (BATCH,), 0, len(everything.action)))
        drawn = jax.tree.map(lambda column, at=chosen: np.asarray(column)[at], everything)
        model, optimiser, value = step(model, optimiser, batch(drawn))
        expected.append(value)
    state, losses = piece(start(ring_model(CONFIG, KEY)), everything, KEY, jnp.arange(steps))
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    for one, two in zip(leaves(state.model), leaves(model), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-5)


def test_seeds_side_by_side_are_seeds_one_by_one() -> None:
    def run(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        state, losses = piece(start(ring_model(CONFIG, key)), ring(), key, jnp.arange(10))
        return losses, state.model.g.rows

    keys = jax.random.split(KEY, 3)
    together = jax.jit(jax.vmap(run))(keys)
    for index, key in enumerate(keys):
        for ours, theirs in zip(map(np.asarray, together), run(key), strict=True):
            np.testing.assert_allclose(ours[index], theirs, rtol=1e-4, atol=1e-6)


def test_states_that_were_never_visited_do_no_harm() -> None:
    seen = ring(np.arange(STATES // 2))  # and one step beyond on either side
    everything = jax.tree.map(lambda column: jnp.asarray(np.tile(column, 2)), seen)
    (model, _), _ = piece(start(ring_model(CONFIG, KEY)), everything, KEY, jnp.arange(400))
    assert all(np.isfinite(leaf).all() for leaf in leaves(model))
    [logits] = predict(model, seen)
    assert (np.argmax(logits, -1) == seen.next_observation).mean() > 0.95
    assert np.abs(model.phi(jnp.arange(STATES))).max() < 1.0


def test_the_learning_rate_falls_along_half_a_cosine() -> None:
    config = PretrainConfig(gradient_steps=100, learning_rate=0.02)
    rates = np.asarray(learning_rate(config, jnp.array([0, 25, 50, 75, 100, 500])))
    expected = 0.01 * (1 + np.cos(np.pi * np.array([0, 0.25, 0.5, 0.75, 1, 1])))
    np.testing.assert_allclose(rates, expected, atol=1e-8)


def test_no_learning_rate_no_learning() -> None:
    model = ring_model(CONFIG, KEY)
    keys = jax.random.split(KEY, 3)
    state, losses = fit(start(model), drawing(ring(), 8), keys, jnp.zeros(3), weights=FORWARD)
    assert np.isfinite(losses).all()
    for before, after in zip(leaves(model), leaves(state.model), strict=True):
        np.testing.assert_array_equal(before, after)


# Several objectives

SEVERAL = {"forward": 2.0, "action": 0.5, "reward": 0.0, "latent": 0.25}


def several_model() -> JointEmbedding:
    return ring_model(CONFIG, KEY, objectives=tuple(SEVERAL))


def segments(count: int = 16, steps: int = 3) -> Segments:
    return draw_segments(in_lane(ring()), KEY, count, steps)


def test_the_loss_is_the_weighted_sum_of_the_parts() -> None:
    model, drawn = several_model(), segments()
    first = jax.tree.map(lambda column: column[0], drawn.steps)
    parts = model.parts

    some = {"latent": 1.0, "forward": 0.5}

    @eqx.filter_jit
    def alone() -> tuple[dict[str, jax.Array], jax.Array, jax.Array]:
        values = {name: parts[name](model, first) for name in ("forward", "action", "reward")}
        values["latent"] = parts["latent"](model, drawn.steps, drawn.mask)  # type: ignore[call-arg]
        return values, loss(model, drawn, SEVERAL), loss(model, drawn, some)

    values, of_several, of_some = alone()
    assert all(float(value) > 0.1 for value in values.values())
    expected = sum(weight * float(values[name]) for name, weight in SEVERAL.items())
    assert of_several == pytest.approx(expected, rel=1e-5)
    expected = float(values["latent"]) + 0.5 * float(values["forward"])
    assert of_some == pytest.approx(expected, rel=1e-5)


def test_weights_may_be_traced() -> None:
    @eqx.filter_jit
    def at(model: JointEmbedding, weight: jax.Array) -> jax.Array:
        return loss(model, batch(ring()), {"forward": weight})  # type: ignore[dict-item]

    model = ring_model(CONFIG, KEY)
    assert at(model, jnp.float32(3.0)) == pytest.approx(3 * float(at(model, jnp.float32(1.0))))


def test_without_objectives_there_is_nothing_to_learn() -> None:
    model = ring_model(CONFIG, KEY, objectives=())
    assert model.parts == {}
    keys = jax.random.split(KEY, 3)
    state, losses = fit(start(model), drawing(ring(), 8), keys, jnp.ones(3), weights={})
    np.testing.assert_array_equal(losses, np.zeros(3))
    for before, after in zip(leaves(model), leaves(state.model), strict=True):
        np.testing.assert_array_equal(before, after)


# Frozen parts


@eqx.filter_jit
def run(state: FitState, frozen: tuple[str, ...]) -> FitState:
    def draw(key: jax.Array) -> Segments:
        return draw_segments(in_lane(ring()), key, 16, 3)

    keys, rates = jax.random.split(KEY, 4), jnp.full(4, 0.01)
    return fit(state, draw, keys, rates, weights={"forward": 2.0, "action": 0.5}, frozen=frozen)[0]


@pytest.mark.parametrize("frozen", [("g",), ("phi", "parts")])
@pytest.mark.parametrize("warm", [False, True])
def test_frozen_parts_stay_bit_by_bit_while_others_move(
    frozen: tuple[str, ...], warm: bool
) -> None:
    before = start(ring_model(CONFIG, KEY, objectives=("forward", "action")))
    if warm:  # Adam remembers gradients of all parts
        before = run(before, ())
    after = run(before, frozen).model
    for part in ("phi", "g", "parts"):
        pairs = list(
            zip(leaves(getattr(before.model, part)), leaves(getattr(after, part)), strict=True)
        )
        same = [np.array_equal(one, two) for one, two in pairs]
        assert len(same) > 0
        assert all(same) if part in frozen else not all(same)


def test_raw_states_can_be_frozen_too() -> None:
    model = ring_model(CONFIG, KEY, states=False, objectives=("inverse",))
    keys = jax.random.split(KEY, 2)
    after, _ = fit(
        start(model),
        drawing(ring(), 8),
        keys,
        jnp.full(2, 0.01),
        weights={"inverse": 1.0},
        frozen=("phi", "parts"),
    )
    for one, two in zip(leaves(model.parts), leaves(after.model.parts), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(model.g.table, after.model.g.table)
