"""Losses, gradients and whole updates against PyTorch and Stable-Baselines3, in float64.

`tests/reference/make_golden.py` says how the numbers came about.
"""

import json
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from filling import arrays_of, fill

from embrl.algorithms import sac as soft
from embrl.algorithms.actors import Actor, CategoricalActor, GaussianActor, SquashedGaussianActor
from embrl.algorithms.base import Batch, Experience
from embrl.algorithms.critics import IndexCritic, PointCritic, TwinCritic
from embrl.algorithms.on_policy import Minibatch, Policy, critic_loss, generalised_advantages
from embrl.algorithms.ppo import PPO
from embrl.algorithms.sac import SAC
from embrl.algorithms.vpg import VPG
from embrl.core.nn import MLP
from embrl.decoding import Identity, NearestAction, SoftmaxAction

GOLDEN = json.loads((Path(__file__).parents[1] / "reference/golden.json").read_text())
KEY = jax.random.key(0)
FEATURES, HIDDEN, D, ACTIONS = 3, (4,), 2, 5


@pytest.fixture(autouse=True)
def float64() -> Any:
    with jax.enable_x64(True):
        yield


def agree(ours: Any, theirs: Any) -> None:
    """To about all the digits that the file has."""
    for one, other in zip(arrays_of(ours), theirs, strict=True):
        np.testing.assert_allclose(one, np.asarray(other), rtol=1e-8, atol=1e-10)


def real(values: Any) -> jax.Array:
    return jnp.asarray(values, jnp.float64)


def actions(values: Any) -> jax.Array:
    return jnp.asarray(values, jnp.int32)


def on_policy_actor(kind: str, arrays: list[Any]) -> Actor:
    if kind == "categorical":
        actor: Actor = CategoricalActor(FEATURES, ACTIONS, HIDDEN, key=KEY)
    else:
        bounded = kind == "bounded"
        actor = GaussianActor(FEATURES, D, HIDDEN, std=1.0, bounded=bounded, key=KEY)
    return fill(actor, arrays)


def test_advantages_are_those_of_stable_baselines3() -> None:
    case = GOLDEN["gae"]
    ours = jax.jit(generalised_advantages)(
        *(real(case[name]) for name in ("reward", "value", "next_value")),
        jnp.asarray(case["terminated"]),
        jnp.asarray(case["truncated"]),
        case["gamma"],
        case["lambda"],
    )
    agree(ours, [case["advantage"]])


@pytest.mark.parametrize("algorithm", [VPG, PPO])
@pytest.mark.parametrize("kind", ["gaussian", "bounded", "categorical"])
def test_the_policy_s_loss_and_gradients_are_pytorch_s(kind: str, algorithm: Any) -> None:
    case = GOLDEN["on_policy"][kind]
    cast = actions if kind == "categorical" else real
    x, u, advantage = real(case["x"]), cast(case["u"]), real(case["advantage"])
    f = Identity() if kind == "categorical" else NearestAction()
    before, now = (Policy(on_policy_actor(kind, case[name]), f) for name in ("before", "now"))
    index = jnp.zeros(advantage.shape, jnp.int32)
    lesson = Minibatch(x, u, index, advantage, before.log_prob(None, x, u, index))
    np.testing.assert_allclose(now.log_prob(None, x, u, index), case["log_prob"], rtol=1e-9)
    np.testing.assert_allclose(now.actor.entropy(x), case["entropy"], rtol=1e-9)

    hyper = algorithm(ent_coef=case["ent_coef"])
    (loss, measures), gradient = eqx.filter_jit(
        eqx.filter_value_and_grad(hyper.policy_loss, has_aux=True)
    )(now, None, lesson)
    expected = case[algorithm.__name__.lower()]
    np.testing.assert_allclose(loss, expected["loss"], rtol=1e-9)
    agree(gradient, expected["gradients"])
    if algorithm is PPO:
        np.testing.assert_allclose(measures["kl"], case["kl"], rtol=1e-9)
        np.testing.assert_allclose(measures["clipped"], case["clipped"], rtol=1e-6)


