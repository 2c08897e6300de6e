"""VPG and PPO where values and best policies are known."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from probes import World, learn, states_as_factors

from embrl.algorithms.actors import CategoricalActor, GaussianActor
from embrl.algorithms.base import EmbeddedActions, IndexedActions, InternalSpace, PolicyConfig
from embrl.algorithms.ppo import PPO
from embrl.algorithms.vpg import VPG

SETTINGS: dict[str, Any] = {
    "vpg": VPG(actor_lr=0.02, std_lr=0.01, critic_lr=0.03, gamma=0.8),
    "ppo": PPO(actor_lr=0.01, std_lr=0.01, critic_lr=0.03, gamma=0.8, update_epochs=4),
}
IN_PARTS = PPO(
    actor_lr=0.005, std_lr=0.005, critic_lr=0.01, gamma=0.8, update_epochs=3, num_minibatches=4
)
settings = pytest.mark.parametrize(
    "hyper",
    # Both learn the same values from the same estimates of advantages.
    [SETTINGS["vpg"], pytest.param(SETTINGS["ppo"], marks=pytest.mark.slow)],
    ids=SETTINGS,
)
in_parts = pytest.mark.parametrize(
    "hyper", [SETTINGS["vpg"], IN_PARTS], ids=["vpg", "ppo in parts"]
)


def never(state: Any) -> Any:
    return jnp.zeros(state.shape, bool)


def always(state: Any) -> Any:
    return jnp.ones(state.shape, bool)


@pytest.mark.parametrize(
    ("hyper", "internal"),
    [(SETTINGS["vpg"], EmbeddedActions(2)), (SETTINGS["ppo"], IndexedActions(4))],
    ids=["vpg of points", "ppo of indices"],
)
def test_a_value_may_depend_on_the_state(hyper: Any, internal: InternalSpace) -> None:
    # One step; the reward is the state's, whatever is done.
    worth = jnp.array([1.0, -2.0, 0.5])
    features = jnp.array([[1.0, 0.0], [-0.5, 1.0], [0.0, -1.0]])
    world = World(features, lambda s, u: (worth[s], s, always(s), never(s)), starts=jnp.arange(3))
    learner, _ = learn(hyper, world, internal, updates=150)
    np.testing.assert_allclose(learner.critic(features)[:, 0], worth, atol=0.05)


@in_parts
def test_what_comes_later_counts_less(hyper: Any) -> None:
    # 0 -> 1 -> 2 -> end, with a reward of 1 on the last step only.
    world = World(
        states_as_factors(3),
        lambda s, u: (jnp.where(s == 2, 1.0, 0.0), (s + 1) % 3, s == 2, never(s)),
        starts=jnp.array([0]),
    )
    learner, _ = learn(hyper, world, IndexedActions(2), updates=120, steps=6, lanes=8)
    np.testing.assert_allclose(learner.critic(world.features)[:, 0], [0.64, 0.8, 1.0], atol=0.03)


@settings
def test_a_step_limit_is_no_end_of_the_world(hyper: Any) -> None:
    # Two rings of three states with a reward of 1, cut after the last one. Terminated: what is
    # left to come, 1 + .8 + .64. Truncated: 1 / (1 - .8) = 5 always.
    def step(s: Any, u: Any) -> Any:
        following = jnp.where(s % 3 == 2, s - 2, s + 1)
        return jnp.ones(s.shape), following, s == 2, s == 5

    world = World(states_as_factors(6), step, starts=jnp.array([0, 3]))
    learner, _ = learn(
        hyper,
        world,
        IndexedActions(2),
        updates=250,
        steps=6,
        lanes=16,
        config=PolicyConfig(hidden=()),
    )
    truth = [2.44, 1.8, 1.0, 5.0, 5.0, 5.0]
    np.testing.assert_allclose(learner.critic(world.features)[:, 0], truth, atol=0.07)


@pytest.mark.parametrize(
    ("hyper", "bounded"),
    [(SETTINGS["vpg"], False), (SETTINGS["ppo"], True)],
    ids=["vpg", "bounded ppo"],
)
def test_a_gaussian_moves_to_the_rewarded_points_and_narrows(hyper: Any, bounded: bool) -> None:
    best = jnp.array([[0.5, -0.3], [-0.4, 0.2]])
    world = World(
        jnp.array([[1.0], [-1.0]]),
        lambda s, u: (-((u - best[s]) ** 2).sum(-1), s, always(s), never(s)),
        starts=jnp.arange(2),
    )
    config = PolicyConfig(hidden=(16,), std=0.5, bounded=bounded)
    learner, measures = learn(
        hyper, world, EmbeddedActions(2), updates=200, lanes=128, config=config
    )
    assert isinstance(learner.actor, GaussianActor)
    np.testing.assert_allclose(learner.actor.mode(world.features), best, atol=0.08)
    assert (np.exp(learner.actor.log_std) < 0.3).all()
    assert measures["entropy"][-1] < measures["entropy"][0]


@in_parts
def test_a_categorical_policy_finds_the_best_action_of_each_state(hyper: Any) -> None:
    worth = jnp.array([[0.0, 0.5, 1.0, -1.0], [0.3, -0.2, 0.0, 0.9]])
    world = World(
        states_as_factors(2),
        lambda s, u: (worth[s, u], s, always(s), never(s)),
        starts=jnp.arange(2),
    )
    learner, _ = learn(hyper, world, IndexedActions(4), updates=120)
    assert isinstance(learner.actor, CategoricalActor)
    p = np.exp(learner.actor.log_probs(world.features))
    assert p[0, 2] > 0.9
    assert p[1, 3] > 0.9
    np.testing.assert_array_equal(learner.actor.mode(world.features), [2, 3])


@settings
def test_a_policy_gives_up_a_reward_for_a_greater_one_later(hyper: Any) -> None:
    # Action 0 ends with .5; action 1 pays 1 one step later: .8 at this discount.
    def step(s: Any, u: Any) -> Any:
        ends = (s == 1) | (u == 0)
        return jnp.where(s == 1, 1.0, jnp.where(u == 0, 0.5, 0.0)), 0 * s + 1, ends, never(s)

    world = World(states_as_factors(2), step, starts=jnp.array([0]))
    learner, _ = learn(hyper, world, IndexedActions(2), updates=150, steps=4, lanes=16)
    assert isinstance(learner.actor, CategoricalActor)
    assert np.exp(learner.actor.log_probs(world.features))[0, 1] > 0.9
    assert learner.critic(world.features)[0, 0] == pytest.approx(0.8, abs=0.05)
