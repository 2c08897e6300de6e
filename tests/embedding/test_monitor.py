"""Measures of the fit between an embedding and what the agent sees, laid out by hand."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import Space, spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from embrl.core.spaces import state_count
from embrl.core.types import Transition
from embrl.data.replay import Segments
from embrl.embedding import monitor
from embrl.embedding.config import EmbeddingConfig
from embrl.embedding.model import JointEmbedding
from embrl.embedding.monitor import (
    MAX_SURPRISE,
    MEASURES,
    effective_rank,
    embedding_warnings,
    measure,
    reference,
)
from embrl.embedding.objectives import EmbeddingShape, Objective
from embrl.embedding.pretraining import loss
from embrl.embedding.seen_states import MAX_UNSEEN

KEY = jax.random.key(0)
STATES, ACTIONS = spaces.Discrete(30), spaces.Discrete(6)


class Told(Objective):
    """Its loss of a transition stands in the transition, as the reward."""

    def __init__(self, shape: EmbeddingShape, config: EmbeddingConfig, *, key: jax.Array) -> None:
        pass

    def losses(self, model: JointEmbedding, batch: Transition) -> jax.Array:
        return batch.reward

    def __call__(self, model: JointEmbedding, batch: Transition) -> jax.Array:
        return batch.reward.mean()


def embedding(
    space: Space = STATES, objectives: tuple[str, ...] = ("told",), **changes: Any
) -> JointEmbedding:
    return JointEmbedding(
        space,
        ACTIONS,
        EmbeddingConfig(state_dim=4),
        objectives=objectives,
        custom_objectives={"told": Told},
        key=KEY,
        **changes,
    )


def met(
    states: Any, actions: Any = 0, losses: Any = 0.0, after: Any = None, lanes: int = 1
) -> Transition:
    """Transitions `[T, lanes]` of these states."""
    observation = jnp.asarray(states)
    rows = observation.shape[0] // lanes

    def column(value: Any, kind: Any) -> jax.Array:
        return jnp.broadcast_to(jnp.asarray(value, kind), rows * lanes).reshape(rows, lanes)

    def place(value: jax.Array) -> jax.Array:
        return value.reshape(rows, lanes, *value.shape[1:])

    none = column(False, bool)
    following = observation if after is None else jnp.asarray(after)
    return Transition(
        place(observation),
        column(actions, jnp.int32),
        column(losses, jnp.float32),
        place(following),
        none,
        none,
    )


def measured(
    model: JointEmbedding,
    seen: Transition,
    held_out: Transition,
    fresh: Transition,
    space: Space = STATES,
    now: JointEmbedding | None = None,
    **weights: Any,
) -> dict[str, float]:
    found = _measured(model, now or model, weights, seen, held_out, fresh, state_count(space))
    return {name: float(found[name]) for name in MEASURES if name in found}


@eqx.filter_jit
def _measured(model, now, weights, seen, held_out, fresh, states) -> dict[str, jax.Array]:
    """One program, which compiles sooner than its operations do one by one."""
    found = reference(model, weights, seen, held_out, states=states)
    return measure(now, weights, found, fresh)


SEEN = met(jnp.arange(20, dtype=jnp.int32))


# Effective rank


def test_rank_counts_the_directions_that_vary_alike() -> None:
    corners = jnp.concatenate([jnp.eye(5), -jnp.eye(5)])
    assert effective_rank(corners) == pytest.approx(5.0)
    assert effective_rank(corners * jnp.array([1.0, 1.0, 1.0, 0.0, 0.0])) == pytest.approx(3.0)
    assert effective_rank(jnp.outer(jnp.arange(7.0), jnp.ones(3))) == pytest.approx(1.0, rel=1e-5)
    assert effective_rank(jnp.full((6, 3), 0.7)) == 0.0
    assert effective_rank(1e-6 * corners) == pytest.approx(5.0)


@settings(max_examples=30, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(3, 12), st.integers(1, 5)),
        elements=st.floats(-1, 1, width=32),
    )
)
def test_rank_is_that_of_the_eigenvalues(x: np.ndarray) -> None:
    values = np.linalg.eigvalsh(np.atleast_2d(np.cov(x.astype(np.float64).T, bias=True)))
    if values.sum() > 1e-4:
        expected = values.sum() ** 2 / (values**2).sum()
        assert effective_rank(jnp.asarray(x)) == pytest.approx(expected, rel=1e-3)


# Drift


def test_drift_is_measured_in_spreads() -> None:
    model = embedding()
    table = jnp.array([[0.1, 0.0], [-0.1, 0.0], [0.1, 0.0], [-0.1, 0.0], [0.1, 0.0], [-0.1, 0.0]])

    def actions_at(table: jax.Array) -> JointEmbedding:
        return eqx.tree_at(lambda m: m.g.rows, model, jnp.arctanh(table))

    still = measured(actions_at(table), SEEN, SEEN, SEEN)
    assert still["g_drift"] == still["phi_drift"] == 0.0
    moved = measured(actions_at(table), SEEN, SEEN, SEEN, now=actions_at(table + 0.05))
    # Both coordinates of each by .05, from a spread of .1: sqrt(.005 / .01).
    assert moved["g_drift"] == pytest.approx(np.sqrt(0.5), rel=1e-4)
    assert moved["phi_drift"] == 0.0
    collapsed = measured(actions_at(table), SEEN, SEEN, SEEN, now=actions_at(0.0 * table))
    assert collapsed["g_drift"] == pytest.approx(1.0)
    assert collapsed["g_rank"] == 0.0


def test_phi_s_drift_is_that_of_held_out_states() -> None:
    model = embedding()
    rows: Any = model.phi.network.layers[0].table  # type: ignore[union-attr]
    unseen_moved = eqx.tree_at(
        lambda m: m.phi.network.layers[0].table, model, rows.at[20:].add(1.0)
    )
    all_moved = eqx.tree_at(lambda m: m.phi.network.layers[0].table, model, rows + 1.0)
    assert measured(model, SEEN, SEEN, SEEN, now=unseen_moved)["phi_drift"] == 0.0
    x, y = (np.asarray(jnp.tanh(part[:20])) for part in (rows, rows + 1.0))
    expected = np.sqrt(((y - x) ** 2).mean() / ((x - x.mean(0)) ** 2).mean())
    assert measured(model, SEEN, SEEN, SEEN, now=all_moved)["phi_drift"] == pytest.approx(
        expected, rel=1e-4
    )


# Actions in each other's way


def test_actions_at_the_same_place_as_an_earlier_one_are_dead() -> None:
    places = [[0.0, 0.0], [0.5, 0.5], [0.0, 0.0], [0.5, 0.505], [0.0, 0.0], [-0.5, 0.0]]
    model = eqx.tree_at(lambda m: m.g.rows, embedding(), jnp.arctanh(jnp.array(places)))
    found = measured(model, SEEN, SEEN, SEEN)
    assert found["dead_fraction"] == pytest.approx(2 / 6)
    assert found["colliding_fraction"] == pytest.approx(5 / 6)
    found = measured(embedding(), SEEN, SEEN, SEEN)
    assert found["dead_fraction"] == 0.0


def test_of_many_actions_a_part_is_looked_at() -> None:
    table = np.random.default_rng(0).uniform(-1, 1, (3000, 2)).astype(np.float32)
    table[1::2] = table[::2]  # each second one is dead
    dead, colliding = jax.jit(monitor._collisions)(jnp.asarray(table))
    assert dead == pytest.approx(0.5, abs=0.1)
    assert colliding == 1.0


# States that were seen


@pytest.mark.parametrize(
    "space",
    [STATES, spaces.MultiDiscrete([5, 6]), spaces.MultiDiscrete([2, 3, 5])],
    ids=["one", "two", "three"],
)
def test_states_that_pre_training_never_met(space: Space) -> None:
    numbers = np.arange(30, dtype=np.int32)
    shape = (30,) if isinstance(space, spaces.Discrete) else tuple(space.nvec)  # type: ignore[attr-defined]
    every = np.stack(np.unravel_index(numbers, shape), axis=-1).astype(np.int32)
    states = jnp.asarray(every if len(shape) > 1 else every[:, 0])
    model = embedding(space)
    # 0 to 9 as states, 10 as the state after.
    seen = met(states[:10], after=states[1:11])
    found = measured(model, seen, met(states[9:13]), met(states[3:23], lanes=4), space)
    assert found["unseen_fraction"] == pytest.approx(12 / 20)
    assert found["reference_unseen_fraction"] == pytest.approx(2 / 4)


def test_of_large_spaces_states_are_known_by_their_hash() -> None:
    space = spaces.MultiDiscrete([2000, 2000])
    pairs = np.random.default_rng(0).integers(0, 2000, (20_000, 2)).astype(np.int32)
    model, seen = embedding(space), met(pairs[:10_000])
    assert measured(model, seen, seen, met(pairs[5_000:10_000]), space)["unseen_fraction"] == 0.0
    # 10,000 of a million bits: about one in a hundred is taken for another.
    assert 0.98 < measured(model, seen, seen, met(pairs[10_000:]), space)["unseen_fraction"] < 1.0


@pytest.mark.parametrize("dimensions", [1, 2, 20])
def test_of_a_box_cells_are_as_narrow_as_pre_training_allows(dimensions: int) -> None:
    space = spaces.Box(-100.0, 100.0, (dimensions,))
    random = np.random.default_rng(0)

    def points(centre: float) -> Transition:
        return met(random.normal(centre, 1.0, (3000, dimensions)).astype(np.float32))

    model, seen, held_out = embedding(space), points(20.0), points(20.0)
    like_it = measured(model, seen, held_out, points(20.0), space)
    assert like_it["reference_unseen_fraction"] <= MAX_UNSEEN
    assert like_it["unseen_fraction"] == pytest.approx(
        like_it["reference_unseen_fraction"], abs=0.02
    )
    assert measured(model, seen, held_out, points(30.0), space)["unseen_fraction"] > 0.98


def test_a_coordinate_that_never_varied_is_unseen_once_it_does() -> None:
    space = spaces.Box(-1.0, 1.0, (2,))
    still = np.column_stack([np.linspace(-1, 1, 500), np.full(500, 0.3)]).astype(np.float32)
    moved = (still + np.array([0.0, 0.1])).astype(np.float32)
    model, seen = embedding(space), met(still)
    assert measured(model, seen, seen, seen, space)["unseen_fraction"] == 0.0
    assert measured(model, seen, seen, met(moved), space)["unseen_fraction"] == 1.0


# Losses and surprises


def test_losses_are_the_method_s_own() -> None:
    held_out = met(jnp.arange(20, dtype=jnp.int32), losses=np.arange(20.0))
    fresh = met(jnp.zeros(4, jnp.int32), losses=[1.0, 2.0, 3.0, 6.0])
    found = measured(embedding(), SEEN, held_out, fresh, told=2.0)
    assert found["fresh_loss"] == pytest.approx(6.0)
    assert found["reference_loss"] == pytest.approx(2 * np.arange(0, 20, 4).mean())


@pytest.mark.parametrize("objectives", [("state", "action"), ("latent", "reward"), ("forward",)])
def test_every_method_s_losses_are_finite(objectives: tuple[str, ...]) -> None:
    weights = dict.fromkeys(objectives, 0.5)
    model = embedding(objectives=objectives)
    found = measured(model, SEEN, SEEN, SEEN, STATES, None, **weights)
    assert np.isfinite(list(found.values())).all()
    segments = Segments(jax.tree.map(lambda c: c.reshape(1, -1), SEEN), jnp.ones((1, 20), bool))
    expected = float(loss(model, segments, weights))
    assert found["fresh_loss"] == pytest.approx(expected, rel=1e-5)


def test_without_a_loss_for_each_transition_there_is_no_surprise() -> None:
    model = embedding(objectives=("state", "told"))
    assert "surprise" not in measured(model, SEEN, SEEN, SEEN, STATES, None, state=1.0)
    assert "surprise" in measured(model, SEEN, SEEN, SEEN, STATES, None, state=1.0, told=1.0)


def brute_force(x: np.ndarray, e: np.ndarray, held: tuple, fresh: tuple) -> tuple[float, float]:
    """Surprise and the share of surprises, as docs/monitoring.md says it."""

    def square(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        spread = ((other - other.mean(0)) ** 2).sum(-1).mean()
        return ((one[:, None] - other) ** 2).sum(-1) / spread

    def distance(here: tuple, there: tuple) -> np.ndarray:
        return square(x[here[0]], x[there[0]]) + square(e[here[1]], e[there[1]])

    order = np.argsort(distance(held, held), axis=1, kind="stable")[:, : monitor.NEIGHBOURS]
    ceiling = held[2][order].max(1)[distance(fresh, held).argmin(1)]
    usual = 2.0 * held[2].mean()
    times = (fresh[2] + usual) / (ceiling + usual)
    return float(np.log(np.maximum(times / 3.0, 1.0)).mean()), float((times > 3.0).mean())


def test_a_surprise_is_far_beyond_the_worst_of_its_neighbourhood() -> None:
    random = np.random.default_rng(0)
    model = embedding(spaces.Discrete(600))
    rows = jnp.asarray(random.normal(size=(600, 4)).astype(np.float32))
    model = eqx.tree_at(lambda m: m.phi.network.layers[0].table, model, rows)

    def drawn(count: int, worse: float) -> tuple:
        state = random.choice(600, count, replace=False)
        action = random.integers(0, 6, count)
        # Some parts of the space are harder than others.
        hard = np.where(np.asarray(rows)[state, 0] > 0.0, 10.0, 0.1)
        return state, action, (worse * hard * random.exponential(size=count)).astype(np.float32)

    held, fresh = drawn(400, 1.0), drawn(300, 10.0)
    found = measured(
        model,
        met(jnp.arange(600, dtype=jnp.int32)),
        met(held[0].astype(np.int32), held[1], held[2]),
        met(fresh[0].astype(np.int32), fresh[1], fresh[2]),
        spaces.Discrete(600),
        told=1.0,
    )
    surprise, share = brute_force(
        np.asarray(jnp.tanh(rows)), np.asarray(model.g.table), held, fresh
    )
    assert 0.05 < share < 0.5
    assert found["surprise_fraction"] == pytest.approx(share, abs=1 / 300 + 1e-6)
    assert found["surprise"] == pytest.approx(surprise, rel=0.02)


def test_next_to_nothing_is_no_surprise() -> None:
    held_out = met(jnp.arange(20, dtype=jnp.int32), losses=0.001)
    # As many times as (x + .002) / .003 is more than 3.
    fresh = met(jnp.arange(20, dtype=jnp.int32), losses=[0.0069] * 19 + [0.016])
    found = measured(embedding(), SEEN, held_out, fresh, told=1.0)
    assert found["surprise_fraction"] == pytest.approx(1 / 20)
    assert found["surprise"] == pytest.approx(np.log(2.0) / 20, rel=1e-4)


@pytest.mark.parametrize("losses", [0.0, -1.0])
def test_losses_that_are_nothing_or_less_do_no_harm(losses: float) -> None:
    held_out = met(jnp.arange(20, dtype=jnp.int32), losses=losses)
    found = measured(embedding(), SEEN, held_out, held_out, told=1.0)
    assert found["surprise"] == found["surprise_fraction"] == 0.0
    assert found["fresh_loss"] == losses
    assert np.isfinite(list(found.values())).all()


# What there is, and in what form


def test_raw_states_have_no_phi_and_nothing_has_no_loss() -> None:
    raw = embedding(states=False, objectives=("inverse",))
    found = measured(raw, SEEN, SEEN, SEEN, inverse=1.0)
    assert not {"phi_drift", "phi_rank", "surprise"} & found.keys()
    found = measured(embedding(objectives=()), SEEN, SEEN, SEEN)
    assert not {"fresh_loss", "reference_loss", "surprise"} & found.keys()
    everything = measured(embedding(), SEEN, SEEN, SEEN, told=1.0)
    assert tuple(everything) == MEASURES


@pytest.mark.slow
def test_seeds_side_by_side_are_the_seeds_one_by_one() -> None:
    def one(key: jax.Array) -> dict[str, jax.Array]:
        model = JointEmbedding(STATES, ACTIONS, EmbeddingConfig(state_dim=3), key=key)
        random = jax.random.randint(key, (4, 40), 0, 30, jnp.int32)
        seen, held_out, fresh, after = random
        weights = {"forward": 1.0}
        found = reference(
            model, weights, met(seen, after=after), met(held_out, after=after), states=30
        )
        return measure(model, weights, found, met(fresh, seen % 6, after=after, lanes=8))

    keys = jax.random.split(KEY, 3)
    together = jax.jit(jax.vmap(one))(keys)
    alone = jax.jit(one)
    for seed, key in enumerate(keys):
        for name, value in alone(key).items():
            np.testing.assert_allclose(together[name][seed], value, rtol=1e-4, atol=1e-6)


def test_a_reference_holds_nothing_but_arrays() -> None:
    def make() -> Any:
        return reference(embedding(), {"told": 1.0}, SEEN, SEEN, states=30)

    shapes = jax.eval_shape(make)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), shapes) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), make()
    )
    assert all(eqx.is_array(leaf) for leaf in jax.tree.leaves(make()))


# Warnings

FINE = {
    "fresh_loss": 9.0,
    "reference_loss": 2.0,
    "surprise": 0.005,
    "surprise_fraction": 0.01,
    "unseen_fraction": 0.02,
    "reference_unseen_fraction": 0.01,
    "phi_drift": 0.0,
    "phi_rank": 4.0,
    "g_drift": 0.0,
    "g_rank": 2.0,
    "dead_fraction": 0.0,
    "colliding_fraction": 0.4,
}


def test_nothing_is_wrong_with_a_fine_embedding() -> None:
    assert embedding_warnings([FINE, FINE]) == {}
    assert embedding_warnings([{}, {}]) == {}
    assert embedding_warnings([]) == {}
    assert embedding_warnings([dict.fromkeys(MEASURES, float("nan"))]) == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"surprise": 0.1}, "does not behave as the embedding predicts"),
        ({"unseen_fraction": 0.5}, "not trained on"),
        ({"dead_fraction": 0.3}, "never chosen"),
        ({"colliding_fraction": 1.0}, "chance"),
    ],
)
def test_what_is_wrong_is_said_with_the_seeds(change: dict[str, float], said: str) -> None:
    [(text, where)] = embedding_warnings([FINE, FINE | change, FINE, FINE | change]).items()
    assert said in text
    assert where == [1, 3]
    assert not any(character.isdigit() for character in text)


def test_seeds_speak_together() -> None:
    limit = MAX_SURPRISE
    little, much = FINE | {"surprise": 0.7 * limit}, FINE | {"surprise": 1.1 * limit}
    assert embedding_warnings([little]) == {}
    assert [*embedding_warnings([little, FINE, little, little]).values()] == [[0, 2, 3]]
    assert [*embedding_warnings([little, FINE, FINE, FINE]).values()] == []
    assert [*embedding_warnings([little, much, FINE, FINE, FINE, FINE, FINE, FINE]).values()] == [
        [1]
    ]
    assert [*embedding_warnings([{}, little, little, little]).values()] == [[1, 2, 3]]


def test_unseen_states_count_beyond_what_held_out_data_has() -> None:
    assert not embedding_warnings(
        [FINE | {"unseen_fraction": 0.92, "reference_unseen_fraction": 0.93}]
    )
    assert embedding_warnings([FINE | {"unseen_fraction": 0.99, "reference_unseen_fraction": 0.93}])
    assert embedding_warnings([FINE | {"unseen_fraction": 0.5, "phi_drift": 1e-7}])  # rounding


def test_an_embedding_that_goes_on_learning_has_been_trained_on_new_states() -> None:
    assert not embedding_warnings([FINE | {"unseen_fraction": 0.5, "phi_drift": 0.1}])


def test_raw_states_need_no_training() -> None:
    raw = {name: value for name, value in FINE.items() if not name.startswith("phi")}
    assert not embedding_warnings([raw | {"unseen_fraction": 0.5}])
