"""Soft actor-critic, for points of E and for original actions."""

import dataclasses
import math
from typing import Any, ClassVar, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from embrl.algorithms.actors import Actor, CategoricalActor, SquashedGaussianActor
from embrl.algorithms.base import Batch, Experience, IndexedActions, InternalSpace, PolicyConfig
from embrl.algorithms.critics import IndexCritic, PointCritic, TwinCritic, soft_value
from embrl.algorithms.networks import Features
from embrl.core.errors import check_positive
from embrl.core.types import Key, Observation
from embrl.decoding.base import Decoder, Scorer

ADAM = optax.scale_by_adam()

Part = TypeVar("Part")
Metrics = dict[str, Float[Array, ""]]


class SACLearner(NamedTuple):
    """Actor, twin critics, their slow copies, the temperature, and optimisers."""

    actor: Actor
    f: Decoder
    critic: TwinCritic[Any]
    target: TwinCritic[Any]
    log_alpha: Float[Array, ""]
    target_entropy: Float[Array, ""]
    actor_optimiser: optax.OptState
    critic_optimiser: optax.OptState
    alpha_optimiser: optax.OptState

    def scorer(self, x: Array, observation: Observation | None = None) -> Scorer | None:
        """The lower of the twins' values of points of E; None if there is no E."""
        del observation
        return self.critic.scorer(x)


@dataclasses.dataclass(frozen=True)
class SAC:
    """Soft actor-critic (Haarnoja et al. 2018, twin critics and a temperature that may be learned;
    Christodoulou 2019 where actions are indices).
    """

    off_policy: ClassVar[bool] = True
    untraced: ClassVar[frozenset[str]] = frozenset({"updates_per_step"})

    actor_lr: float = 1e-3
    """Adam's learning rate of the actor."""
    critic_lr: float = 1e-3
    """Adam's learning rate of the critics."""
    alpha: float = 0.1
    """What a nat of entropy is worth, in units of reward; the first value, if it is learned."""
    alpha_lr: float = 0.0
    """Adam's learning rate of log alpha; 0 keeps alpha as it is."""
    target_entropy: float | None = None
    """Where a learned alpha holds the entropy, in nats; by default -1 for each dimension of E, and
    without embedding .98 of what choosing at random has."""
    gamma: float = 0.99
    """Discount."""
    tau: float = 0.005
    """How much of the critics goes into their slow copies at each update."""
    batch_size: int = 256
    """Batch in an update."""
    updates_per_step: float = 1.0
    """Updates for each new sample (not a rate: it decides how many there are)."""

    def validate(self, name: str) -> None:
        """Check all settings, which messages call `<name>.<field>`.

        Raises:
            SettingError: a value is out of range.
        """
        check_positive(f"{name}.batch_size", self.batch_size)

    def start(
        self,
        features: Features,
        internal: InternalSpace,
        f: Decoder,
        config: PolicyConfig,
        *,
        key: Key,
    ) -> SACLearner:
        """Before the first update.

        Arguments:
            features: what the policy sees.
        """
        key_actor, key_critic = jax.random.split(key)
        hidden = config.hidden
        if isinstance(internal, IndexedActions):
            actor: Actor = CategoricalActor(
                features, internal.n, hidden, activation=jax.nn.relu, key=key_actor
            )
            critic: TwinCritic = IndexCritic(features, internal.n, hidden, key=key_critic)
            usual = 0.98 * math.log(internal.n)
        else:
            actor = SquashedGaussianActor(
                features, internal.d, hidden, std=config.std * internal.unit, key=key_actor
            )
            critic = PointCritic(features, internal.d, hidden, key=key_critic)
            usual = -float(internal.d)
        return self.learner(actor, f, critic, usual)

    def learner(
        self, actor: Actor, f: Decoder, critic: TwinCritic[Any], usual_entropy: float
    ) -> SACLearner:
        """A given actor and critic before their first update.

        Arguments:
            usual_entropy: the target where there is no other.
        """
        log_alpha = jnp.log(jnp.float32(self.alpha))
        return SACLearner(
            actor=actor,
            f=f,
            critic=critic,
            target=critic,
            log_alpha=log_alpha,
            target_entropy=jnp.float32(
                usual_entropy if self.target_entropy is None else self.target_entropy
            ),
            actor_optimiser=ADAM.init(actor),  # type: ignore[arg-type]
            critic_optimiser=ADAM.init(critic),  # type: ignore[arg-type]
            alpha_optimiser=ADAM.init(log_alpha),
        )

    def update(
        self, learner: SACLearner, experience: Experience, key: Key
    ) -> tuple[SACLearner, Metrics]:
        """`updates_per_step` updates for each sample of the epoch, and their mean metrics."""

        def one(learner: SACLearner, key: Key) -> tuple[SACLearner, Metrics]:
            key_draw, key_noise = jax.random.split(key)
            return self.improve(learner, experience.draw(key_draw, self.batch_size), key_noise)

        count = round(self.updates_per_step * experience.fresh.reward.size)
        learner, metrics = jax.lax.scan(one, learner, jax.random.split(key, count))
        return learner, {name: values.mean() for name, values in metrics.items()}

    def improve(self, learner: SACLearner, steps: Batch, key: Key) -> tuple[SACLearner, Metrics]:
        """One update: critics, then actor and alpha, then the critics' slow copies."""
        alpha = jnp.exp(learner.log_alpha)
        noise = learner.actor.noise(key, (2, *steps.reward.shape))

        target = self.targets(learner, steps, noise[0])
        loss, gradient = eqx.filter_value_and_grad(critic_loss)(learner.critic, steps, target)
        critic, critic_optimiser = _step(
            learner.critic, gradient, learner.critic_optimiser, self.critic_lr
        )
        (by_actor, entropy), gradient = eqx.filter_value_and_grad(actor_loss, has_aux=True)(
            learner.actor, critic, steps.x, noise[1], alpha
        )
        actor, actor_optimiser = _step(
            learner.actor, gradient, learner.actor_optimiser, self.actor_lr
        )
        gradient = jax.grad(alpha_loss)(learner.log_alpha, entropy, learner.target_entropy)
        log_alpha, alpha_optimiser = _step(
            learner.log_alpha, gradient, learner.alpha_optimiser, self.alpha_lr
        )
        slow = jax.tree.map(
            lambda slow, now: slow + self.tau * (now - slow), learner.target, critic
        )
        metrics = {
            "actor_loss": by_actor,
            "critic_loss": loss,
            "entropy": entropy,
            "alpha": alpha,
            "value": target.mean(),
        }
        return learner._replace(
            actor=actor,
            critic=critic,
            target=slow,
            log_alpha=log_alpha,
            actor_optimiser=actor_optimiser,
            critic_optimiser=critic_optimiser,
            alpha_optimiser=alpha_optimiser,
        ), metrics

    def targets(self, learner: SACLearner, steps: Batch, noise: Array) -> Float[Array, "*batch"]:
        """What Q should be: r + gamma (1 - terminated) V(x'), with V of the slow critics.

        A truncated step has a future like any other.
        """
        following, _ = soft_value(
            learner.actor, learner.target, steps.next_x, noise, jnp.exp(learner.log_alpha)
        )
        return steps.reward + self.gamma * jnp.where(steps.terminated, 0.0, following)


