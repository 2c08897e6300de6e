"""Masks of 7,830 actions, against NumPy in float64."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embrl.algorithms.actors import CategoricalActor
from embrl.algorithms.base import Batch, Experience, IndexedActions, PolicyConfig
from embrl.algorithms.critics import IndexCritic
from embrl.algorithms.on_policy import StochasticPolicy
from embrl.algorithms.ppo import PPO
from embrl.algorithms.sac import SAC
from embrl.decoding import SoftmaxAction, Wolpertinger, k_nearest, nearest
from embrl.decoding.continuous import Identity

N, STATES = 7_830, 24
RNG = np.random.default_rng(0)
X: Any = RNG.normal(size=(STATES, 3)).astype(np.float32)
MASK: Any = RNG.random((STATES, N)) < RNG.choice([1e-3, 0.1, 0.9], STATES)[:, None]
MASK[np.arange(STATES), RNG.integers(N, size=STATES)] = True
MASK[0] = np.arange(N) == N - 1
ALLOWED: Any = np.array([RNG.choice(np.flatnonzero(row)) for row in MASK], np.int32)
TABLE: Any = RNG.uniform(-1, 1, (N, 2)).astype(np.float32)
U: Any = RNG.uniform(-1, 1, (STATES, 2)).astype(np.float32)
SPACE = IndexedActions(N), Identity()


def actor() -> CategoricalActor:
    """Logits spread over 60: with most probabilities near 0."""
    made: Any = CategoricalActor(3, N, (8,), activation=jax.nn.relu, key=jax.random.key(0))
    last = RNG.normal(size=(8, N)).astype(np.float32)
    return eqx.tree_at(lambda actor: actor.logits.layers[-1].weight, made, jnp.asarray(9 * last))


ACTOR = actor()


@eqx.filter_jit
def logits(actor: Any, x: Any) -> Any:
    return actor.logits(x)


def log_probs(logits: Any) -> np.ndarray:
    """log softmax over allowed actions, in float64; -inf elsewhere."""
    masked = np.where(MASK, np.asarray(logits, np.float64), -np.inf)
    top = masked.max(-1, keepdims=True)
    return masked - top - np.log(np.exp(masked - top).sum(-1, keepdims=True))


def entropies(log_p: np.ndarray) -> np.ndarray:
    return -np.where(MASK, np.exp(log_p) * np.where(MASK, log_p, 0.0), 0.0).sum(-1)


def test_a_distribution_over_actions_is_exact():
    log_p = log_probs(logits(ACTOR, X))
    uniform: Any = RNG.random((50, STATES), np.float32)

    @jax.jit
    def compute(x: Any, uniform: Any, mask: Any) -> Any:  # constants would be folded, slowly
        drawn = ACTOR.act(jnp.broadcast_to(x, (50, *X.shape)), uniform, mask)
        chosen = ACTOR.log_prob(x, ALLOWED, mask)
        return chosen, ACTOR.entropy(x, mask), ACTOR.mode(x, mask), drawn

    chosen, entropy, mode, drawn = map(np.asarray, compute(X, uniform, MASK))
    expected = log_p[np.arange(STATES), ALLOWED]
    np.testing.assert_allclose(chosen, expected, rtol=2e-6, atol=2e-5)
    np.testing.assert_allclose(entropy, entropies(log_p).mean(), rtol=1e-5)
    np.testing.assert_array_equal(mode, log_p.argmax(-1))
    assert MASK[np.arange(STATES), drawn].all()
    cumulative = np.exp(log_p).cumsum(-1)
    pairs = zip(cumulative, uniform.T, strict=True)
    truth = np.stack([np.searchsorted(row, u, "right") for row, u in pairs], 1)
    assert (drawn == truth).mean() > 0.995  # rounding moves those at an edge


def test_gradients_are_finite_and_those_of_the_allowed_actions_alone():
    def loss(logits: jax.Array) -> jax.Array:
        made = eqx.tree_at(lambda actor: actor.logits.layers[-1].bias, ACTOR, logits)
        return made.log_prob(X, ALLOWED, MASK).sum() + made.entropy(X, MASK)

    gradient = np.asarray(jax.jit(jax.grad(loss))(ACTOR.logits.layers[-1].bias))
    assert np.isfinite(gradient).all()
    never = ~MASK.any(0)
    assert (gradient[never] == 0).all()
    assert np.abs(gradient).max() > 0.1


@pytest.mark.parametrize("k", [1, 40])
def test_the_nearest_allowed_actions_are_exact(k):
    square = ((U[:, None].astype(np.float64) - TABLE) ** 2).sum(-1)
    order = np.where(MASK, square, np.inf).argsort(-1, kind="stable")[:, :k]
    # The scorer prefers what is far away: of the k nearest, the last allowed one.
    f = Wolpertinger(k)

    @jax.jit
    def compute(table: Any, u: Any, mask: Any) -> Any:
        def far(points: Any, _: Any) -> Any:
            return ((points - u[:, None]) ** 2).sum(-1)

        best = f(table, u, mask=mask, scorer=far)
        return *k_nearest(table, u, k, mask), nearest(table, u, mask), best

    found, distance, first, best = map(np.asarray, compute(TABLE, U, MASK))
    valid = np.take_along_axis(MASK, order, -1)
    np.testing.assert_array_equal(found[valid], order[valid])
    np.testing.assert_array_equal(np.isfinite(distance), valid)
    np.testing.assert_array_equal(first, order[:, 0])
    last = np.where(valid, np.arange(k), -1).max(-1)
    np.testing.assert_array_equal(best, order[np.arange(STATES), last])


def test_an_action_drawn_by_distance_is_exact():
    f = SoftmaxAction(0.01)
    square = ((U[:, None].astype(np.float64) - TABLE) ** 2).sum(-1)
    log_p = log_probs(-square / 0.01)
    chosen = np.where(MASK, square, np.inf).argmin(-1).astype(np.int32)
    uniform = RNG.random((20, STATES), np.float32)

    @jax.jit
    def compute(uniform: Any) -> Any:
        drawn = f(jnp.asarray(TABLE), jnp.broadcast_to(U, (20, *U.shape)), uniform, MASK)
        return f.log_prob(jnp.asarray(TABLE), jnp.asarray(U), chosen, MASK), drawn

    found, drawn = map(np.asarray, compute(uniform))
    expected = log_p[np.arange(STATES), chosen]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert MASK[np.arange(STATES), drawn].all()


def test_values_expected_of_allowed_actions_are_exact():
    critic = IndexCritic(3, N, (8,), key=jax.random.key(1))
    log_p = log_probs(logits(ACTOR, X))

    @jax.jit
    def compute(x: Any, mask: Any) -> Any:
        return critic._all(x), *critic.expected(ACTOR, x, jnp.zeros(()), mask)

    every, value, entropy = map(np.asarray, compute(X, MASK))
    lower = every.astype(np.float64).min(0)
    np.testing.assert_allclose(value, (np.exp(log_p) * lower).sum(-1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(entropy, entropies(log_p), rtol=1e-4, atol=1e-5)


def steps(lead: tuple[int, ...]) -> Batch:
    def shaped(values: Any) -> jax.Array:
        return jnp.asarray(np.asarray(values).reshape(*lead, *np.shape(values)[1:]))

    ended = np.arange(STATES) % 7 == 0
    return Batch(
        x=shaped(X),
        u=shaped(ALLOWED),
        action=shaped(ALLOWED),
        reward=shaped(RNG.normal(size=STATES).astype(np.float32)),
        next_x=shaped(X[::-1]),
        terminated=shaped(ended),
        truncated=shaped(~ended & (np.arange(STATES) % 5 == 0)),
        mask=shaped(MASK),
        next_mask=shaped(MASK[::-1]),
    )


def test_an_update_of_ppo_keeps_to_the_masks():
    ppo = PPO(num_minibatches=4, update_epochs=2, ent_coef=0.01)
    start = ppo.start(
        3, IndexedActions(N), Identity(), PolicyConfig(hidden=(8,)), key=jax.random.key(2)
    )
    learner = ppo.learner(StochasticPolicy(ACTOR, Identity()), start.critic)
    fresh = steps((6, 4))
    experience = Experience(fresh, lambda key, count: fresh, None)
    after, metrics = jax.jit(lambda: ppo.update(learner, experience, jax.random.key(3)))()
    assert all(np.isfinite(value).all() for value in jax.tree.leaves((after, metrics)))
    log_p = log_probs(logits(after.actor, X))
    entropy = entropies(log_p)[-4:].mean()  # of the last step of all environments
    np.testing.assert_allclose(metrics["entropy"], entropy, rtol=1e-4)


def test_an_update_of_sac_keeps_to_the_masks():
    sac = SAC(alpha_lr=0.01)
    start = sac.start(
        3, IndexedActions(N), Identity(), PolicyConfig(hidden=(8,)), key=jax.random.key(4)
    )
    learner = start._replace(actor=ACTOR)
    batch = steps((STATES,))

    @jax.jit
    def improve(learner: Any, batch: Batch, key: Any) -> Any:
        targets = sac.targets(learner, batch, jnp.zeros(STATES))
        return targets, learner.target._all(X), sac.improve(learner, batch, key)

    found, every, (after, metrics) = improve(learner, batch, jax.random.key(5))
    log_p = log_probs(logits(ACTOR, X))
    lower = np.asarray(every, np.float64).min(0)
    value = (np.exp(log_p) * lower).sum(-1) + 0.1 * entropies(log_p)
    ended = np.asarray(batch.terminated)
    expected = np.asarray(batch.reward) + 0.99 * np.where(ended, 0.0, value[::-1])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((after, metrics)))
    # A learned temperature aims at a fraction of the entropy that the masks leave possible.
    goal = sac._entropy_goal(learner, batch.mask)
    np.testing.assert_allclose(goal, 0.98 * np.log(MASK.sum(-1)).mean(), rtol=1e-5)
    fixed = dataclasses.replace(sac, target_entropy=2.0)
    assert fixed._entropy_goal(learner._replace(target_entropy=jnp.float32(2)), batch.mask) == 2.0
