"""Pi_o = f . pi_i . phi, part by part."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embrl.algorithms.actors import CategoricalActor, GaussianActor
from embrl.algorithms.base import EmbeddedActions, PolicyConfig
from embrl.algorithms.policy import OverallPolicy
from embrl.algorithms.sac import SAC
from embrl.core.errors import EmbrlError
from embrl.decoding import Identity, NearestAction, SoftmaxAction, Wolpertinger, nearest

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
TABLE = jnp.asarray(RNG.uniform(-1.0, 1.0, (20, 2)).astype(np.float32))
PHI = jnp.asarray(RNG.normal(size=(9, 3)).astype(np.float32))
STATES = np.arange(9, dtype=np.int32)


def phi(state: Any) -> Any:
    return PHI[state]


act: Any = eqx.filter_jit(OverallPolicy.act)
mode: Any = eqx.filter_jit(OverallPolicy.mode)
draw: Any = eqx.filter_jit(OverallPolicy.noise)
near = jax.jit(nearest)


def gaussian() -> GaussianActor:
    return GaussianActor(3, 2, (8,), std=0.6, bounded=True, key=KEY)


def test_an_action_is_f_of_what_the_actor_drew() -> None:
    policy = OverallPolicy(phi, gaussian(), NearestAction(), TABLE)
    noise = draw(policy, jax.random.key(3), (9,))
    action, u = act(policy, STATES, noise)
    np.testing.assert_allclose(u, eqx.filter_jit(policy.actor.act)(PHI, noise[0]), rtol=1e-5)
    np.testing.assert_array_equal(action, near(TABLE, u))
    expected = near(TABLE, eqx.filter_jit(policy.actor.mode)(PHI))
    np.testing.assert_array_equal(mode(policy, STATES), expected)


def test_without_an_embedding_the_actor_s_choice_is_the_action() -> None:
    actor = CategoricalActor(3, 20, (8,), key=KEY)
    policy = OverallPolicy(phi, actor, Identity(), None)
    mask = np.arange(20) % 2 == 0
    noise = draw(policy, jax.random.key(3), (9,))
    assert noise[1] is None
    action, u = act(policy, STATES, noise, mask)
    np.testing.assert_array_equal(action, u)
    assert not (np.asarray(action) % 2).any()
    np.testing.assert_array_equal(mode(policy, STATES, mask), eqx.filter_jit(actor.mode)(PHI, mask))


def test_a_random_f_has_noise_of_its_own() -> None:
    plain = OverallPolicy(phi, gaussian(), NearestAction(), TABLE)
    policy = OverallPolicy(phi, gaussian(), SoftmaxAction(10.0), TABLE)
    ours, theirs = draw(policy, KEY, (9,)), draw(plain, KEY, (9,))
    np.testing.assert_array_equal(ours[0], theirs[0])
    u = act(policy, STATES, ours)[1]
    np.testing.assert_array_equal(u, act(plain, STATES, theirs)[1])
    assert ours[1] is not None
    first, second = (
        np.asarray(act(policy, STATES, (ours[0], noise))[0])
        for noise in (ours[1], 1 - np.asarray(ours[1]))
    )
    assert (first != second).any()
    np.testing.assert_array_equal(mode(policy, STATES), mode(plain, STATES))


@pytest.mark.parametrize("f", [NearestAction(), SoftmaxAction(0.5), Wolpertinger(k=3)])
def test_a_masked_action_is_never_taken(f: Any) -> None:
    learner = SAC().start(3, EmbeddedActions(2), f, PolicyConfig(hidden=(8,)), key=KEY)
    policy = OverallPolicy(phi, learner.actor, f, TABLE, learner)
    mask = np.arange(20) % 5 == 3
    states = np.tile(STATES, 20)
    action, _ = act(policy, states, draw(policy, KEY, (180,)), mask)
    assert mask[np.asarray(action)].all()
    assert mask[np.asarray(mode(policy, STATES, mask))].all()


def test_a_critic_may_have_the_last_word() -> None:
    learner = SAC().start(
        3, EmbeddedActions(2), Wolpertinger(k=20), PolicyConfig(hidden=(8,)), key=KEY
    )
    policy = OverallPolicy(phi, learner.actor, learner.f, TABLE, learner)
    # Of all 20 the best by the lower of the twins, wherever the actor points.
    every = np.broadcast_to(TABLE, (9, 20, 2))
    x = np.broadcast_to(np.asarray(PHI)[:, None], (9, 20, 3))
    critic: Any = eqx.filter_jit(learner.critic)
    best = np.asarray(critic(x, every)).min(0).argmax(-1)
    action, _ = act(policy, STATES, draw(policy, KEY, (9,)))
    np.testing.assert_array_equal(action, best)
    np.testing.assert_array_equal(mode(policy, STATES), best)


def test_an_f_that_needs_a_critic_says_so() -> None:
    policy = OverallPolicy(phi, gaussian(), Wolpertinger(k=2), TABLE)
    with pytest.raises(EmbrlError, match="critic"):
        mode(policy, STATES)
