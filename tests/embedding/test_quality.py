"""Measures of embeddings that were laid out by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from embrl.core.types import Transition
from embrl.data.replay import Segments
from embrl.embedding.config import EmbeddingConfig
from embrl.embedding.model import JointEmbedding
from embrl.embedding.pretraining import loss
from embrl.embedding.quality import CHUNK, MAX_COMPARED, Quality, filled_up, measure

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
        EmbeddingConfig(
            state_dim=x.shape[1], action_dim=e.shape[1], transition_hidden=(), head="softmax"
        ),
        key=KEY,
    )
    model = jax.tree.map(lambda leaf: jnp.asarray(np.zeros(leaf.shape, leaf.dtype)), model)
    model = eqx.tree_at(
        lambda m: (m.phi.network.layers[0].table, m.g.rows),
        model,
        tuple(jnp.asarray(np.arctanh(np.asarray(each, np.float32))) for each in (x, e)),
    )
    if bias is not None:
        model = eqx.tree_at(
            lambda m: m.parts["forward"].T.network.layers[0].bias, model, jnp.asarray(bias)
        )
    return model


def arriving(next_states: list[int]) -> Transition:
    """Transitions from state 0 by action 0, in one lane, `[T, 1]`."""
    zeros = np.zeros((len(next_states), 1), np.int32)
    after = np.asarray(next_states, np.int32)[:, None]
    return in_jax(zeros, zeros, after)


def in_jax(state: np.ndarray, action: np.ndarray, after: np.ndarray) -> Transition:
    """Transitions without reward that never end; made without compiling anything."""
    nothing = np.zeros(state.shape, bool)
    columns = (state, action, np.zeros(state.shape, np.float32), after, nothing, nothing)
    return Transition(*map(jnp.asarray, columns))


def measured(
    model: JointEmbedding,
    visited: list[int],
    coordinates: np.ndarray | None = None,
    effects: np.ndarray | None = None,
    after: list[int] | None = None,
    names: tuple[str, ...] | None = None,
) -> Quality:
    """Of a model, with the defaults of this file."""
    return measure(
        model,
        {"forward": 1.0},
        arriving(after or [0]),
        np.asarray(visited, np.int32),
        observation_space=spaces.Discrete(len(model.phi.points[0])),
        state_coordinates=coordinates,
        coordinate_names=names,
        action_effects=effects,
    )


def test_loss_and_accuracy_are_those_of_what_was_held_out() -> None:
    p = np.array([0.5, 0.25, 0.125, 0.0625, 0.0625], np.float32)
    quality = measured(laid_out(X, E, np.log(p)), [0, 1], after=[0, 0, 1, 3])
    assert quality.held_out_loss == pytest.approx(np.log(2) * (1 + 1 + 2 + 4) / 4, rel=1e-5)
    assert quality.next_state_accuracy == 0.5
    assert quality.next_state_r2 is None


def test_loss_and_accuracy_of_many_transitions_are_those_of_all() -> None:
    p = np.array([0.5, 0.25, 0.125, 0.0625, 0.0625], np.float32)
    after = [0] * CHUNK + [1] * (CHUNK // 2)  # more than are predicted at once
    quality = measured(laid_out(X, E, np.log(p)), [0, 1], after=after)
    assert quality.held_out_loss == pytest.approx(np.log(2) * 4 / 3, rel=1e-5)
    assert quality.next_state_accuracy == pytest.approx(2 / 3)


@pytest.mark.parametrize("objectives", [{"state": 1.0, "action": 0.5}, {"latent": 2.0}])
def test_methods_without_next_states_have_the_loss_that_they_are_trained_on(
    objectives: dict[str, float],
) -> None:
    states, actions = spaces.Discrete(6), spaces.Discrete(4)
    model = JointEmbedding(
        states, actions, EmbeddingConfig(state_dim=3), objectives=tuple(objectives), key=KEY
    )
    state = np.random.default_rng(0).integers(6, size=(40, 2), dtype=np.int32)
    held_out = in_jax(state, state % 4, (state + 1) % 6)
    quality = measure(
        model, objectives, held_out, np.arange(6), observation_space=states, horizon=1
    )
    flat = in_jax(*(x.reshape(1, -1) for x in (state, state % 4, (state + 1) % 6)))
    segments = Segments(flat, jnp.asarray(np.ones((1, 80), bool)))
    expected = eqx.filter_jit(loss)(model, segments, objectives)
    assert quality.held_out_loss == pytest.approx(float(expected))
    assert quality.next_state_accuracy is None
    longer = measure(model, objectives, held_out, np.arange(6), observation_space=states, horizon=3)
    assert longer.held_out_loss is not None
    assert np.isfinite(longer.held_out_loss)


def test_what_is_trained_on_nothing_has_no_loss() -> None:
    model = JointEmbedding(
        spaces.Discrete(5), spaces.Discrete(4), EmbeddingConfig(state_dim=2), objectives=(), key=KEY
    )
    quality = measure(
        model, {}, arriving([0, 1]), np.arange(5), observation_space=spaces.Discrete(5)
    )
    assert quality.held_out_loss is None
    assert quality.next_state_accuracy is None
    assert quality.state_pairs_compared == 10


def test_raw_states_have_no_measures_of_an_embedding() -> None:
    space = spaces.Discrete(5)
    model = JointEmbedding(
        space, spaces.Discrete(4), EmbeddingConfig(), states=False, objectives=("inverse",), key=KEY
    )
    quality = measure(
        model,
        {"inverse": 1.0},
        arriving([0, 1]),
        np.arange(5),
        observation_space=space,
        state_coordinates=np.arange(5.0)[:, None],
    )
    assert quality.held_out_loss is not None
    assert quality.states_visited == 5
    assert quality.state_pairs_compared is None
    assert quality.state_distance_correlation is None
    assert quality.state_feature_probing == {}
    assert quality.action_pairs_compared == 6


def test_of_a_box_the_share_of_variance_that_t_explains() -> None:
    space = spaces.Box(np.array([-1.0, 0.0], np.float32), np.array([1.0, 4.0], np.float32))
    model = JointEmbedding(
        space, spaces.Discrete(3), EmbeddingConfig(state_dim=2, state_hidden=()), key=KEY
    )
    model = jax.tree.map(jnp.zeros_like, model)
    # phi is nearly linear for small x, and T undoes it: the guess is that nothing changes.
    small = 0.01
    model = eqx.tree_at(
        lambda m: (m.phi.network.layers[0].weight, m.parts["forward"].T.decoder.weight),
        model,
        (small * jnp.eye(2), jnp.eye(2) / small),
    )
    random = np.random.default_rng(0)
    before = (random.uniform(-1, 1, (200, 2)) * [1, 2] + [0, 2]).astype(np.float32)
    wide = np.clip(before + random.normal(0, 0.3, (200, 2)) * [1, 2], [-1, 0], [1, 4])
    wide = wide.astype(np.float32)
    none = jnp.zeros((200, 1), bool)
    held_out = Transition(
        jnp.asarray(before)[:, None],
        none.astype(jnp.int32),
        none * 1.0,
        jnp.asarray(wide)[:, None],
        none,
        none,
    )
    quality = measure(model, {"forward": 1.0}, held_out, before, observation_space=space)
    scale = np.array([1, 2])
    error = (((wide - before) / scale) ** 2).sum()
    around = (((wide - wide.mean(0)) / scale) ** 2).sum()
    assert quality.next_state_r2 == pytest.approx(1 - error / around, abs=1e-3)
    assert quality.next_state_accuracy is None
    assert quality.held_out_loss == pytest.approx(error / 400, rel=1e-2)
    assert quality.states_visited is quality.states_total is quality.state_pairs_coinciding is None
    # X is the box itself, only smaller.
    assert quality.state_distance_correlation == pytest.approx(1.0, abs=1e-3)
    assert quality.state_feature_probing["dimension 1"] > 0.99


def test_features_that_are_lost_are_named() -> None:
    """phi depends on a cell's column only."""
    cells = np.arange(400)
    column, row = cells % 20, cells // 20
    model = laid_out(np.stack([column / 30.0, np.zeros(400)], axis=1), E)
    quality = measured(model, cells.tolist(), np.stack([column, row], 1) / 20.0, names=("x", "y"))
    assert quality.state_features_lost == ["y"]
    assert quality.state_feature_probing["x"] > 0.99
    assert quality.state_feature_probing["y"] < 0.1


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
    count = MAX_COMPARED + 100
    x = np.tanh(np.linspace(-1, 1, count))[:, None] * np.ones(2)
    quality = measured(
        laid_out(x, E), list(range(count)), coordinates=np.linspace(0, 1, count)[:, None]
    )
    assert quality.states_visited == count
    assert quality.state_pairs_compared == MAX_COMPARED * (MAX_COMPARED - 1) // 2
    assert quality.state_distance_correlation is not None
    assert quality.state_distance_correlation > 0.95


