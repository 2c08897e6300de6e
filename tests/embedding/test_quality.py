"""Measures of embeddings that were laid out by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from embrl.embedding.model import JointEmbedding, ModelConfig
from embrl.embedding.quality import MOST, Quality, measure
from embrl.types import Transition

KEY = jax.random.key(0)

X = np.array([[0.0, 0.0], [0.006, 0.0], [0.012, 0.0], [0.3, 0.0], [-0.5, 0.0]])
"""Five states on a line; 0-1 and 1-2 lie closer than .01, 0-2 does not."""

E = np.array([[0.0, 0.0], [0.0, 0.005], [0.3, 0.0], [0.0, 0.4]])
"""Four actions; 0 and 1 lie closer than .01."""


def laid_out(x: np.ndarray, e: np.ndarray, bias: np.ndarray | None = None) -> JointEmbedding:
    """A model with these embeddings; T does not look at them and predicts softmax(bias)."""
    model = JointEmbedding(
        spaces.Discrete(len(x)),
        spaces.Discrete(len(e)),
        ModelConfig(m=x.shape[1], d=e.shape[1], transition_hidden=(), head="softmax"),
        key=KEY,
    )
    model = jax.tree.map(jnp.zeros_like, model)
    model = eqx.tree_at(
        lambda m: (m.phi.network.layers[0].table, m.g.rows),
        model,
        (jnp.arctanh(jnp.asarray(x, jnp.float32)), jnp.arctanh(jnp.asarray(e, jnp.float32))),
    )
    if bias is not None:
        model = eqx.tree_at(lambda m: m.T.network.layers[0].bias, model, jnp.asarray(bias))
    return model


def arriving(next_states: list[int]) -> Transition:
    """Transitions from state 0 by action 0."""
    zeros = jnp.zeros(len(next_states), jnp.int32)
    after = jnp.asarray(next_states, jnp.int32)
    return Transition(zeros, zeros, zeros * 1.0, after, zeros > 0, zeros > 0)


def measured(
    model: JointEmbedding,
    visited: list[int],
    coordinates: np.ndarray | None = None,
    effects: np.ndarray | None = None,
    after: list[int] | None = None,
) -> Quality:
    """Of a model, with the defaults of this file."""
    return measure(
        model,
        arriving(after or [0]),
        np.asarray(visited, np.int32),
        states_total=len(model.phi.points[0]),
        state_coordinates=coordinates,
        action_effects=effects,
    )


def test_loss_and_accuracy_are_those_of_what_was_held_out() -> None:
    p = np.array([0.5, 0.25, 0.125, 0.0625, 0.0625], np.float32)
    quality = measured(laid_out(X, E, np.log(p)), [0, 1], after=[0, 0, 1, 3])
    assert quality.held_out_loss == pytest.approx(np.log(2) * (1 + 1 + 2 + 4) / 4, rel=1e-5)
    assert quality.next_state_accuracy == 0.5


def test_states_that_coincide_are_counted_and_held_against_the_truth() -> None:
    # States 1 and 2 are the same to the environment, 0 is not.
    truth = np.array([[0.0], [1.0], [1.0], [2.0], [5.0]])
    quality = measured(laid_out(X, E), [0, 1, 2, 3, 4], coordinates=truth)
    assert quality.states_visited == quality.states_total == 5
    assert quality.state_pairs_compared == 10
    assert quality.state_pairs_coinciding == 2
    assert quality.state_pairs_coinciding_wrongly == 1


def test_only_visited_states_are_compared() -> None:
    truth = np.array([[0.0], [3.0], [8.0]])  # of states 0, 3, 4; distances .3, .5, .8
    quality = measured(laid_out(X, E), [0, 3, 4], coordinates=truth)
    assert quality.states_visited == 3
    assert quality.states_total == 5
    assert quality.state_pairs_compared == 3
    assert quality.state_pairs_coinciding == 0
    # Distances .3, .5, .8 against 3, 8, 5: ranks 1 2 3 against 1 3 2.
    assert quality.state_distance_correlation == pytest.approx(0.5)


def test_actions_are_held_against_their_effects() -> None:
    effects = np.array([[0.0], [0.0], [1.0], [2.0]])
    quality = measured(laid_out(X, E), [0], effects=effects)
    distances = np.array([0.005, 0.3, 0.4, np.hypot(0.3, 0.005), 0.395, 0.5])
    assert quality.action_pairs_compared == 6
    assert quality.action_pairs_coinciding == 1
    assert quality.action_pairs_coinciding_wrongly == 0
    assert quality.action_pairs_equal == 1
    assert quality.action_distance_equal == pytest.approx(0.005 / distances.mean(), rel=1e-4)
    # Pairs 01 02 03 12 13 23 have ranks 1 2 5 3 4 6, and by effect 1 3 5.5 3 5.5 3: 10 of
    # sqrt(17.5 * 15).
    assert quality.action_distance_correlation == pytest.approx(10 / np.sqrt(17.5 * 15))


def test_different_actions_that_coincide_do_so_wrongly() -> None:
    effects = np.array([[0.0], [0.5], [1.0], [2.0]])
    quality = measured(laid_out(X, E), [0], effects=effects)
    assert quality.action_pairs_coinciding_wrongly == 1
    assert quality.action_pairs_equal == 0
    assert quality.action_distance_equal is None


def test_what_the_environment_cannot_tell_is_none() -> None:
    quality = measured(laid_out(X, E), [0, 1, 2, 3, 4])
    assert quality.state_pairs_coinciding == 2
    assert quality.action_pairs_coinciding == 1
    for name in (
        "state_pairs_coinciding_wrongly",
        "state_distance_correlation",
        "action_pairs_coinciding_wrongly",
        "action_pairs_equal",
        "action_distance_equal",
        "action_distance_correlation",
    ):
        assert getattr(quality, name) is None


def test_of_many_states_a_part_is_compared() -> None:
    count = MOST + 100
    x = np.tanh(np.linspace(-1, 1, count))[:, None] * np.ones(2)
    quality = measured(
        laid_out(x, E), list(range(count)), coordinates=np.linspace(0, 1, count)[:, None]
    )
    assert quality.states_visited == count
    assert quality.state_pairs_compared == MOST * (MOST - 1) // 2
    assert quality.state_distance_correlation is not None
    assert quality.state_distance_correlation > 0.95
