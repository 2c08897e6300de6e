"""Supervised training of a policy on demonstrations."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from embrl.algorithms.actors import CategoricalActor, GaussianActor
from embrl.algorithms.on_policy import StochasticPolicy
from embrl.config.defaults import default_config
from embrl.config.run import ImitationConfig
from embrl.config.settings_by_name import replaced
from embrl.core.errors import EmbrlError
from embrl.core.types import TimeStep
from embrl.decoding import search
from embrl.decoding.continuous import Identity
from embrl.decoding.nearest import NearestAction
from embrl.envs.environment import Demonstrations, Environment
from embrl.envs.glimpses import GlimpsesConfig
from embrl.envs.gridworld import GridworldConfig
from embrl.envs.translation import Translation, TranslationConfig
from embrl.training.imitation import cross_entropy, learning_rate
from embrl.training.trainer import Trainer

KEY = jax.random.key(0)


def of(name: str, env: Any, algorithm: str = "ppo", **settings: Any) -> Trainer:
    config = default_config(name, env, "none", algorithm, total_timesteps=2_000)
    return Trainer.of(replaced(config, settings), env.build())


def right(trainer: Trainer, shown: Any) -> tuple[float, float]:
    """Return how often a policy does what is shown, before and after imitation."""
    env = trainer.env
    assert env is not None

    @jax.jit
    def compared(key):
        before = trainer.start(env, key, trainer.new_agent(key, None), None)
        after = trainer.imitate(env, before, key)
        policies = [trainer.policy(state.agent) for state in (before, after)]
        return [(policy.mode(shown.observation) == shown.action).mean() for policy in policies]

    before, after = compared(KEY)
    return float(before), float(after)


def test_a_policy_learns_what_an_expert_shows(tmp_path):
    path = tmp_path / "pairs.csv"
    rows = [f"word{at} and,mot{at} {'et' if at % 2 else 'ou'}" for at in range(10)]
    path.write_text("\n".join(["source,target", *rows]) + "\n")
    steps: dict[str, Any] = {"imitation.gradient_steps": 60, "imitation.batch_size": 64}
    trainer = of("translation", TranslationConfig(data=str(path)), **steps)
    env = trainer.env
    assert isinstance(env, Translation)
    shown = env.demonstrations(KEY, 100)

    before, after = right(trainer, shown)
    assert before < 0.5
    assert after > 0.9


def test_convolutions_take_whole_steps_although_their_gradients_are_small(tmp_path):
    path = tmp_path / "images.npz"
    images = np.random.default_rng(0).integers(0, 256, (10, 16, 16), np.uint8)
    np.savez(path, images=images, labels=np.arange(10))
    config = GlimpsesConfig(data=str(path), given="whole")
    steps: dict[str, Any] = {"imitation.gradient_steps": 1, "imitation.learning_rate": 1e-3}
    trainer = of("glimpses", config, **steps)
    env = trainer.env
    assert env is not None
    before = jax.jit(lambda: trainer.start(env, KEY, trainer.new_agent(KEY, None), None))()
    after = jax.jit(lambda: trainer.imitate(env, before, KEY))()
    old, new = (state.agent.learner.actor.logits.layers[0] for state in (before, after))
    moved = np.abs(new.convolutions[0].weight - old.convolutions[0].weight)
    # The first step of Adam is as long as the rate, whatever the gradient.
    assert np.median(moved) == pytest.approx(1e-3, rel=0.05)


@pytest.mark.parametrize(
    ("warmup", "rates"),
    [
        # 2 (1 + cos(pi step / 4)) / 2, and then the first two a half and the whole of it.
        pytest.param(0, [2.0, 1.7071, 1.0, 0.2929], id="none"),
        pytest.param(2, [1.0, 1.7071, 1.0, 0.2929], id="two steps"),
    ],
)
def test_the_learning_rate_rises_and_falls(warmup, rates):
    config = ImitationConfig(gradient_steps=4, learning_rate=2.0, warmup=warmup)
    found = [float(learning_rate(config, jnp.int32(step))) for step in range(4)]
    np.testing.assert_allclose(found, rates, rtol=1e-4)


def test_in_an_embedding_it_is_a_softmax_of_densities():
    actor = GaussianActor(3, 2, (4,), std=0.5, bounded=True, key=KEY)
    table, x = jax.random.normal(KEY, (5, 2)), jax.random.normal(KEY, (7, 3))
    action = jnp.arange(7) % 5
    density = jax.vmap(lambda e: actor.log_prob(x, jnp.broadcast_to(e, (7, 2))))(table)  # [5, 7]
    wanted = -jax.nn.log_softmax(density, 0)[action, jnp.arange(7)].mean()
    policy = StochasticPolicy(actor, NearestAction())
    np.testing.assert_allclose(cross_entropy(policy, table, x, action, None), wanted, rtol=1e-4)
    only = jnp.arange(5) == 1
    found = cross_entropy(policy, table, x, jnp.ones(7, jnp.int32), only)
    np.testing.assert_allclose(found, 0.0, atol=1e-6)
    # What may not be chosen teaches nothing, in either kind of policy.
    first = jnp.arange(5) != 0
    without = (action != 0).nonzero()[0]
    indices = StochasticPolicy(CategoricalActor(3, 5, (4,), key=KEY), Identity())
    for each, places in ((policy, table), (indices, None)):
        kept = cross_entropy(each, places, x[without], action[without], first)
        gradient = jax.grad(lambda x: cross_entropy(each, places, x, action, first))(x)  # noqa: B023
        np.testing.assert_allclose(cross_entropy(each, places, x, action, first), kept, rtol=1e-5)
        assert np.isfinite(gradient).all()
        assert (np.asarray(gradient)[np.asarray(action) == 0] == 0).all()


def test_masks_that_allow_few_of_many_actions_teach_the_same():
    rng = np.random.default_rng(0)
    n = search.MANY * search.FEW
    actor = GaussianActor(3, 2, (4,), std=0.5, bounded=True, key=KEY)
    policy = StochasticPolicy(actor, NearestAction())
    table, x = jax.random.normal(KEY, (n, 2)), jax.random.normal(KEY, (6, 3))
    mask = np.zeros((6, n), bool)
    for row in range(6):
        mask[row, rng.choice(n, search.FEW, replace=False)] = True
    action = mask.argmax(-1).astype(np.int32)
    action[5] = (~mask[5]).argmax()  # which may not be chosen

    def taught(few):
        gradient = eqx.filter_value_and_grad(cross_entropy)
        return gradient(policy, table, x, jnp.asarray(action), jnp.asarray(mask), few)

    loss, gradient = taught(few=False)
    among_few, same = taught(few=True)
    np.testing.assert_allclose(among_few, loss, rtol=1e-5)
    for one, other in zip(jax.tree.leaves(gradient), jax.tree.leaves(same), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    assert float(jnp.abs(gradient.actor.log_std).max()) > 0


class Shown(Environment):
    """Numbers around 50; an expert says whether the first is above."""

    @property
    def observation_space(self) -> spaces.Box:
        return spaces.Box(-np.inf, np.inf, (2,), np.float32)

    @property
    def action_space(self) -> spaces.Discrete:
        return spaces.Discrete(2)

    def reset(self, key: Any) -> tuple[Any, Any]:
        return jnp.int32(0), jnp.zeros(2)

    def step(self, key: Any, state: Any, action: Any) -> tuple[Any, TimeStep]:
        nothing = jnp.zeros(2), jnp.float32(0), jnp.bool_(True), jnp.bool_(False)
        return state, TimeStep(*nothing)

    def demonstrations(self, key: Any, count: int) -> Demonstrations:
        seen = 50.0 + 3.0 * jax.random.normal(key, (count, 2))
        return Demonstrations(seen, (seen[:, 0] > 50.0).astype(jnp.int32))


def test_what_a_policy_sees_is_scaled_before_it_imitates():
    env = Shown()
    config = default_config("gridworld", GridworldConfig(4), "none", "ppo", total_timesteps=2_000)
    config = replaced(config, {"imitation.gradient_steps": 1, "imitation.batch_size": 8})
    trainer = Trainer(config, env.observation_space, env.action_space, env=env)
    state = trainer.start(env, KEY, trainer.new_agent(KEY, None), None)
    stats = trainer.imitate(env, state, KEY).agent.running_stats
    assert stats is not None
    np.testing.assert_allclose(stats.centre, 50.0, atol=0.3)
    np.testing.assert_allclose(stats.variance, 9.0, rtol=0.15)


def test_it_needs_an_expert_and_a_policy_gradient():
    with pytest.raises(EmbrlError, match=r"imitation\.gradient_steps must be 0 here, got 5"):
        of("gridworld", GridworldConfig(4), "ppo", **{"imitation.gradient_steps": 5})
    with pytest.raises(EmbrlError, match=r"imitation\.batch_size"):
        of("gridworld", GridworldConfig(4), "ppo", **{"imitation.batch_size": 0})
    with pytest.raises(EmbrlError, match=r"imitation\.gradient_steps must be 0 with .*sac"):
        of("gridworld", GridworldConfig(4), "sac", **{"imitation.gradient_steps": 5})
