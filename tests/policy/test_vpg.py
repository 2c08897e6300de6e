"""VPG against gradients and Adam steps written by hand, and on problems with known answers."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embrl.networks import MLP
from embrl.policy import ALGORITHMS
from embrl.policy.actors import Actor, CategoricalActor, GaussianActor
from embrl.policy.vpg import VPG, Batch, Learner, actor_loss, critic_loss

KEY = jax.random.key(0)


def linear_gaussian(std: float = 0.5) -> GaussianActor:
    """mu(x) = W^T x + b with two features and two dimensions."""
    actor = GaussianActor(2, 2, (), std=std, bounded=False, key=KEY)
    weight = jnp.array([[0.3, -0.2], [0.1, 0.4]])
    return eqx.tree_at(lambda a: a.mean.layers[0].weight, actor, weight)


def random_batch(lanes: int = 4) -> Batch:
    """Eight steps of linear features, with both kinds of end in the middle."""
    rng = np.random.default_rng(0)
    x, u, next_x = rng.normal(size=(3, 8, lanes, 2)).astype(np.float32)
    end = rng.random((8, lanes))
    return Batch(
        x=jnp.asarray(x),
        u=jnp.asarray(u),
        reward=jnp.asarray(rng.normal(size=(8, lanes)), jnp.float32),
        next_x=jnp.asarray(next_x),
        terminated=jnp.asarray(end < 0.1),
        truncated=jnp.asarray((end > 0.1) & (end < 0.3)),
    )


def plain(tree: Any) -> list[np.ndarray]:
    """The arrays of a model, in float64."""
    return [
        np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array))
    ]


def score(
    weight: np.ndarray, bias: np.ndarray, log_std: np.ndarray, batch: Batch, advantage: np.ndarray
) -> list[np.ndarray]:
    """Gradients of - mean A log N(u; W^T x + b, std), from the score function."""
    x, u = np.asarray(batch.x, np.float64), np.asarray(batch.u, np.float64)
    z = (u - x @ weight - bias) / np.exp(log_std)
    weighted = -advantage[..., None] * z / np.exp(log_std) / advantage.size
    return [
        np.einsum("tbi,tbj->ij", x, weighted),
        weighted.sum((0, 1)),
        (-advantage[..., None] * (z**2 - 1)).mean((0, 1)),
    ]


def adam(values: list[np.ndarray], gradient_at: Any, rates: list[float], steps: int) -> Any:
    """Adam (Kingma & Ba 2015, algorithm 1) in NumPy, from a fresh start."""
    first = [np.zeros_like(v) for v in values]
    second = [np.zeros_like(v) for v in values]
    for step in range(1, steps + 1):
        for k, g in enumerate(gradient_at(*values)):
            first[k] = 0.9 * first[k] + 0.1 * g
            second[k] = 0.999 * second[k] + 0.001 * g**2
            direction = (first[k] / (1 - 0.9**step)) / (
                np.sqrt(second[k] / (1 - 0.999**step)) + 1e-5
            )
            values[k] = values[k] - rates[k] * direction
    return values


def advantages_in_numpy(batch: Batch, critic: list[np.ndarray], vpg: VPG) -> tuple[Any, Any]:
    """Advantages of a linear critic, and its values."""
    weight, bias = critic
    value = (np.asarray(batch.x, np.float64) @ weight + bias)[..., 0]
    next_value = (np.asarray(batch.next_x, np.float64) @ weight + bias)[..., 0]
    advantage, after = np.zeros_like(value), np.zeros(value.shape[1])
    for t in reversed(range(len(value))):
        terminated, truncated = np.asarray(batch.terminated[t]), np.asarray(batch.truncated[t])
        error = np.asarray(batch.reward[t]) + vpg.gamma * next_value[t] * ~terminated - value[t]
        after = error + vpg.gamma * vpg.gae_lambda * ~terminated * ~truncated * after
        advantage[t] = after
    return advantage, value


def test_the_actor_s_gradient_is_the_score_function_s() -> None:
    actor, batch = linear_gaussian(), random_batch()
    advantage = np.random.default_rng(1).normal(size=(8, 4))
    gradient = eqx.filter_jit(eqx.filter_grad(actor_loss))(
        actor, batch.x, batch.u, jnp.asarray(advantage, jnp.float32)
    )
    weight, bias, log_std = plain(actor)
    expected = score(weight, bias, log_std, batch, advantage)
    for ours, theirs in zip(plain(gradient), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("steps", "scale_by_std", "entropy_cost"),
    [(1, False, 0.0), (3, False, 0.0), (3, True, 0.0), (3, False, 0.1)],
)
def test_an_update_is_what_numpy_makes_of_it(
    steps: int, scale_by_std: bool, entropy_cost: float
) -> None:
    vpg = VPG(
        actor_lr=0.01, std_lr=0.03, critic_lr=0.02, gamma=0.9, gae_lambda=0.8,
        actor_steps=steps, critic_steps=2 * steps,
        scale_by_std=scale_by_std, entropy_cost=entropy_cost,
    )  # fmt: skip
    actor, critic, batch = linear_gaussian(), MLP(2, (), 1, key=KEY), random_batch()
    actor = eqx.tree_at(lambda a: a.log_std, actor, jnp.log(jnp.array([0.25, 1.0])))
    learner, measures = jax.jit(vpg.update)(vpg.start(actor, critic), batch)

    raw, value = advantages_in_numpy(batch, plain(critic), vpg)
    target = raw + value
    advantage = (raw - raw.mean()) / raw.std()
    x = np.asarray(batch.x, np.float64)

    def slope(weight: np.ndarray, bias: np.ndarray) -> list[np.ndarray]:
        error = 2 * ((x @ weight + bias)[..., 0] - target) / target.size
        return [np.einsum("tbi,tb->i", x, error)[:, None], error.sum(keepdims=True)[0]]

    def descent(weight: np.ndarray, bias: np.ndarray, log_std: np.ndarray) -> list[np.ndarray]:
        by_weight, by_bias, by_log_std = score(weight, bias, log_std, batch, advantage)
        return [by_weight, by_bias, by_log_std + entropy_cost]  # entropy: sum of log std + const

    # The mean's rate goes with the geometric mean of the two stds, sqrt(.25 * 1).
    rate = 0.01 * (0.5 if scale_by_std else 1.0)
    new_actor = adam(plain(actor), descent, [rate, rate, 0.03], steps)
    new_critic = adam(plain(critic), slope, [0.02, 0.02], 2 * steps)
    for ours, theirs in zip(plain(learner.actor), new_actor, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)
    for ours, theirs in zip(plain(learner.critic), new_critic, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)
    assert measures["critic_loss"] == pytest.approx((raw**2).mean(), rel=1e-4)


def test_an_update_is_deterministic_and_goes_on_from_its_optimiser() -> None:
    vpg, batch = VPG(), random_batch()
    update = jax.jit(vpg.update)
    start = vpg.start(linear_gaussian(), MLP(2, (4,), 1, key=KEY))
    once, again = update(start, batch)[0], update(start, batch)[0]
    for one, other in zip(plain(once), plain(again), strict=True):
        np.testing.assert_array_equal(one, other)
    # Adam's moments are carried over: a second update differs from one with fresh moments.
    carried = update(once, batch)[0]
    fresh = update(vpg.start(once.actor, once.critic), batch)[0]
    assert np.abs(plain(carried.actor)[0] - plain(fresh.actor)[0]).max() > 1e-6


def test_advantages_are_normalised() -> None:
    # With lambda = gamma = 0 and a critic at zero the advantage is the reward.
    vpg, batch = VPG(gamma=0.0, gae_lambda=0.0), random_batch()
    critic = jax.tree.map(jnp.zeros_like, MLP(2, (), 1, key=KEY))
    start = vpg.start(linear_gaussian(), critic)
    update = jax.jit(vpg.update)
    usual = update(start, batch)[0]
    scaled = update(start, batch._replace(reward=100 * batch.reward + 30))[0]
    for one, other in zip(plain(usual.actor), plain(scaled.actor), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_equal_rewards_teach_nothing_and_break_nothing() -> None:
    vpg, batch = VPG(gamma=0.0, gae_lambda=0.0), random_batch()
    critic = jax.tree.map(jnp.zeros_like, MLP(2, (), 1, key=KEY))
    start = vpg.start(linear_gaussian(), critic)
    after = jax.jit(vpg.update)(start, batch._replace(reward=jnp.ones((8, 4))))[0]
    for before, now in zip(plain(start.actor), plain(after.actor), strict=True):
        np.testing.assert_array_equal(before, now)


def test_the_critic_s_loss_is_the_mean_squared_error() -> None:
    critic = MLP(1, (), 1, key=KEY)
    critic = eqx.tree_at(lambda c: c.layers[0].weight, critic, jnp.array([[2.0]]))
    x, target = jnp.array([[[1.0]], [[3.0]]]), jnp.array([[0.0], [7.0]])
    assert critic_loss(critic, x, target) == pytest.approx((4.0 + 1.0) / 2)


def test_a_bounded_mean_is_the_tanh_of_an_unbounded_one() -> None:
    free, bounded = (
        GaussianActor(2, 2, (), std=0.5, bounded=bounded, key=KEY) for bounded in (False, True)
    )
    x = 500 * random_batch().x
    np.testing.assert_allclose(bounded.mode(x), np.tanh(free.mode(x)), rtol=1e-5)
    assert np.abs(free.mode(x)).max() > 1.0


def learn_bandit(actor: Actor, vpg: VPG, reward: Any, x: jax.Array, updates: int) -> Actor:
    """One-step episodes, `x.shape[1]` at a time, from the same features."""
    ends = jnp.ones(x.shape[:2], bool)

    def one(learner: Learner, key: jax.Array) -> tuple[Learner, None]:
        u = learner.actor.act(x, learner.actor.noise(key, x.shape[:2]))
        return vpg.update(learner, Batch(x, u, reward(u), x, ends, ~ends))[0], None

    start = vpg.start(actor, MLP(x.shape[-1] if x.dtype == jnp.float32 else (1,), (), 1, key=KEY))
    learner, _ = jax.jit(lambda keys: jax.lax.scan(one, start, keys))(
        jax.random.split(KEY, updates)
    )
    return learner.actor


@pytest.mark.parametrize("bounded", [False, True])
def test_a_gaussian_moves_to_the_rewarded_point_and_narrows(bounded: bool) -> None:
    best, x = jnp.array([0.5, -0.3]), jnp.ones((1, 64, 1))
    actor = GaussianActor(1, 2, (8,), std=0.5, bounded=bounded, key=KEY)
    before = np.abs(actor.mode(x[0, 0]) - best).max()
    after = learn_bandit(
        actor,
        VPG(actor_lr=0.01, std_lr=0.01, critic_lr=0.05),
        lambda u: -((u - best) ** 2).sum(-1),
        x,
        updates=120,
    )
    assert isinstance(after, GaussianActor)
    assert before > 0.25
    np.testing.assert_allclose(after.mode(x[0, 0]), best, atol=0.07)
    assert (np.exp(after.log_std) < 0.35).all()


def test_a_categorical_policy_finds_the_best_arm() -> None:
    worth = jnp.array([0.0, 0.5, 1.0, 0.8, -1.0])
    x = jnp.zeros((1, 64, 1), jnp.int32)
    actor = CategoricalActor((1,), 5, (8,), key=KEY)
    after = learn_bandit(
        actor, VPG(actor_lr=0.02, critic_lr=0.05), lambda u: worth[u], x, updates=100
    )
    np.testing.assert_allclose(actor.log_prob(x[0, 0], jnp.int32(2)), np.log(0.2), atol=0.05)
    assert np.exp(after.log_prob(x[0, 0], jnp.int32(2))) > 0.9
    assert after.mode(x[0, 0]) == 2


@pytest.mark.parametrize("ending", ["terminated", "truncated"])
def test_the_critic_learns_what_a_constant_reward_is_worth(ending: str) -> None:
    # Four states in a ring, reward 1, gamma .8; the episode ends after state 3, in the middle and
    # at the end of the batch. Terminated: 1 + .8 + .. to the end. Truncated: 1 / (1 - .8) always.
    state = jnp.array([0, 1, 2, 3, 0, 1, 2, 3])[:, None, None]
    end = jnp.array([False, False, False, True] * 2)[:, None]
    flags = {"terminated": end, "truncated": ~end & False}
    if ending == "truncated":
        flags = {"terminated": ~end & False, "truncated": end}
    batch = Batch(state, jnp.zeros((8, 1, 1)), jnp.ones((8, 1)), (state + 1) % 4, **flags)
    vpg = VPG(critic_lr=0.03, gamma=0.8, actor_steps=1, critic_steps=20)
    start = vpg.start(
        GaussianActor((4,), 1, (), std=1.0, bounded=False, key=KEY), MLP((4,), (), 1, key=KEY)
    )

    def one(learner: Learner, _: None) -> tuple[Learner, None]:
        return vpg.update(learner, batch)[0], None

    learner = jax.jit(lambda: jax.lax.scan(one, start, length=100)[0])()
    values = learner.critic(jnp.arange(4)[:, None])[:, 0]
    left = np.arange(4, 0, -1)
    truth = (1 - 0.8**left) / 0.2 if ending == "terminated" else np.full(4, 5.0)
    np.testing.assert_allclose(values, truth, atol=0.05)


def test_the_registry_knows_vpg() -> None:
    assert ALGORITHMS["vpg"] is VPG
