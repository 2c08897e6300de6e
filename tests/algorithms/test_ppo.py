"""PPO's clipping by hand, its limit of divergence, and its minibatches."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from filling import arrays_of

from embrl.algorithms.base import Batch, EmbeddedActions, Experience, PolicyConfig
from embrl.algorithms.on_policy import Minibatch, OnPolicyLearner, shuffled
from embrl.algorithms.ppo import PPO
from embrl.algorithms.vpg import VPG
from embrl.core.errors import EmbrlError
from embrl.decoding import Identity

KEY = jax.random.key(0)
RATIOS = np.array([0.5, 0.9, 1.0, 1.1, 1.5])


@pytest.mark.parametrize(
    ("advantage", "worth", "slopes"),
    [
        # Where the probability has risen by more than .2, a good action gains no more by it ...
        (1.0, [0.5, 0.9, 1.0, 1.1, 1.2], [0.5, 0.9, 1.0, 1.1, 0.0]),
        # ... and where it has fallen by more than .2, a bad one neither.
        (-1.0, [-0.8, -0.9, -1.0, -1.1, -1.5], [0.0, -0.9, -1.0, -1.1, -1.5]),
    ],
)
def test_the_ratio_is_clipped_where_that_makes_the_step_less_bold(
    advantage: float, worth: list[float], slopes: list[float]
) -> None:
    before = jnp.full(5, -2.0)

    def loss(log_prob: jax.Array) -> jax.Array:
        return PPO(clip_range=0.2).surrogate(log_prob, before, jnp.full(5, advantage))[0]

    value, slope = jax.jit(jax.value_and_grad(loss))(before + jnp.log(RATIOS.astype(np.float32)))
    assert value == pytest.approx(-np.mean(worth))
    np.testing.assert_allclose(slope, -np.array(slopes) / 5, rtol=1e-5)


def test_divergence_and_share_of_clipped_samples() -> None:
    log_ratio = np.log(RATIOS).astype(np.float32)
    _, measures = PPO(clip_range=0.2).surrogate(jnp.asarray(log_ratio), jnp.zeros(5), jnp.ones(5))
    assert measures["clipped"] == pytest.approx(0.4)
    assert measures["kl"] == pytest.approx((RATIOS - 1 - np.log(RATIOS)).mean(), rel=1e-5)


def random_steps(lanes: int = 6) -> Batch:
    rng = np.random.default_rng(0)
    x, next_x = rng.normal(size=(2, 8, lanes, 3)).astype(np.float32)
    end = rng.random((8, lanes))
    return Batch(
        x=jnp.asarray(x),
        u=jnp.asarray(rng.normal(size=(8, lanes, 2)), jnp.float32),
        action=jnp.zeros((8, lanes), jnp.int32),
        reward=jnp.asarray(rng.normal(size=(8, lanes)), jnp.float32),
        next_x=jnp.asarray(next_x),
        terminated=jnp.asarray(end < 0.1),
        truncated=jnp.asarray((end > 0.1) & (end < 0.3)),
    )


def nothing_old(key: Any, count: int) -> Batch:
    raise AssertionError("PPO looks at nothing old")


def updated(
    hyper: Any, steps: Batch, key: Any = KEY
) -> tuple[OnPolicyLearner, OnPolicyLearner, dict[str, Any]]:
    """The learner before and after an update, and its measures."""
    start = hyper.start(3, EmbeddedActions(2), Identity(), PolicyConfig(hidden=(8,)), key=KEY)
    after, measures = jax.jit(
        lambda key: hyper.update(start, Experience(steps, nothing_old, None), key)
    )(key)
    return start, after, measures


def moved(before: Any, after: Any) -> float:
    """The greatest change of a parameter."""
    pairs = zip(arrays_of(before), arrays_of(after), strict=True)
    return max(np.abs(new - old).max() for old, new in pairs)


def test_its_first_step_is_vanilla_policy_gradient_s() -> None:
    settings: dict[str, Any] = {"update_epochs": 1, "actor_lr": 0.01, "ent_coef": -0.1}
    _, by_ppo, _ = updated(PPO(**settings), random_steps())
    _, by_vpg, _ = updated(VPG(**settings), random_steps())
    for one, other in zip(arrays_of(by_ppo), arrays_of(by_vpg), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("algorithm", [VPG, PPO])
def test_ratios_by_part_begin_as_their_product_does(algorithm: Any) -> None:
    settings: dict[str, Any] = {"update_epochs": 1, "actor_lr": 0.01, "ent_coef": -0.1}
    _, together, _ = updated(algorithm(**settings), random_steps())
    _, apart, _ = updated(algorithm(**settings, by_part=True), random_steps())
    for one, other in zip(arrays_of(together), arrays_of(apart), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_a_part_that_has_moved_far_does_not_hold_the_others() -> None:
    hyper = PPO(clip_range=0.2, by_part=True)
    start = hyper.start(3, EmbeddedActions(2), Identity(), PolicyConfig(hidden=(8,)), key=KEY)
    steps = random_steps()
    taken = steps.x, steps.u, steps.action
    now = start.policy.log_prob_by_part(None, *taken)
    ratios = jnp.array([1.5, 0.9, 1.0])  # two axes of E, and f, which chooses nothing
    minibatch = Minibatch(*taken, jnp.ones(now.shape[:-1]), now - jnp.log(ratios))
    loss, measures = hyper.policy_loss(start.policy, None, minibatch)
    assert loss == pytest.approx(-(1.2 + 0.9 + 1.0), rel=1e-5)
    assert measures["clipped"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("progress", [0.0, 0.75, 1.0])
def test_annealed_rates_fall_to_nothing(progress: float) -> None:
    settings: dict[str, Any] = {"update_epochs": 1, "critic_epochs": 1, "actor_lr": 0.01}
    hyper = PPO(**settings, anneal=True)
    start, full, _ = updated(PPO(**settings), random_steps())
    experience = Experience(random_steps(), nothing_old, None, progress=progress)
    after, _ = jax.jit(lambda key: hyper.update(start, experience, key))(KEY)
    for part in ("policy", "critic"):
        whole = moved(getattr(start, part), getattr(full, part))
        assert moved(getattr(start, part), getattr(after, part)) == pytest.approx(
            (1.0 - progress) * whole, rel=1e-3
        )


@pytest.mark.parametrize(("floor", "progress"), [(0.0, 0.0), (0.5, 0.0), (4.0, 0.0), (4.0, 0.25)])
def test_small_advantages_are_not_scaled_up(floor: float, progress: float) -> None:
    class Seen(PPO):
        def surrogate(self, log_prob: Any, before: Any, advantage: Any) -> Any:
            return log_prob.mean(), {"spread": advantage.std()}

    hyper = Seen(update_epochs=1, min_advantage_std=floor)
    start, *_ = updated(hyper, steps := random_steps())
    experience = Experience(steps, nothing_old, None, progress=progress)
    _, found = hyper.update(start, experience, KEY)
    own = float(np.std(hyper.advantages(start.critic, steps)[0]))
    assert found["spread"] == pytest.approx(own / max(own, (1 - progress) * floor), rel=1e-4)


def test_an_actor_that_has_gone_too_far_rests() -> None:
    settings: dict[str, Any] = {"actor_lr": 0.03, "update_epochs": 10}
    steps = random_steps()
    start, free, far = updated(PPO(**settings), steps)
    assert far["kl"] > 0.01
    _, held, near = updated(PPO(**settings, target_kl=1e-9), steps)
    # The first step meets no divergence yet; the second one does.
    _, one_step, _ = updated(PPO(actor_lr=0.03, update_epochs=1), steps)
    assert moved(held.policy, one_step.policy) < 1e-6
    assert moved(held.policy_optimiser, one_step.policy_optimiser) < 1e-6
    assert 0.0 < near["kl"] < far["kl"]
    # The critic does not rest.
    assert moved(held.critic, free.critic) < 1e-6
    _, loose, _ = updated(PPO(**settings, target_kl=10.0), steps)
    assert moved(loose.policy, free.policy) < 1e-6
    assert moved(start.policy, free.policy) > moved(start.policy, held.policy) > 0.01


def test_every_pass_sees_every_sample_once() -> None:
    # Gradients at a rate of 0 add up over the parts to that of the whole: Adam's first moment after
    # k steps is a mean of them with weights .1 * .9^(k - i), so one sample's weight in it says in
    # which part it was. Here the samples' gradients are told apart by the critic's inputs.
    count = 12
    x = jnp.eye(count, dtype=jnp.float32).reshape(4, 3, count)
    zeros = jnp.zeros((4, 3))
    ends = jnp.ones((4, 3), bool)
    steps = Batch(x, jnp.zeros((4, 3, 1)), zeros.astype(jnp.int32), zeros + 1.0, x, ends, ~ends)
    hyper = PPO(critic_lr=0.0, actor_lr=0.0, critic_epochs=1, num_minibatches=3)
    start = hyper.start(count, EmbeddedActions(1), Identity(), PolicyConfig(hidden=()), key=KEY)
    improve = jax.jit(lambda key: hyper.update(start, Experience(steps, nothing_old, None), key)[0])
    value = start.critic(x)[..., 0].reshape(-1)
    orders = []
    for number in range(2):
        after = improve(jax.random.key(number))
        moment = after.critic_optimiser.mu.layers[0].weight[:, 0]
        weights = np.asarray(moment) / np.asarray(2 * (value - 1.0) / 4)
        expected = np.repeat(0.1 * np.array([0.81, 0.9, 1.0]), 4)
        np.testing.assert_allclose(np.sort(weights), expected, rtol=1e-4)
        orders.append(weights)
    assert np.abs(orders[0] - orders[1]).max() > 0.01


def test_minibatches_must_split_an_epoch_evenly() -> None:
    with pytest.raises(EmbrlError, match=r"num_minibatches must be .*48.*got 49"):
        updated(PPO(num_minibatches=49), random_steps())


@pytest.mark.parametrize(
    ("target", "kl", "goes_on"),
    [(0.01, 0.0149, True), (0.01, 0.0151, False), (0.0, 1e6, None)],
)
def test_the_limit_is_half_as_much_again_as_the_target_and_none_at_zero(
    target: float, kl: float, goes_on: bool | None
) -> None:
    assert PPO(target_kl=target).goes_on({"kl": jnp.float32(kl)}) == goes_on


@pytest.mark.parametrize("count", [1, 2, 100, 1024, 20_000])
def test_shuffled_numbers_are_all_there_in_another_order_each_epoch(count: int) -> None:
    order = np.asarray(jax.jit(shuffled, static_argnums=(1, 2))(jax.random.key(0), 3, count))
    np.testing.assert_array_equal(np.sort(order, axis=-1), np.arange(count)[None].repeat(3, 0))
    if count >= 100:
        assert (order[0] != order[1]).mean() > 0.9
        assert abs(np.corrcoef(order[0], np.arange(count))[0, 1]) < 0.3
