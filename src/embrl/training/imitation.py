"""Supervised training of a policy on an expert's actions, before it is trained by rewards."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from gymnasium import spaces
from jaxtyping import Array, Bool, Float, Int

from embrl.algorithms.actors import CategoricalActor, GaussianActor
from embrl.algorithms.on_policy import ADAM_EPS, OnPolicyLearner, StochasticPolicy
from embrl.config.run import ImitationConfig
from embrl.core.errors import EmbrlError, SettingError
from embrl.core.images import is_image
from embrl.core.nn import adam
from embrl.core.scaling import RunningStats
from embrl.core.types import Key
from embrl.decoding.search import all_allow_few, few_allowed, masks_may_be_few
from embrl.embedding.pretraining import cosine_decay
from embrl.envs import AnyEnvironment, Environment
from embrl.envs.environment import Demonstrations

SETTING = "imitation.gradient_steps"

IMAGES_EPS = 1e-8
"""Number that Adam adds to the root of a squared gradient where observations are images; elsewhere
it is `ADAM_EPS`. Gradients of convolutions are as small as that, which made learning slow."""

SCALING_SAMPLES = 4096
"""Number of demonstrated observations from which the scaling of inputs is estimated."""


def check_demonstrations(env: AnyEnvironment, config: ImitationConfig) -> None:
    """Check that an environment has an expert, if policies are to imitate one.

    Raises:
        EmbrlError: it has none.
    """
    if not config.gradient_steps:
        return
    advice = "it needs an environment with demonstrations and Discrete actions"
    compiled = isinstance(env, Environment) and isinstance(env.action_space, spaces.Discrete)
    if not compiled or env.demonstrations(jax.random.key(0), 1) is None:  # type: ignore[union-attr]
        raise SettingError(SETTING, "0 here", config.gradient_steps, advice)


def demonstrated_numbers(env: Environment, stats: RunningStats, key: Key) -> Float[Array, "n p"]:
    """Return the numbers of many demonstrated observations, to estimate their mean and spread."""
    shown = _demonstrations(env, jax.random.fold_in(key, SCALING_SAMPLES), SCALING_SAMPLES)
    return shown.observation[..., -stats.centre.shape[-1] :]


def _demonstrations(env: Environment, key: Key, count: int) -> Demonstrations:
    """Return what an expert does, of an environment that has one (`check_demonstrations`)."""
    shown = env.demonstrations(key, count)
    if shown is None:
        raise EmbrlError(f"{SETTING} must be 0 here: the environment has no demonstrations")
    return shown


def imitate(
    env: Environment, learner: Any, policy: Any, config: ImitationConfig, key: Key
) -> OnPolicyLearner:
    """Return a learner whose actor has been trained to choose what an expert does.

    Args:
        env: the environment, which has demonstrations.
        learner: what acts, of an on-policy algorithm.
        policy: the overall policy of which it is a part.
        config: settings.
        key: random key of the demonstrations.

    Raises:
        EmbrlError: the learner is of another kind, as that of a plugin may be.
    """
    if not isinstance(learner, OnPolicyLearner):
        raise EmbrlError(f"{SETTING} must be 0 but with VPG and PPO; choose one of these")
    adam_now = adam(IMAGES_EPS if is_image(env.observation_space) else ADAM_EPS)

    def step(
        now: tuple[StochasticPolicy, Any], index: Int[Array, ""]
    ) -> tuple[tuple[StochasticPolicy, Any], Float[Array, ""]]:
        acting, optimiser = now
        shown = _demonstrations(env, jax.random.fold_in(key, index), config.batch_size)
        x = policy.phi(shown.observation)
        allowed = policy.allowed_by(shown.mask)

        def differentiated(few: bool) -> tuple[Array, Any]:
            return eqx.filter_value_and_grad(cross_entropy)(
                acting, policy.table, x, shown.action, allowed, few
            )

        if masks_may_be_few(allowed) and isinstance(acting.actor, GaussianActor):
            # Around the gradient: inside, both branches would store what it needs of either.
            loss, gradient = jax.lax.cond(
                all_allow_few(allowed), lambda: differentiated(True), lambda: differentiated(False)
            )
        else:
            loss, gradient = differentiated(False)
        direction, optimiser = adam_now.update(gradient, optimiser)
        rate = learning_rate(config, index)
        change = jax.tree.map(lambda d: -rate * d, direction)
        return (eqx.apply_updates(acting, change), optimiser), loss

    start = (learner.policy, adam_now.init(learner.policy))  # type: ignore[arg-type]
    steps = jnp.arange(config.gradient_steps, dtype=jnp.int32)
    (acting, _), _ = jax.lax.scan(step, start, steps)
    return learner._replace(policy=acting)


def learning_rate(config: ImitationConfig, step: Int[Array, ""]) -> Float[Array, ""]:
    """Return the learning rate of a gradient step, the first of which is 0."""
    decayed = cosine_decay(config.learning_rate, config.gradient_steps, step)
    return decayed * jnp.minimum((step + 1) / max(config.warmup, 1), 1.0)


def cross_entropy(
    policy: StochasticPolicy,
    table: Any,
    x: Array,
    action: Int[Array, "*batch"],
    allowed: Bool[Array, "*#batch n"] | None,
    few: bool = False,
) -> Float[Array, ""]:
    """Return the mean of - log P(a | x), over actions that may be chosen.

    In an embedding, P(a | x) is a softmax over the log densities of all g(a) under pi_i(. | x).

    Args:
        policy: actor and decoder.
        table: g(a) of every action.
        x: features.
        action: what the expert does.
        allowed: True where an action may be chosen; None: all may be.
        few: whether each mask allows so few that it is faster to look at these alone
            (`embrl.decoding.search.few_allowed`), in an embedding.
    """
    actor = policy.actor
    if isinstance(actor, CategoricalActor):
        return _mean_loss(actor.log_prob(x, action, allowed))
    if not isinstance(actor, GaussianActor) or not eqx.is_array(table):
        raise EmbrlError(f"{SETTING} must be 0 for actions with several parts; leave it out")
    scale = jnp.exp(-actor.log_std)
    mean = actor.mode(x) * scale
    # What is the same for all actions is left out.
    squares = table**2 @ scale**2
    if few:
        assert allowed is not None
        actions, allowed = few_allowed(allowed)
        # Places are not scaled: a gradient to each of them would be scattered, which is slow.
        product = jnp.einsum("...d,...kd->...k", mean * scale, table[actions])
        logits = product - 0.5 * squares[actions]
        shown = (actions == action[..., None]) & allowed
    else:
        logits = mean @ (table * scale).T - 0.5 * squares
        shown = action[..., None] == jnp.arange(len(table), dtype=action.dtype)
    if allowed is not None:
        logits = jnp.where(allowed, logits, -jnp.inf)
    log_probs = jax.nn.log_softmax(logits)
    log_prob = jnp.where(shown, log_probs, 0.0).sum(-1)
    return _mean_loss(jnp.where(shown.any(-1), log_prob, -jnp.inf))


def _mean_loss(log_prob: Float[Array, "*batch"]) -> Float[Array, ""]:
    """Return minus the mean; what an expert does that a policy may not do teaches nothing."""
    possible = log_prob > -jnp.inf
    return -jnp.where(possible, log_prob, 0.0).sum() / jnp.maximum(possible.sum(), 1)