def critic_loss(
    critic: TwinCritic[Any], steps: Batch, target: Float[Array, "*batch"]
) -> Float[Array, ""]:
    """Half the mean squared error of each of the twins, summed (Haarnoja et al. 2018, eq. 5)."""
    return ((critic(steps.x, steps.u) - target) ** 2).sum() / (2 * target.size)


def actor_loss(
    actor: Actor, critic: TwinCritic[Any], x: Array, noise: Array, alpha: Float[Array, ""]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """- mean of V(x), by the critics as they are; also the mean entropy."""
    value, entropy = soft_value(actor, critic, x, noise, alpha)
    return -value.mean(), entropy.mean()


def alpha_loss(
    log_alpha: Float[Array, ""], entropy: Float[Array, ""], target_entropy: Float[Array, ""]
) -> Float[Array, ""]:
    """Alpha falls while there is more entropy than there should be. On its logarithm, as
    Stable-Baselines3 has it.
    """
    return log_alpha * (entropy - target_entropy)


def _step(
    part: Part, gradient: Part, optimiser: optax.OptState, rate: float
) -> tuple[Part, optax.OptState]:
    direction, optimiser = ADAM.update(gradient, optimiser)  # type: ignore[arg-type]
    return eqx.apply_updates(part, jax.tree.map(lambda d: -rate * d, direction)), optimiser
