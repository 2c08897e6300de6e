"""RA's objective: which action was taken, told from what it changed."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from worlds import (
    MOVES,
    STATES,
    acted,
    alike_lie_together,
    anywhere,
    between,
    cross_entropy,
    drawing,
    leaves,
    network,
    ring,
    steps,
    trained,
)

from embrl.core.layers import FactorLinear
from embrl.core.types import Transition
from embrl.embedding.config import EmbeddingConfig
from embrl.embedding.model import JointEmbedding
from embrl.embedding.objectives.dynamics import Inverse

KEY = jax.random.key(0)
PAIR = spaces.MultiDiscrete([3, 5])
BOX = spaces.Box(np.array([-2.0, 100.0], np.float32), np.array([2.0, 101.0], np.float32))


def ra(
    space: spaces.Space,
    actions: int,
    config: EmbeddingConfig = EmbeddingConfig(),  # noqa: B008
) -> JointEmbedding:
    """An untrained model of RA."""
    return JointEmbedding(
        space,
        spaces.Discrete(actions),
        config,
        states=False,
        objectives=("inverse",),
        key=KEY,
    )


@eqx.filter_jit
def inverse_loss(model: JointEmbedding, batch: Transition) -> jax.Array:
    return model.parts["inverse"](model, batch)


def part(model: JointEmbedding) -> Inverse:
    found = model.parts["inverse"]
    assert isinstance(found, Inverse)
    return found


def test_nearer_actions_are_likelier_by_the_square_of_their_distance() -> None:
    # h is a table: the guess of s -> s' is tanh(row of s + row of s').
    model = ra(spaces.Discrete(2), 3, EmbeddingConfig(action_dim=1))
    [rows] = part(model).h.layers
    assert isinstance(rows, FactorLinear)
    model = eqx.tree_at(
        lambda m: (m.parts["inverse"].h.layers[0].table, m.g.rows),
        model,
        (
            jnp.arctanh(jnp.array([[0.0], [0.6], [0.0], [-0.5]])),
            jnp.arctanh(jnp.array([[0.6], [0.1], [-0.5]])),
        ),
    )
    # From 1 to 0 the guess is .6: squared distances to the actions are 0, .25 and 1.21.
    there = np.log(1 + np.exp(-0.25) + np.exp(-1.21))
    # From 0 to 1 it is -.5: 1.21, .36, 0.
    back = 0.36 + np.log(np.exp(-1.21) + np.exp(-0.36) + 1)
    assert inverse_loss(model, steps([1], [0], [0])) == pytest.approx(there, rel=1e-5)
    assert inverse_loss(model, steps([0], [1], [1])) == pytest.approx(back, rel=1e-5)
    both = inverse_loss(model, steps([1, 0], [0, 1], [0, 1]))
    assert both == pytest.approx((there + back) / 2, rel=1e-5)


@pytest.mark.parametrize("hidden", [(), (7,)])
@pytest.mark.parametrize("space", [spaces.Discrete(6), PAIR, BOX], ids=str)
def test_h_takes_both_states_side_by_side(space: spaces.Space, hidden: tuple[int, ...]) -> None:
    model = ra(space, 4, EmbeddingConfig(inverse_hidden=hidden, action_spread=0.5))
    drawn = anywhere(space)
    seen = [np.asarray(model.raw(states)) for states in (drawn.observation, drawn.next_observation)]
    guess = np.tanh(network(part(model).h, np.concatenate(seen, axis=-1)))
    table = acted(model, np.arange(4))
    logits = -((guess[:, None] - table) ** 2).sum(-1)
    assert inverse_loss(model, drawn) == pytest.approx(
        cross_entropy(logits, drawn.action), rel=1e-5
    )


def test_it_can_stand_on_embedded_states() -> None:
    model = JointEmbedding(
        PAIR, spaces.Discrete(4), EmbeddingConfig(state_dim=3), objectives=("inverse",), key=KEY
    )
    assert part(model).h.layers[0].weight.shape == (6, 2)  # type: ignore[union-attr]
    gradient = eqx.filter_jit(eqx.filter_grad(inverse_loss))(model, anywhere(PAIR))
    assert np.abs(gradient.phi.network.layers[0].table).max() > 0.0


def test_only_g_and_h_learn() -> None:
    model = ra(PAIR, 4)
    assert leaves(model.phi) == []
    gradient = eqx.filter_jit(eqx.filter_grad(inverse_loss))(model, anywhere(PAIR))
    learned = [gradient.g.rows, *leaves(gradient.parts["inverse"].h)]
    assert len(learned) == len(leaves(gradient))
    for leaf in learned:
        assert np.abs(leaf).max() > 0.0


def test_actions_that_do_the_same_come_together_and_others_part() -> None:
    world = ring(np.arange(2, 6))  # where no step goes around: a sum of two rows tells s' - s
    model, losses = trained(
        ra(spaces.Discrete(STATES), len(MOVES)), drawing(world, 24), {"inverse": 1.0}, 600
    )
    assert losses[0] == pytest.approx(np.log(6), rel=0.05)
    # Of two actions that do the same nobody can tell which it was.
    assert np.log(2) < losses[-20:].mean() < 1.2
    assert alike_lie_together(model.g.table)


def test_actions_in_a_box_lie_around_a_circle_as_their_effects() -> None:
    angles = np.arange(8) * np.pi / 4
    pushes = np.stack([0.4 * np.cos(angles), 0.1 * np.sin(angles)], axis=-1)
    rng = np.random.default_rng(0)
    before = rng.uniform([-1.5, 100.1], [1.5, 100.9], size=(400, 2))
    action = rng.integers(8, size=400)
    world = steps(before, action, before + pushes[action])
    model, losses = trained(ra(BOX, 8), drawing(world, 64), {"inverse": 1.0}, 1200)
    assert losses[-20:].mean() < 0.6 * np.log(8)
    # A circle in scaled units, and here too they go around once, in the same order.
    g = np.asarray(model.g.table)
    around = np.arctan2(g[:, 1], g[:, 0])
    steps_around = np.angle(np.exp(1j * np.diff(around, append=around[0])))
    assert abs(steps_around.sum()) == pytest.approx(2 * np.pi)
    assert (np.sign(steps_around) == np.sign(steps_around[0])).all()
    assert between(g)[np.arange(4), np.arange(4) + 4].min() > 1.0  # opposite ones
