"""SAC where soft values and soft policies are known, from steps of a uniformly random policy."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import World, learn, states_as_factors
from scipy import integrate, special

from embrl.algorithms.actors import CategoricalActor, SquashedGaussianActor
from embrl.algorithms.base import EmbeddedActions, IndexedActions, PolicyConfig
from embrl.algorithms.critics import IndexCritic, PointCritic
from embrl.algorithms.sac import SAC

GAMMA = 0.8
STATES, ACTIONS = 3, 4
_rng = np.random.default_rng(0)
REWARD = _rng.normal(size=(STATES, ACTIONS)).astype(np.float32)
NEXT = _rng.integers(STATES, size=(STATES, ACTIONS)).astype(np.int32)
FLAG = _rng.random((STATES, ACTIONS)) < 0.4
"""Of ends: what kind of end, the tests say."""


def soft_values(alpha: float, terminated: np.ndarray) -> np.ndarray:
    """Soft value iteration: Q(s, a) = r + gamma (1 - terminated) alpha log sum exp(Q / alpha)."""
    q = np.zeros((STATES, ACTIONS))
    for _ in range(200):
        v = alpha * special.logsumexp(q / alpha, axis=1)
        q = REWARD + GAMMA * ~terminated * v[NEXT]
    return q


def world(ending: str) -> World:
    def step(s: Any, u: Any) -> Any:
        flag, nothing = jnp.asarray(FLAG)[s, u], jnp.zeros(s.shape, bool)
        ends = (flag, nothing) if ending == "terminated" else (nothing, flag)
        return jnp.asarray(REWARD)[s, u], jnp.asarray(NEXT)[s, u], *ends

    return World(states_as_factors(STATES), step, starts=jnp.arange(STATES))


@pytest.mark.parametrize(("alpha", "ending"), [(0.3, "terminated"), (1.0, "truncated")])
def test_values_and_policy_over_actions_are_those_of_soft_value_iteration(
    alpha: float, ending: str
) -> None:
    hyper = SAC(
        actor_lr=0.02, critic_lr=0.02, alpha=alpha, gamma=GAMMA, tau=0.05, batch_size=64,
        updates_per_step=1.0,
    )  # fmt: skip
    learner, measures = learn(
        hyper,
        world(ending),
        IndexedActions(ACTIONS),
        updates=25,
        lanes=64,
        config=PolicyConfig(hidden=()),
    )
    truth = soft_values(alpha, FLAG if ending == "terminated" else np.zeros_like(FLAG))
    assert isinstance(learner.critic, IndexCritic)
    assert isinstance(learner.actor, CategoricalActor)
    x = states_as_factors(STATES)
    every = jnp.broadcast_to(jnp.arange(ACTIONS, dtype=jnp.int32), (STATES, ACTIONS))
    for twin in learner.critic(x[:, None], every):
        np.testing.assert_allclose(twin, truth, atol=0.02)
    p = np.exp(learner.actor.log_probs(x))
    np.testing.assert_allclose(p, special.softmax(truth / alpha, axis=1), atol=0.02)
    assert measures["alpha"][-1] == pytest.approx(alpha)


BEST = np.array([[0.4, -0.2], [-0.5, 0.1]], np.float32)
ALPHA = 0.02


def two_steps(bonus: float) -> World:
    """0 -> 1 -> end. The nearer a point is to the best one of its state, the better."""

    def step(s: Any, u: Any) -> Any:
        reward = -((u - jnp.asarray(BEST)[s]) ** 2).sum(-1) + bonus * (s == 1)
        return reward, 0 * s + 1, s == 1, jnp.zeros(s.shape, bool)

    return World(jnp.array([[1.0], [-1.0]]), step, starts=jnp.array([0]))


def soft_value_of(best: np.ndarray) -> float:
    """Alpha log of the integral of exp(-|e - best|^2 / alpha) over (-1, 1)^2."""
    return ALPHA * sum(
        np.log(integrate.quad(lambda e, b=b: np.exp(-((e - b) ** 2) / ALPHA), -1, 1, points=[b])[0])
        for b in best
    )


def test_values_and_policy_over_points_are_the_soft_ones() -> None:
    hyper = SAC(
        actor_lr=5e-3, critic_lr=5e-3, alpha=ALPHA, gamma=GAMMA, tau=0.02, batch_size=128,
        updates_per_step=1.0,
    )  # fmt: skip
    learner, measures = learn(
        hyper,
        two_steps(1.0),
        EmbeddedActions(2),
        updates=40,
        lanes=50,
        config=PolicyConfig(hidden=(32, 32)),
    )
    assert isinstance(learner.actor, SquashedGaussianActor)
    assert isinstance(learner.critic, PointCritic)
    x = jnp.array([[1.0], [-1.0]])
    # The best policy is all but a Gaussian around each best point, with variance alpha / 2.
    np.testing.assert_allclose(learner.actor.mode(x), BEST, atol=0.05)
    noise = learner.actor.noise(jax.random.key(5), (2000, 2))
    drawn = np.asarray(learner.actor.act(x, noise))
    np.testing.assert_allclose(drawn.std(0), np.sqrt(ALPHA / 2), rtol=0.25)
    last = soft_value_of(BEST[1]) + 1.0
    points = np.random.default_rng(1).uniform(-0.7, 0.7, size=(2, 50, 2)).astype(np.float32)
    off = ((points - BEST[:, None]) ** 2).sum(-1)
    truth = np.stack([GAMMA * last - off[0], 1.0 - off[1]])
    for twin in learner.critic(x[:, None], jnp.asarray(points)):
        np.testing.assert_allclose(twin, truth, atol=0.06)
    judge = learner.scorer(x)
    assert judge is not None
    np.testing.assert_allclose(
        judge(jnp.asarray(points), jnp.zeros(1, jnp.int32)), truth, atol=0.06
    )
    # Of the Gaussian: log(std sqrt(2 pi e)) on either axis.
    entropy = 2 * np.log(np.sqrt(ALPHA / 2) * np.sqrt(2 * np.pi * np.e))
    assert measures["entropy"][-1] == pytest.approx(entropy, abs=0.3)


@pytest.mark.parametrize(
    "internal", [EmbeddedActions(2), IndexedActions(4)], ids=["points", "indices"]
)
def test_a_learned_alpha_holds_the_entropy_where_it_should_be(internal: Any) -> None:
    def step(s: Any, u: Any) -> Any:
        reward = jnp.array([0.0, 1.0, 0.2, -1.0])[u] if u.ndim == 1 else -(u**2).sum(-1)
        return reward, s, jnp.ones(s.shape, bool), jnp.zeros(s.shape, bool)

    target = -1.0 if isinstance(internal, EmbeddedActions) else 0.7
    hyper = SAC(
        actor_lr=0.01, critic_lr=0.01, alpha=0.5, alpha_lr=0.01, target_entropy=target, tau=0.05,
        batch_size=64, updates_per_step=1.0,
    )  # fmt: skip
    learner, measures = learn(
        hyper, World(jnp.ones((1, 1)), step, jnp.array([0])), internal, updates=40, lanes=50
    )
    assert measures["entropy"][-1] == pytest.approx(target, abs=0.12)
    alpha = np.exp(learner.log_alpha)
    if isinstance(internal, IndexedActions):
        # That of softmax(worth / alpha) is .7 at alpha = .53.
        p = special.softmax(np.array([0.0, 1.0, 0.2, -1.0]) / alpha)
        assert -(p * np.log(p)).sum() == pytest.approx(target, abs=0.1)
    else:
        # Of a Gaussian with variance alpha / 2 on two axes: 1 + log(pi alpha) in all.
        assert alpha == pytest.approx(np.exp(target - 1) / np.pi, rel=0.25)


def test_raw_states_go_with_embedded_actions() -> None:
    # Method RA: the state is looked up, the action is a point.
    best = jnp.array([[0.5], [-0.5], [0.0]])

    def step(s: Any, u: Any) -> Any:
        reward = -((u - best[s]) ** 2).sum(-1)
        return reward, s, jnp.ones(s.shape, bool), jnp.zeros(s.shape, bool)

    hyper = SAC(actor_lr=5e-3, critic_lr=5e-3, alpha=0.01, batch_size=128, updates_per_step=1.0)
    learner, _ = learn(
        hyper, World(states_as_factors(3), step, jnp.arange(3)), EmbeddedActions(1),
        updates=30, lanes=50, config=PolicyConfig(hidden=(32, 32)),
    )  # fmt: skip
    np.testing.assert_allclose(learner.actor.mode(states_as_factors(3)), best, atol=0.06)
