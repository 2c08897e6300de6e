"""Embeddings predicted several steps ahead."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from worlds import (
    MOVES,
    acted,
    alike_lie_together,
    between,
    embedded,
    in_lane,
    laid_out,
    leaves,
    moved,
    ring,
    steps,
    trained,
)

from embrl.core.types import Transition
from embrl.data.replay import Segments, draw_segments
from embrl.embedding.config import EmbeddingConfig
from embrl.embedding.methods import METHODS
from embrl.embedding.model import JointEmbedding
from embrl.embedding.objectives.dynamics import Latent
from embrl.embedding.pretraining import loss
from embrl.embedding.transition import NONLINEAR_RATE

KEY = jax.random.key(0)
WEIGHTS = {"latent": 1.0}

weighted = eqx.filter_jit(loss)


def latent_model(states: int, actions: int, config: EmbeddingConfig) -> JointEmbedding:
    return JointEmbedding(
        spaces.Discrete(states), spaces.Discrete(actions), config, objectives=("latent",), key=KEY
    )


def by_hand() -> JointEmbedding:
    """Three states at .1, .3, -.5, two actions at .2, -.4, and D(z, e) = z / 2 + e."""
    model = latent_model(3, 2, EmbeddingConfig(state_dim=1, action_dim=1, head_hidden=()))
    model = laid_out(model, [[0.1], [0.3], [-0.5]], [[0.2], [-0.4]])
    return eqx.tree_at(
        lambda m: (m.parts["latent"].D.network.layers[0].weight, m.parts["latent"].D.linear),
        model,
        (jnp.array([[0.5 / NONLINEAR_RATE], [0.0]]), jnp.array([[1.0]])),
    )


TWO = steps(
    # Time downwards: one segment goes 0, 1, 2; in the other the episode ends after a step.
    state=[[0, 1], [1, 0]],
    action=[[0, 1], [1, 0]],
    next_state=[[1, 2], [2, 1]],
    terminated=[[False, True], [False, False]],
)
INSIDE = jnp.array([[True, True], [True, False]])


def test_two_steps_by_hand() -> None:
    # z goes .1, .15 + .2 = .35 (for .3), .525 - .4 = .125 (for -.5); and .3, .45 - .4 = .05 (for
    # -.5).
    errors = 0.05**2 + 0.625**2 + 0.55**2
    variance = 0.4**2  # of the targets .3, -.5, -.5, .3
    value = weighted(by_hand(), Segments(TWO, INSIDE), WEIGHTS)
    assert value == pytest.approx(errors / 3 / variance, rel=1e-4)


def test_without_a_mask_every_step_counts() -> None:
    # The last one too: .05 -> .075 + .2 = .275 (for .3).
    errors = 0.05**2 + 0.625**2 + 0.55**2 + 0.025**2
    model = by_hand()
    value = eqx.filter_jit(model.parts["latent"])(model, TWO)
    assert value == pytest.approx(errors / 4 / 0.4**2, rel=1e-4)


def test_steps_after_an_episode_s_end_do_not_count() -> None:
    played = jax.tree.map(lambda column: column[:, 1:], TWO)  # one lane, ending after a step
    drawn = draw_segments(played, KEY, 4, 2)
    value = weighted(by_hand(), drawn, WEIGHTS)
    assert value == pytest.approx(0.55**2 / 0.4**2, rel=1e-4)
    # Whatever is done there.
    other = played._replace(action=jnp.array([[1], [1]]))
    assert weighted(by_hand(), draw_segments(other, KEY, 4, 2), WEIGHTS) == value


def test_dynamics_go_on_from_what_they_predicted() -> None:
    model = latent_model(8, 6, EmbeddingConfig(state_dim=3, head_hidden=(7,)))
    rng = np.random.default_rng(0)
    model = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape, scale=0.4), jnp.float32), model
    )
    part = model.parts["latent"]
    assert isinstance(part, Latent)
    drawn = draw_segments(in_lane(ring()), KEY, 10, 4)
    z = embedded(model, drawn.steps.observation[0])
    errors, targets = [], []
    for t in range(4):
        z = z + moved(part.D, z, acted(model, drawn.steps.action[t]))
        targets.append(embedded(model, drawn.steps.next_observation[t]))
        errors.append(((z - targets[-1]) ** 2).mean())
    everything = np.concatenate(targets)
    variance = ((everything - everything.mean(0)) ** 2).mean()
    value = weighted(model, drawn, WEIGHTS)
    assert value == pytest.approx(np.mean(errors) / variance, rel=1e-3)


def test_no_gradient_flows_through_the_target() -> None:
    # From states 0 to 3 into states 4 to 7, once.
    apart = steps([[0, 1, 2, 3]], [[0, 1, 2, 3]], [[4, 5, 6, 7]])
    model = latent_model(8, 6, EmbeddingConfig(state_dim=3, head_hidden=(7,)))
    # Networks of D start at zero, and then only their last layers have a gradient.
    part = model.parts["latent"]
    awake = jax.tree.map(lambda leaf: leaf + 0.1 if eqx.is_array(leaf) else leaf, part)
    model = eqx.tree_at(lambda m: m.parts["latent"], model, awake)
    gradient = eqx.filter_jit(eqx.filter_grad(loss))(
        model, Segments(apart, jnp.ones((1, 4), bool)), WEIGHTS
    )
    rows = np.asarray(gradient.phi.network.layers[0].table)
    assert (np.abs(rows[:4]).max(-1) > 0.0).all()
    np.testing.assert_array_equal(rows[4:], np.zeros((4, 3)))
    for leaf in [*leaves(gradient.parts), gradient.g.rows[:4]]:
        assert np.abs(leaf).max() > 0.0


def test_how_wide_the_embedding_is_does_not_matter() -> None:
    # With dynamics that scale along, the loss is the same: shrinking wins nothing.
    model = by_hand()
    narrow = laid_out(model, [[0.01], [0.03], [-0.05]], [[0.02], [-0.04]])
    drawn = Segments(TWO, INSIDE)
    values = [float(weighted(each, drawn, WEIGHTS)) for each in (model, narrow)]
    assert values[1] == pytest.approx(values[0], rel=2e-3)


def test_states_in_one_place_cost_nothing_infinite() -> None:
    model = laid_out(by_hand(), [[0.1]] * 3, [[0.2], [-0.4]])
    value, gradient = eqx.filter_jit(eqx.filter_value_and_grad(loss))(
        model, Segments(TWO, INSIDE), WEIGHTS
    )
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in leaves(gradient))


def branches() -> Transition:
    """States 0, 1 lead to 4; 2, 3 lead to 5; from 4 and 5 the next is one of 0 to 3. State 4 pays
    1, state 5 costs 1. The two actions do nothing.
    """
    rng = np.random.default_rng(0)
    rows, state = [], rng.integers(4, size=8)
    for t in range(200):
        action = rng.integers(2, size=8)
        after = rng.integers(4, size=8) if t % 2 else 4 + state // 2
        rows.append((state, action, after, np.select([state == 4, state == 5], [1.0, -1.0], 0.0)))
        state = after
    return steps(*(np.stack(column) for column in zip(*rows, strict=True)))


def test_states_with_other_rewards_or_futures_lie_apart() -> None:
    weights = dict(METHODS["latent"].objectives)
    # Half of all steps are noise here: a narrow start would be drowned in it.
    config = EmbeddingConfig(state_dim=3, head_hidden=(16,), horizon=3, state_spread=0.2)
    world = branches()
    untrained = JointEmbedding(
        spaces.Discrete(6), spaces.Discrete(2), config, objectives=tuple(weights), key=KEY
    )
    model, losses = trained(
        untrained, lambda key: draw_segments(world, key, 64, config.horizon), weights, 800
    )
    assert losses[-20:].mean() < 0.6 * losses[0]
    away = between(model.phi(jnp.arange(6)))
    # By their rewards.
    assert away[4, 5] > 0.2 * away.max()
    # By what follows: 0 and 1 have the same future, 2 and 3 another.
    assert away[:2, 2:4].min() > 3 * max(away[0, 1], away[2, 3])


def test_the_ring_is_laid_out_as_a_ring() -> None:
    rng = np.random.default_rng(0)
    action = rng.integers(6, size=(100, 8))
    state = np.cumsum(np.vstack([rng.integers(8, size=8), MOVES[action]]), axis=0) % 8
    world = steps(state[:-1], action, state[1:])
    model, losses = trained(
        latent_model(8, 6, EmbeddingConfig(state_dim=3, head_hidden=(16,))),
        lambda key: draw_segments(world, key, 64, 3),
        WEIGHTS,
        600,
    )
    assert losses[0] > 1.0
    assert losses[-20:].mean() < 0.05
    assert alike_lie_together(model.g.table)
    away = between(model.phi.points[0])
    assert away.max() > 0.1  # it did not collapse
    for state, row in enumerate(away + 9.0 * np.eye(8)):
        assert set(np.argsort(row)[:2].tolist()) == {(state - 1) % 8, (state + 1) % 8}