@pytest.mark.parametrize("kind", ["gaussian", "categorical"])
def test_the_critic_s_loss_and_gradients_are_pytorch_s(kind: str) -> None:
    case = GOLDEN["on_policy"][kind]
    critic = fill(MLP(FEATURES, HIDDEN, 1, key=KEY), case["critic"])
    loss, gradient = eqx.filter_jit(eqx.filter_value_and_grad(critic_loss))(
        critic, real(case["x"]), real(case["target"])
    )
    np.testing.assert_allclose(loss, case["critic_loss"]["loss"], rtol=1e-9)
    agree(gradient, case["critic_loss"]["gradients"])


def test_a_temperature_of_f_is_part_of_the_policy() -> None:
    case = GOLDEN["softmax_f"]
    actor = GaussianActor(FEATURES, D, HIDDEN, std=1.0, bounded=False, key=KEY)
    policy = fill(Policy(actor, SoftmaxAction(1.0)), case["policy"])
    advantage = real(case["advantage"])
    lesson = Minibatch(
        real(case["x"]), real(case["u"]), actions(case["action"]), advantage, 0 * advantage
    )
    (loss, _), gradient = eqx.filter_jit(
        eqx.filter_value_and_grad(VPG().policy_loss, has_aux=True)
    )(policy, real(case["table"]), lesson)
    np.testing.assert_allclose(loss, case["vpg"]["loss"], rtol=1e-9)
    agree(gradient, case["vpg"]["gradients"])


@pytest.mark.parametrize("name", ["gaussian", "categorical", "stopped"])
def test_an_update_of_ppo_is_stable_baselines3_s(name: str) -> None:
    case = GOLDEN["ppo_training"][name]
    kind = "categorical" if name == "categorical" else "gaussian"
    hyper = PPO(
        actor_lr=case["rate"], std_lr=case["rate"], critic_lr=case["rate"], scale_by_std=False,
        update_epochs=case["passes"], critic_epochs=case["passes"],
        ent_coef=case["ent_coef"], target_kl=case["target_kl"],
    )  # fmt: skip
    policy = Policy(on_policy_actor(kind, case["actor"]), Identity())
    critic = fill(MLP(FEATURES, HIDDEN, 1, key=KEY), case["critic"])
    x, reward = real(case["x"]), real(case["reward"])
    ends = jnp.ones(reward.shape, bool)
    u = (actions if kind == "categorical" else real)(case["u"])
    steps = Batch(x, u, jnp.zeros(reward.shape, jnp.int32), reward, x, ends, ~ends)
    start = hyper.learner(policy, critic)
    after, _ = jax.jit(
        lambda learner: hyper.update(learner, Experience(steps, nothing_to_draw, None), KEY)
    )(start)
    agree(after.actor, case["new_actor"])
    if name != "stopped":  # Stable-Baselines3's critic then rests as well
        agree(after.critic, case["new_critic"])
    else:
        assert case["steps"] < case["passes"]


def nothing_to_draw(key: Any, count: int) -> Batch:
    raise AssertionError("an on-policy algorithm looks at nothing old")


def soft_parts(kind: str, case: dict[str, Any]) -> tuple[Actor, TwinCritic, TwinCritic, Batch]:
    if kind == "points":
        actor: Actor = SquashedGaussianActor(FEATURES, D, HIDDEN, std=1.0, key=KEY)
        critic: TwinCritic = PointCritic(FEATURES, D, HIDDEN, key=KEY)
    else:
        actor = CategoricalActor(FEATURES, ACTIONS, HIDDEN, activation=jax.nn.relu, key=KEY)
        critic = IndexCritic(FEATURES, ACTIONS, HIDDEN, key=KEY)
    steps = Batch(
        x=real(case["x"]),
        u=(real if kind == "points" else actions)(case["u"]),
        action=actions(np.zeros(np.shape(case["reward"]))),
        reward=real(case["reward"]),
        next_x=real(case["next_x"]),
        terminated=jnp.asarray(case["terminated"], bool),
        truncated=jnp.asarray(case.get("truncated", 0 * np.asarray(case["terminated"])), bool),
    )
    slow = case.get("slow", case["critic"])
    return (
        fill(actor, case["actor"]),
        fill(critic, in_our_order(kind, case["critic"])),
        fill(critic, in_our_order(kind, slow)),
        steps,
    )


def in_our_order(kind: str, arrays: list[Any]) -> list[Any]:
    """Theirs is a network of x and e side by side, ours has e's weights apart."""
    if kind != "points":
        return arrays
    first, *rest = arrays
    first = np.asarray(first)
    return [first[:, :FEATURES], *rest, first[:, FEATURES:]]


