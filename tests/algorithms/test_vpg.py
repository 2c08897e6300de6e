"""VPG against gradients and Adam steps written by hand."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embrl.algorithms.actors import GaussianActor
from embrl.algorithms.base import Batch, Experience
from embrl.algorithms.on_policy import Learner, Minibatch, Policy, critic_loss
from embrl.algorithms.vpg import VPG
from embrl.core.nn import MLP
from embrl.decoding import Identity, SoftmaxAction

KEY = jax.random.key(0)


def linear_gaussian(std: float = 0.5) -> GaussianActor:
    """mu(x) = W^T x + b with two features and two dimensions."""
    actor = GaussianActor(2, 2, (), std=std, bounded=False, key=KEY)
    weight = jnp.array([[0.3, -0.2], [0.1, 0.4]])
    return eqx.tree_at(lambda a: a.mean.layers[0].weight, actor, weight)


def random_steps(lanes: int = 4) -> Batch:
    """Eight steps of linear features, with both kinds of end in the middle."""
    rng = np.random.default_rng(0)
    x, u, next_x = rng.normal(size=(3, 8, lanes, 2)).astype(np.float32)
    end = rng.random((8, lanes))
    return Batch(
        x=jnp.asarray(x),
        u=jnp.asarray(u),
        action=jnp.asarray(rng.integers(3, size=(8, lanes)), jnp.int32),
        reward=jnp.asarray(rng.normal(size=(8, lanes)), jnp.float32),
        next_x=jnp.asarray(next_x),
        terminated=jnp.asarray(end < 0.1),
        truncated=jnp.asarray((end > 0.1) & (end < 0.3)),
    )


def nothing_old(key: jax.Array, count: int) -> Batch:
    raise AssertionError("VPG looks at nothing old")


def update(vpg: VPG, table: jax.Array | None = None) -> Any:
    """`vpg.update` of a learner and fresh steps, compiled."""
    return jax.jit(
        lambda learner, steps: vpg.update(learner, Experience(steps, nothing_old, table), KEY)
    )


def new_learner(vpg: VPG, critic: MLP | None = None) -> Learner:
    return vpg.learner(Policy(linear_gaussian(), Identity()), critic or MLP(2, (4,), 1, key=KEY))


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
    actor, batch = linear_gaussian(), random_steps()
    advantage = np.random.default_rng(1).normal(size=(8, 4))
    lesson = Minibatch(
        batch.x, batch.u, batch.action, jnp.asarray(advantage, jnp.float32), jnp.zeros((8, 4))
    )
    gradient, _ = eqx.filter_jit(eqx.filter_grad(VPG().policy_loss, has_aux=True))(
        Policy(actor, Identity()), None, lesson
    )
    weight, bias, log_std = plain(actor)
    expected = score(weight, bias, log_std, batch, advantage)
    for ours, theirs in zip(plain(gradient), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("steps", "scale_by_std", "ent_coef"),
    [(1, False, 0.0), (3, False, 0.0), (3, True, 0.0), (3, False, 0.1)],
)
def test_an_update_is_what_numpy_makes_of_it(
    steps: int, scale_by_std: bool, ent_coef: float
) -> None:
    vpg = VPG(
        actor_lr=0.01, std_lr=0.03, critic_lr=0.02, gamma=0.9, gae_lambda=0.8,
        update_epochs=steps, critic_epochs=2 * steps,
        scale_by_std=scale_by_std, ent_coef=ent_coef,
    )  # fmt: skip
    actor, critic, batch = linear_gaussian(), MLP(2, (), 1, key=KEY), random_steps()
    actor = eqx.tree_at(lambda a: a.log_std, actor, jnp.log(jnp.array([0.25, 1.0])))
    learner, measures = update(vpg)(vpg.learner(Policy(actor, Identity()), critic), batch)

    raw, value = advantages_in_numpy(batch, plain(critic), vpg)
    target = raw + value
    advantage = (raw - raw.mean()) / raw.std()
    x = np.asarray(batch.x, np.float64)

    def slope(weight: np.ndarray, bias: np.ndarray) -> list[np.ndarray]:
        error = 2 * ((x @ weight + bias)[..., 0] - target) / target.size
        return [np.einsum("tbi,tb->i", x, error)[:, None], error.sum(keepdims=True)[0]]

    def descent(weight: np.ndarray, bias: np.ndarray, log_std: np.ndarray) -> list[np.ndarray]:
        by_weight, by_bias, by_log_std = score(weight, bias, log_std, batch, advantage)
        return [by_weight, by_bias, by_log_std + ent_coef]  # entropy: sum of log std + const

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
    vpg, batch = VPG(), random_steps()
    improve, start = update(vpg), new_learner(vpg)
    once, again = improve(start, batch)[0], improve(start, batch)[0]
    for one, other in zip(plain(once), plain(again), strict=True):
        np.testing.assert_array_equal(one, other)
    # Adam's moments are carried over: a second update differs from one with fresh moments.
    carried = improve(once, batch)[0]
    fresh = improve(vpg.learner(once.policy, once.critic), batch)[0]
    assert np.abs(plain(carried.actor)[0] - plain(fresh.actor)[0]).max() > 1e-6


def test_advantages_are_normalised() -> None:
    # With lambda = gamma = 0 and a critic at zero the advantage is the reward.
    vpg, batch = VPG(gamma=0.0, gae_lambda=0.0), random_steps()
    critic = jax.tree.map(jnp.zeros_like, MLP(2, (), 1, key=KEY))
    improve, start = update(vpg), new_learner(vpg, critic)
    usual = improve(start, batch)[0]
    scaled = improve(start, batch._replace(reward=100 * batch.reward + 30))[0]
    for one, other in zip(plain(usual.actor), plain(scaled.actor), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_equal_rewards_teach_nothing_and_break_nothing() -> None:
    vpg, batch = VPG(gamma=0.0, gae_lambda=0.0), random_steps()
    critic = jax.tree.map(jnp.zeros_like, MLP(2, (), 1, key=KEY))
    start = new_learner(vpg, critic)
    after = update(vpg)(start, batch._replace(reward=jnp.ones((8, 4))))[0]
    for before, now in zip(plain(start.actor), plain(after.actor), strict=True):
        np.testing.assert_array_equal(before, now)


def test_the_critic_s_loss_is_the_mean_squared_error() -> None:
    critic = MLP(1, (), 1, key=KEY)
    critic = eqx.tree_at(lambda c: c.layers[0].weight, critic, jnp.array([[2.0]]))
    x, target = jnp.array([[[1.0]], [[3.0]]]), jnp.array([[0.0], [7.0]])
    assert critic_loss(critic, x, target) == pytest.approx((4.0 + 1.0) / 2)


def test_the_first_step_of_every_spread_is_as_long_as_its_own_rate() -> None:
    # Adam's first step is the rate, whatever the gradient: both kinds of spread have std_lr.
    vpg = VPG(actor_lr=0.01, std_lr=0.03, scale_by_std=False, update_epochs=1)
    batch = random_steps()
    start = vpg.learner(Policy(linear_gaussian(), SoftmaxAction(0.5)), MLP(2, (4,), 1, key=KEY))
    table = jnp.array([[0.5, 0.0], [-0.5, 0.3], [0.0, -0.4]])
    after = update(vpg, table)(start, batch)[0]
    steps = jax.tree.map(lambda new, old: np.abs(new - old), after.policy, start.policy)
    np.testing.assert_allclose(steps.actor.log_std, 0.03, rtol=1e-2)
    np.testing.assert_allclose(steps.f.log_temperature, 0.03, rtol=1e-2)
    np.testing.assert_allclose(steps.actor.mean.layers[0].weight, 0.01, rtol=1e-2)


def test_its_critic_judges_no_actions() -> None:
    assert new_learner(VPG()).scorer(jnp.ones((3, 2))) is None


def test_the_std_falls_to_its_floor_and_no_further() -> None:
    # What a nat of entropy costs here drives it down, by std_lr a step.
    narrowing = {"ent_coef": -100.0, "std_lr": 0.1, "actor_steps": 5}
    learner, steps = new_learner(VPG(**narrowing)), random_steps()
    free, held = (
        update(VPG(**narrowing, min_std=least))(learner, steps)[0].actor.log_std
        for least in (0.0, 0.4)
    )
    np.testing.assert_allclose(free, np.log(0.5) - 0.5, rtol=1e-3)
    np.testing.assert_allclose(held, np.log(0.4), rtol=1e-6)
