"""Lemma 2 and Theorem 1 of Pritz et al. 2021, in float64 on a small world.

Actions lie on a line, so that the cell of an action is an interval, and its Gaussian mass is a
difference of two values of the normal distribution function: pi_o and its worth are then exact.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm

from embrl.algorithms.actors import GaussianActor
from embrl.algorithms.on_policy import ActorCritic, Minibatch, Policy
from embrl.algorithms.ppo import PPO
from embrl.algorithms.vpg import VPG
from embrl.decoding import NearestAction, nearest

STATES, ACTIONS, GAMMA = 4, 5, 0.9
TABLE = np.array([[0.3], [-0.7], [0.05], [0.8], [-0.2]])
"""g(a), not in order."""

_rng = np.random.default_rng(0)
TRANSITION = _rng.dirichlet(np.ones(STATES), size=(STATES, ACTIONS))  # [s, a, s']
REWARD = _rng.normal(size=(STATES, ACTIONS))
START = np.array([0.4, 0.3, 0.2, 0.1])
PHI = np.tanh(_rng.normal(size=(STATES, 2)))


@pytest.fixture(autouse=True)
def float64() -> Any:
    """Every test of this file computes in float64."""
    with jax.enable_x64(True):
        yield


def new_actor(bounded: bool = True) -> GaussianActor:
    """pi_i with weights that matter, in float64."""
    actor = GaussianActor(2, 1, (3,), std=0.4, bounded=bounded, key=jax.random.key(0))
    actor = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), actor)
    return eqx.tree_at(lambda a: a.mean.layers[-1].weight, actor, replace_fn=lambda w: 50 * w)


def overall(actor: GaussianActor, phi: np.ndarray = PHI) -> jax.Array:
    """pi_o(a|s), `[s, a]`: the mass of each action's interval (eq. 1)."""
    order = np.argsort(TABLE[:, 0])
    centres = TABLE[order, 0]
    # As good as infinite, at which derivatives would be NaN.
    borders = np.concatenate([[-20.0], (centres[1:] + centres[:-1]) / 2, [20.0]])
    mean, std = actor.mode(jnp.asarray(phi)), jnp.exp(actor.log_std)
    mass = jnp.diff(norm.cdf((borders - mean) / std), axis=1)
    return mass[:, np.argsort(order)]


def values(pi: Any) -> jax.Array:
    """v of a policy `[s, a]`: the solution of Bellman's equation."""
    chain = jnp.einsum("sa,sat->st", pi, TRANSITION)
    return jnp.linalg.solve(jnp.eye(STATES) - GAMMA * chain, (pi * REWARD).sum(1))


@eqx.filter_jit
def worth(actor: GaussianActor) -> jax.Array:
    """J_o(theta) (eq. 7)."""
    return jnp.asarray(START) @ values(overall(actor))


def action_values(v: Any) -> jax.Array:
    """Q(s, a)."""
    return jnp.asarray(REWARD + GAMMA * TRANSITION @ v)


def visits(pi: Any) -> jax.Array:
    """Expected discounted visits to every state."""
    chain = jnp.einsum("sa,sat->st", pi, TRANSITION)
    return jnp.linalg.solve(jnp.eye(STATES) - GAMMA * chain.T, START)


def quadrature() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on the line, Gauss-Legendre within each cell, where Q does not jump."""
    centres = np.sort(TABLE[:, 0])
    middles = (centres[1:] + centres[:-1]) / 2
    borders = np.concatenate([np.linspace(-8, middles[0], 12), middles[1:-1],
                              np.linspace(middles[-1], 8, 12)])  # fmt: skip
    x, w = np.polynomial.legendre.leggauss(30)
    half, middle = np.diff(borders) / 2, (borders[1:] + borders[:-1]) / 2
    return (middle[:, None] + half[:, None] * x).ravel(), (half[:, None] * w).ravel()


@eqx.filter_jit
def through_embeddings(
    actor: GaussianActor, baseline: float = 0.0, algorithm: type[ActorCritic] = VPG
) -> GaussianActor:
    """The gradient of J_i (eq. 8): sum over s of d(s) times the integral of grad pi_i Q de,
    by way of the loss that an algorithm takes its steps with. f is the library's own."""
    pi = overall(actor)
    v = values(pi)
    q = action_values(v) - baseline * v[:, None]
    nodes, weights = quadrature()
    e = jnp.asarray(nodes[:, None])
    chosen = nearest(jnp.asarray(TABLE), e)
    x = jnp.broadcast_to(PHI[:, None], (STATES, len(nodes), 2))
    u = jnp.broadcast_to(e, (STATES, len(nodes), 1))
    policy = Policy(actor, NearestAction())
    log_prob = policy.log_prob(jnp.asarray(TABLE), x, u, chosen_everywhere(chosen))
    density = jnp.exp(log_prob)
    # The loss is a mean over samples; here each node counts by its probability.
    advantage = visits(pi)[:, None] * weights * density * q[:, chosen] * (STATES * len(nodes))
    lesson = Minibatch(x, u, chosen_everywhere(chosen), advantage, log_prob)
    loss = eqx.filter_grad(algorithm().policy_loss, has_aux=True)
    gradient, _ = loss(policy, jnp.asarray(TABLE), lesson)
    return jax.tree.map(jnp.negative, gradient.actor)