def new_soft_learner(actor: Actor, critic: Any, slow: Any, case: dict[str, Any]) -> soft.Learner:
    learner = SAC(alpha=case["alpha"], target_entropy=case["target_entropy"]).learner(
        actor, Identity(), critic, usual_entropy=0.0
    )
    learner = learner._replace(target=slow)
    return jax.tree.map(
        lambda leaf: leaf.astype(jnp.float64) if leaf.dtype == jnp.float32 else leaf, learner
    )._replace(log_alpha=real(np.log(case["alpha"])))


@pytest.mark.parametrize("kind", ["points", "indices"])
def test_sac_s_losses_and_gradients_are_pytorch_s(kind: str) -> None:
    case = GOLDEN["sac"][kind]
    actor, critic, slow, steps = soft_parts(kind, case)
    learner = new_soft_learner(actor, critic, slow, case)
    hyper, noise = SAC(gamma=case["gamma"]), real(case["noise"])

    targets = jax.jit(hyper.targets)(learner, steps, noise[0])
    np.testing.assert_allclose(targets, case["targets"], rtol=1e-9)

    loss, gradient = eqx.filter_jit(eqx.filter_value_and_grad(soft.critic_loss))(
        critic, steps, targets
    )
    np.testing.assert_allclose(loss, case["critic_loss"]["loss"], rtol=1e-9)
    agree(gradient, in_our_order(kind, case["critic_loss"]["gradients"]))

    (loss, entropy), gradient = eqx.filter_jit(
        eqx.filter_value_and_grad(soft.actor_loss, has_aux=True)
    )(actor, critic, steps.x, noise[1], real(case["alpha"]))
    np.testing.assert_allclose(loss, case["actor_loss"]["loss"], rtol=1e-9)
    np.testing.assert_allclose(entropy, case["entropy"], rtol=1e-9)
    agree(gradient, case["actor_loss"]["gradients"])

    loss, gradient = jax.value_and_grad(soft.alpha_loss)(
        learner.log_alpha, entropy, learner.target_entropy
    )
    np.testing.assert_allclose(loss, case["alpha_loss"]["loss"], rtol=1e-9)
    agree(gradient, case["alpha_loss"]["gradients"])


@pytest.mark.parametrize("kind", ["points", "indices"])
def test_slow_critics_follow_as_stable_baselines3_s_do(kind: str) -> None:
    case = GOLDEN["sac"][kind]
    actor, critic, slow, steps = soft_parts(kind, case)
    # Without a step of the critics themselves, what moves is the slow ones alone.
    hyper = SAC(critic_lr=0.0, tau=case["tau"])
    after, _ = jax.jit(hyper.improve)(new_soft_learner(actor, critic, slow, case), steps, KEY)
    agree(after.critic, arrays_of(critic))
    agree(after.target, in_our_order(kind, case["polyak"]))


class Given(SquashedGaussianActor):
    """An actor with given noise, one entry for each key's number."""

    given: jax.Array

    def __init__(self, actor: SquashedGaussianActor, given: jax.Array) -> None:
        self.network, self.given = actor.network, given

    def noise(self, key: Any, batch: tuple[int, ...]) -> jax.Array:
        return jax.lax.stop_gradient(self.given)[key]


def test_three_updates_of_sac_are_stable_baselines3_s() -> None:
    case = GOLDEN["sac_training"]
    actor, critic, slow, steps = soft_parts("points", case)
    assert isinstance(actor, SquashedGaussianActor)
    hyper = SAC(
        actor_lr=case["rate"], critic_lr=case["rate"], alpha_lr=case["rate"],
        gamma=case["gamma"], tau=case["tau"],
    )  # fmt: skip
    learner = new_soft_learner(Given(actor, real(case["noise"])), critic, slow, case)
    improve = jax.jit(hyper.improve)
    for index in range(3):
        batch = jax.tree.map(lambda column, index=index: column[index], steps)
        learner, _ = improve(learner, batch, jnp.int32(index))
    assert isinstance(learner.actor, Given)
    agree(learner.actor.network, case["new_actor"])
    agree(learner.critic, in_our_order("points", case["new_critic"]))
    agree(learner.target, in_our_order("points", case["new_slow"]))
    agree(learner.log_alpha, [case["new_log_alpha"]])
