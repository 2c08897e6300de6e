"""SAC's parts: what it starts with, its critics and what they think of actions."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from filling import arrays_of
from probes import RoundsUp

from embrl.algorithms.actors import CategoricalActor, SquashedGaussianActor
from embrl.algorithms.base import (
    Batch,
    EmbeddedActions,
    Experience,
    IndexedActions,
    InternalSpace,
    PolicyConfig,
)
from embrl.algorithms.critics import IndexCritic, PointCritic, soft_value
from embrl.algorithms.sac import SAC
from embrl.decoding import Identity

KEY = jax.random.key(0)


def new_learner(hyper: SAC, internal: InternalSpace, features: Any = 3) -> Any:
    f = RoundsUp() if isinstance(internal, EmbeddedActions) else Identity()
    return hyper.start(features, internal, f, PolicyConfig(hidden=(8,), std=0.4), key=KEY)


def draw(key: Any, count: int) -> Batch:
    x = jax.random.normal(key, (count, 3))
    zeros = jnp.zeros(count, jnp.int32)
    ends = jnp.zeros(count, bool)
    return Batch(x, jnp.tanh(x[:, :2]), zeros, x.sum(-1), x, ends, ends)


def updated(hyper: SAC, fresh: Batch, draw: Any = draw) -> Any:
    """A new learner of points after an update, and its measures."""
    improve = jax.jit(
        lambda learner, fresh: hyper.update(learner, Experience(fresh, draw, None), KEY)
    )
    return improve(new_learner(hyper, EmbeddedActions(2)), fresh)


def test_the_first_policy_is_as_wide_as_asked_and_in_the_middle() -> None:
    actor = new_learner(SAC(), EmbeddedActions(2)).actor
    assert isinstance(actor, SquashedGaussianActor)
    mean, log_std = actor.parameters(jax.random.normal(KEY, (50, 3)))
    np.testing.assert_allclose(np.exp(log_std), 0.4, rtol=0.05)
    np.testing.assert_allclose(mean, 0.0, atol=0.05)


@pytest.mark.parametrize(
    ("internal", "usual"), [(EmbeddedActions(3), -3.0), (IndexedActions(10), 0.98 * np.log(10))]
)
def test_the_usual_target_of_entropy(internal: Any, usual: float) -> None:
    assert new_learner(SAC(), internal).target_entropy == pytest.approx(usual)
    assert new_learner(SAC(target_entropy=0.5), internal).target_entropy == 0.5


def test_twins_begin_apart_and_slow_critics_as_their_copies() -> None:
    learner = new_learner(SAC(), EmbeddedActions(2))
    one, other = learner.critic(jnp.ones((4, 3)), jnp.ones((4, 2)))
    assert np.abs(one - other).min() > 1e-3
    for now, slow in zip(arrays_of(learner.critic), arrays_of(learner.target), strict=True):
        np.testing.assert_array_equal(now, slow)


def test_there_are_as_many_updates_as_asked() -> None:
    hyper = SAC(updates_per_step=0.3, batch_size=4)
    fresh = jax.tree.map(lambda column: column.reshape(4, 3, *column.shape[1:]), draw(KEY, 12))
    after, _ = updated(hyper, fresh)
    assert after.critic_optimiser.count == 4
    assert after.actor_optimiser.count == 4


def test_every_update_draws_steps_and_noise_of_its_own() -> None:
    seen = []

    def watched(key: Any, count: int) -> Batch:
        jax.debug.callback(lambda data: seen.append(data.tobytes()), jax.random.key_data(key))
        return draw(key, count)

    hyper = SAC(batch_size=4)
    fresh = jax.tree.map(lambda column: column.reshape(2, 3, *column.shape[1:]), draw(KEY, 6))
    jax.block_until_ready(updated(hyper, fresh, watched))
    jax.effects_barrier()
    assert len(set(seen)) == 6


def test_alpha_moves_only_if_it_is_learned() -> None:
    fresh = jax.tree.map(lambda column: column[None], draw(KEY, 5))
    for rate, alpha in [(0.0, 0.3), (0.01, None)]:
        hyper = SAC(alpha=0.3, alpha_lr=rate, batch_size=4)
        after, measures = updated(hyper, fresh)
        assert measures["alpha"] == pytest.approx(0.3, rel=0.1)
        assert (np.exp(after.log_alpha) == pytest.approx(0.3, rel=1e-6)) == (alpha is not None)


def test_no_alpha_at_all_is_plain_q_learning_with_an_actor() -> None:
    hyper = SAC(alpha=0.0, batch_size=4)
    fresh = jax.tree.map(lambda column: column[None], draw(KEY, 5))
    after, measures = updated(hyper, fresh)
    assert measures["alpha"] == 0.0
    assert all(np.isfinite(array).all() for array in arrays_of((after.actor, after.critic)))


@pytest.mark.parametrize("features", [3, (4, 5)], ids=["vectors", "factors"])
def test_a_critic_judges_each_candidate_in_its_own_state(features: Any) -> None:
    learner = new_learner(SAC(), EmbeddedActions(2), features)
    rng = np.random.default_rng(0)
    if features == 3:
        x = jnp.asarray(rng.normal(size=(2, 5, 3)), jnp.float32)
    else:
        x = jnp.asarray(rng.integers(4, size=(2, 5, 2)), jnp.int32)
    points = jnp.asarray(rng.uniform(-1, 1, size=(2, 5, 7, 2)), jnp.float32)
    values = jax.jit(lambda x, points: learner.scorer(x)(points, None))(x, points)
    assert values.shape == (2, 5, 7)
    alone = jax.vmap(jax.vmap(jax.vmap(learner.critic, (None, 0))))
    both = np.asarray(jax.jit(alone)(x, points))
    np.testing.assert_allclose(values, both.min(-1), atol=1e-5)


def test_without_points_there_is_nothing_to_judge() -> None:
    assert new_learner(SAC(), IndexedActions(4)).scorer(jnp.ones((2, 3))) is None


def test_the_value_of_an_index_is_that_output_of_the_network() -> None:
    critic = IndexCritic(3, 6, (8,), key=KEY)
    x = jax.random.normal(KEY, (10, 3))
    u = jax.random.randint(KEY, (10,), 0, 6, jnp.int32)
    every = of_each(critic, x, 6)
    np.testing.assert_allclose(
        eqx.filter_jit(critic)(x, u), every[:, np.arange(10), np.asarray(u)], rtol=1e-6
    )


def of_each(critic: IndexCritic, x: Any, actions: int) -> np.ndarray:
    """What both twins say of each action, `[2, N, actions]`."""
    look: Any = eqx.filter_jit(critic)
    return np.stack([look(x, np.full(len(x), a, np.int32)) for a in range(actions)], axis=-1)


def test_soft_value_is_the_mean_of_what_is_drawn() -> None:
    # The estimate by one draw, over many draws, against the sum over actions ...
    actor = CategoricalActor(3, 4, (8,), key=KEY)
    critic = IndexCritic(3, 4, (8,), key=KEY)
    x = jax.random.normal(KEY, (5, 3))
    value, entropy = jax.jit(soft_value)(actor, critic, x, np.zeros(5), jnp.float32(0.3))
    p = np.exp(np.asarray(eqx.filter_jit(actor.log_probs)(x), np.float64))
    lower = of_each(critic, x, 4).min(0)
    expected = (p * (lower - 0.3 * np.log(p))).sum(-1)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(entropy, -(p * np.log(p)).sum(-1), rtol=1e-5)
    # ... and for points against a grid.
    actor = SquashedGaussianActor(3, 1, (8,), std=0.6, key=KEY)
    critic = PointCritic(3, 1, (8,), key=KEY)
    noise = jax.random.normal(jax.random.key(1), (20_000, 5, 1))
    values, _ = jax.jit(soft_value)(
        actor, critic, np.broadcast_to(x, (20_000, 5, 3)), noise, jnp.float32(0.3)
    )
    e = (np.arange(2000) + 0.5) / 1000 - 1
    grid = jnp.asarray(np.broadcast_to(e[:, None, None], (2000, 5, 1)), jnp.float32)
    everywhere = jnp.asarray(np.broadcast_to(x, (2000, 5, 3)))
    log_p = np.asarray(eqx.filter_jit(actor.log_prob)(everywhere, grid), np.float64)
    lower = np.asarray(eqx.filter_jit(critic)(everywhere, grid)).min(0)
    integral = (np.exp(log_p) * (lower - 0.3 * log_p)).sum(0) / 1000
    np.testing.assert_allclose(np.mean(values, 0), integral, atol=0.01)


def test_the_actor_s_step_moves_no_critic_but_climbs_it() -> None:
    # By its own loss: with a critic at rest, V rises.
    hyper = SAC(critic_lr=0.0, tau=0.0, actor_lr=0.01, batch_size=64)
    learner = new_learner(hyper, EmbeddedActions(2))
    fresh = jax.tree.map(lambda column: column[None], draw(KEY, 60))
    after, _ = jax.jit(
        lambda learner: hyper.update(learner, Experience(fresh, draw, None), KEY)
    )(learner)  # fmt: skip
    x = draw(jax.random.key(9), 500).x
    noise = learner.actor.noise(jax.random.key(10), (500,))
    value = jax.jit(soft_value)
    before, now = (
        np.mean(value(one.actor, learner.critic, x, noise, jnp.float32(0.1))[0])
        for one in (learner, after)
    )
    assert now > before + 0.05
    for old, new in zip(arrays_of(learner.critic), arrays_of(after.critic), strict=True):
        np.testing.assert_array_equal(old, new)