def test_a_coordinate_that_its_bounds_hide_is_named_and_measures_of_nothing_are_null() -> None:
    # The first hardly varies between its bounds, the second not at all, the third as they say.
    space = spaces.Box(np.array([-100.0, 0.0, -1.0]), np.array([100.0, 1.0, 1.0]), dtype=np.float64)
    model = JointEmbedding(space, spaces.Discrete(2), EmbeddingConfig(state_dim=2), key=KEY)
    rng = np.random.default_rng(0)
    seen = rng.uniform([5.0, 0.5, -1], [5.1, 0.5, 1], (40, 1, 3)).astype(np.float32)
    zeros = np.zeros((40, 1), np.int32)

    def quality_of(after: np.ndarray) -> Quality:
        columns = (seen, zeros, zeros * 1.0, after, zeros > 0, zeros > 0)
        held_out = Transition(*map(jnp.asarray, columns))
        return measure(model, {"forward": 1.0}, held_out, seen[:, 0], observation_space=space)

    (note,) = quality_of(seen).notes
    assert note.startswith("dimension 0 has a standard deviation of 0.0003")
    still = quality_of(seen[:1] + 1e-5 * seen)
    assert still.next_state_r2 is None
    assert any("next_state_r2 is null" in note for note in still.notes)
    assert quality_of(seen).next_state_r2 is not None


def test_rows_of_actions_that_were_never_tried_are_not_compared() -> None:
    states = spaces.Discrete(4)
    model = JointEmbedding(states, spaces.Discrete(5), EmbeddingConfig(), key=KEY)
    rows = jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    model = eqx.tree_at(lambda m: m.g.rows, model, rows)
    found = measure(
        model,
        {},
        arriving([1]),
        np.arange(4),
        observation_space=states,
        tried=np.array([0, 1, 4]),
    )
    assert found.actions_tried == 3
    assert found.action_pairs_compared == 3
    assert found.action_pairs_coinciding == 0


def test_embeddings_with_other_numbers_of_states_share_programs():
    """Those of several seeds differ in what random actions have seen."""
    rows = np.arange(5)[:, None]
    assert filled_up(rows).shape == filled_up(rows[:-1].repeat(2, 0)).shape == (8, 1)
    np.testing.assert_array_equal(filled_up(rows)[:, 0], [0, 1, 2, 3, 4, 4, 4, 4])
    np.testing.assert_array_equal(filled_up(rows[:1]), rows[:1])
