"""Observations of factors and numbers together: rows, an encoder and a prediction for each."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from embrl.algorithms.networks import JointFeatures, network
from embrl.core.errors import EmbrlError
from embrl.core.layers import MixedLinear
from embrl.core.nn import MLP
from embrl.core.products import Mixed
from embrl.core.spaces import check_observation, from_json, state_count, to_json
from embrl.core.types import Transition
from embrl.embedding.config import EmbeddingConfig, EmbeddingShape
from embrl.embedding.encoders import RawStates, as_vector, vector_size
from embrl.embedding.methods import METHODS
from embrl.embedding.model import JointEmbedding
from embrl.embedding.objectives.rewards import Outcome
from embrl.embedding.portable import phi_chain, row_code_steps
from embrl.embedding.seen_states import remember, unseen_fraction
from embrl.embedding.transition import RowPrediction, as_prediction, observation_loss
from embrl.portable.steps import Chain

SPACE = spaces.Tuple((spaces.MultiDiscrete([3, 2]), spaces.Box(-2.0, 2.0, (2,))))
ROWS = np.array([[2, 0, 1.0, -2.0], [0, 1, 0.5, 0.0]], np.float32)


def embedding(method="jsae"):
    objectives = tuple(name for name, _ in METHODS[method].objectives)
    return JointEmbedding(
        SPACE,
        spaces.Discrete(4),
        EmbeddingConfig(),
        states=METHODS[method].states,
        objectives=objectives,
        key=jax.random.key(0),
    )


def test_a_layer_adds_the_rows_of_factors_and_the_product_of_numbers():
    layer = MixedLinear(Mixed((3, 2), 2), 5, key=jax.random.key(0))
    table, weight = np.asarray(layer.rows.table), np.asarray(layer.weight)
    expected = [
        table[2] + table[3] + 1.0 * weight[0] - 2.0 * weight[1],
        table[0] + table[4] + 0.5 * weight[0],
    ]
    assert np.allclose(layer(jnp.asarray(ROWS)), expected, atol=1e-6)


def test_the_layer_of_a_row_is_that_of_its_one_hots():
    """With one-hot vectors for factors, the outputs have the variance of a plain layer's."""
    layers = jax.vmap(lambda key: MixedLinear(Mixed((3, 2), 2), 1, key=key)(jnp.asarray(ROWS)[1]))
    found = layers(jax.random.split(jax.random.key(0), 4096))
    assert float(found.var()) == pytest.approx((2 + 0.5**2) / 4, rel=0.1)


def test_numbers_are_scaled_and_factors_left():
    raw = RawStates(SPACE)
    assert raw.features == Mixed((3, 2), 2)
    assert raw(jnp.asarray(ROWS)).tolist() == [[2, 0, 0.5, -1], [0, 1, 0.25, 0]]
    assert raw.indices(jnp.asarray(ROWS)).tolist() == [[2, 0], [0, 1]]
    assert state_count(SPACE) is None


def test_losses_by_hand():
    outputs = jnp.asarray([[0.0, 0.0, 0.0, 1.0, 1.0, 0.5, 0.0]])
    predicted = as_prediction(outputs, Mixed((3, 2), 2))
    assert isinstance(predicted, RowPrediction)
    target = jnp.asarray([[2, 0, 0.5, 1.0]])
    expected = np.log(3) + np.log(2) + (0.0 + 1.0) / 2
    assert observation_loss(predicted, target).tolist() == pytest.approx([expected])


@pytest.mark.parametrize("method", ["jsae", "ra", "autoencoder", "latent"])
def test_methods_learn_from_rows(method):
    model = embedding(method)
    key = jax.random.key(1)
    rows = jnp.concatenate(
        [
            jax.random.randint(key, (2, 64, 2), 0, jnp.array([3, 2])).astype(jnp.float32),
            jax.random.uniform(key, (2, 64, 2), minval=-2.0, maxval=2.0),
        ],
        -1,
    )
    action = jax.random.randint(key, (64,), 0, 4, jnp.int32)
    zeros = jnp.zeros(64)
    batch = Transition(rows[0], action, zeros, rows[1], zeros > 0, zeros > 0)
    for part in model.parts.values():
        assert np.isfinite(float(part(model, batch)))
    x = model.phi(rows[0])
    assert x.shape == (64, 8 if METHODS[method].states else 4)


def test_expected_outcome_is_that_of_the_most_certain_prediction():
    model = embedding()
    outcome = Outcome(
        EmbeddingShape(SPACE, Mixed((3, 2), 2), 8, 4, 2),
        EmbeddingConfig(),
        key=jax.random.key(0),
    )
    outcome = jax.tree.map(lambda leaf: leaf + 0.3, outcome)
    row = jnp.asarray(ROWS[0])
    logits = tuple(
        jnp.where(jnp.arange(size) == row[at].astype(int), 0.0, -50.0)
        for at, size in enumerate((3, 2))
    )
    raw = model.raw(row)
    expected = outcome.scale * outcome.network(raw)[0]
    assert float(outcome.expected(RowPrediction(logits, raw[2:]))) == pytest.approx(
        float(expected), rel=1e-5
    )


def test_portable_forms_answer_alike():
    model = embedding()
    assert np.allclose(phi_chain(model.phi)(ROWS), model.phi(jnp.asarray(ROWS)), atol=1e-6)
    raw = RawStates(SPACE)
    codes: Any = as_vector(raw, SPACE)
    assert codes(jnp.asarray(ROWS)).shape == (2, vector_size(raw))
    assert np.allclose(Chain(row_code_steps(codes))(ROWS), codes(jnp.asarray(ROWS)), atol=1e-6)
    for inputs in (Mixed((3, 2), 2), JointFeatures(8, vector_size(raw))):
        assert network(inputs, (16,), 3, key=jax.random.key(0)) is not None
    beside: Any = MLP(Mixed((3, 2), 2), (4,), 1, beside=3, key=jax.random.key(0)).beside
    assert beside.shape == (3, 4)


def test_factors_are_cells_of_what_was_seen():
    raw = RawStates(SPACE)
    rows = jnp.asarray(np.repeat(ROWS[:1], 8, 0))[None]
    zeros = jnp.zeros((1, 8))
    data = Transition(rows, zeros.astype(int), zeros, rows, zeros > 0, zeros > 0)
    seen, unseen = remember(raw, data, data, None)
    assert float(unseen) == 0.0
    other = rows[0].at[:, 0].set(1.0)  # the same numbers with another value of a factor
    assert float(unseen_fraction(raw, seen, other)) == 1.0


def test_rows_are_checked_and_written_down():
    assert check_observation(SPACE, ROWS).dtype == np.float32
    for wrong, said in (
        ([3, 0, 0, 0], r"part 0 of the observation must be .* 0 to 2, got 3"),
        ([0.5, 0, 0, 0], r"part 0 of the observation must be a whole number"),
        ([0, 0, 3, 0], r"observation 3.* is not in Box"),
        ([0, 0, 0], r"observations with 2 parts and 2 numbers"),
    ):
        with pytest.raises(EmbrlError, match=said):
            check_observation(SPACE, np.array(wrong, np.float32))
    assert from_json(to_json(SPACE), "here") == SPACE