def chosen_everywhere(chosen: jax.Array) -> jax.Array:
    """The actions of the nodes, in every state."""
    return jnp.broadcast_to(chosen, (STATES, *chosen.shape))


def flat(tree: Any) -> np.ndarray:
    """All numbers of a pytree in a row."""
    return np.concatenate(
        [np.ravel(leaf) for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array))]
    )


@pytest.mark.parametrize("algorithm", [VPG, PPO])
@pytest.mark.parametrize("bounded", [True, False])
def test_the_gradients_through_both_spaces_are_equal(
    bounded: bool, algorithm: type[ActorCritic]
) -> None:
    # PPO's is the same as long as the policy is the one that took the samples.
    actor = new_actor(bounded)
    original = flat(eqx.filter_jit(eqx.filter_grad(worth))(actor))
    assert np.abs(original).max() > 0.05
    np.testing.assert_allclose(
        flat(through_embeddings(actor, algorithm=algorithm)), original, atol=1e-9
    )


def test_a_baseline_changes_nothing() -> None:
    actor = new_actor()
    with_baseline = flat(through_embeddings(actor, baseline=1.0))
    np.testing.assert_allclose(with_baseline, flat(through_embeddings(actor)), atol=1e-9)


def test_the_gradient_is_the_slope_of_what_the_policy_is_worth() -> None:
    actor = new_actor()
    gradient = through_embeddings(actor)
    rng = np.random.default_rng(1)
    for _ in range(3):
        direction = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), gradient)
        ahead, behind = (
            worth(eqx.apply_updates(actor, jax.tree.map(lambda d, h=h: h * d, direction)))
            for h in (1e-5, -1e-5)
        )
        slope = float(ahead - behind) / 2e-5
        assert flat(gradient) @ flat(direction) == pytest.approx(slope, abs=1e-7)


def test_both_spaces_agree_on_what_the_policy_is_worth() -> None:
    # Lemma 1 with pi = pi_o: v(s) is the integral of pi_i(e|x) Q(s, f(e)).
    actor = new_actor()
    v = values(overall(actor))
    nodes, weights = quadrature()
    chosen = np.asarray(jax.jit(nearest)(jnp.asarray(TABLE), jnp.asarray(nodes[:, None])))
    density_at = eqx.filter_jit(lambda x, e: jnp.exp(actor.log_prob(x, e)))
    for state in range(STATES):
        density = np.asarray(density_at(PHI[state], jnp.asarray(nodes[:, None])))
        integral = (weights * density * np.asarray(action_values(v))[state, chosen]).sum()
        assert integral == pytest.approx(float(v[state]), abs=1e-10)


def test_following_the_embedding_gradient_improves_the_overall_policy() -> None:
    actor = new_actor()
    before = worth(actor)
    for _ in range(5):
        gradient = through_embeddings(actor)
        actor = eqx.apply_updates(actor, jax.tree.map(lambda g: 0.02 * g, gradient))
        after = worth(actor)
        assert after > before
        before = after


def test_a_narrow_gaussian_at_the_best_embeddings_is_optimal() -> None:
    # Theorem 1. Here phi(s) is a one-hot, so that the mean can be chosen for each state.
    v = np.zeros(STATES)
    for _ in range(500):
        v = (REWARD + GAMMA * TRANSITION @ v).max(1)
    best = (REWARD + GAMMA * TRANSITION @ v).argmax(1)
    assert len(set(best)) > 1
    actor = GaussianActor(STATES, 1, (), std=0.01, bounded=False, key=jax.random.key(0))
    actor = eqx.tree_at(lambda a: a.mean.layers[0].weight, actor, jnp.asarray(TABLE[best]))
    pi = overall(actor, np.eye(STATES))
    np.testing.assert_allclose(values(pi), v, atol=1e-6)
    wide = eqx.tree_at(lambda a: a.log_std, actor, jnp.zeros(1))
    assert (np.asarray(values(overall(wide, np.eye(STATES)))) < v - 0.05).all()
