"""Soft actor-critic, for points of E and for original actions."""

import dataclasses
import math
from typing import Any, ClassVar, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from embrl.algorithms.actors import Actor, CategoricalActor, SquashedGaussianActor
from embrl.algorithms.base import (
    Batch,
    Experience,
    IndexedActions,
    InternalSpace,
    PartedActions,
    PolicyConfig,
)
from embrl.algorithms.critics import IndexCritic, PointCritic, TwinCritic, soft_value
from embrl.algorithms.networks import Features
from embrl.core.errors import EmbrlError, check_positive
from embrl.core.nn import adam
from embrl.core.section import Section
from embrl.core.types import Key, Observation, OptState
from embrl.decoding.base import Decoder, Scorer

Part = TypeVar("Part")
Metrics = dict[str, Float[Array, ""]]


class SACLearner(NamedTuple):
    """Actor, twin critics, their target networks, the temperature, and optimisers."""

    actor: Actor
    f: Decoder
    critic: TwinCritic[Any]
    target: TwinCritic[Any]
    log_alpha: Float[Array, ""]
    target_entropy: Float[Array, ""]
    actor_optimiser: OptState
    critic_optimiser: OptState
    alpha_optimiser: OptState

    def scorer(self, x: Array, observation: Observation | None = None) -> Scorer | None:
        """Return the lower values of points of E in states with features x; None without E."""
        del observation
        return self.critic.scorer(x)


@dataclasses.dataclass(frozen=True)
class SAC(Section):
    """Soft actor-critic, with twin critics and an optionally learned temperature.

    As in Haarnoja et al. (2018); Christodoulou (2019) where actions are indices.
    """

    off_policy: ClassVar[bool] = True
    untraced: ClassVar[frozenset[str]] = frozenset({"updates_per_step"})

    actor_lr: float = 1e-3
    """Learning rate of the actor (Adam)."""
    critic_lr: float = 1e-3
    """Learning rate of the critics (Adam)."""
    alpha: float = 0.1
    """Temperature: reward for a nat of entropy. If it is learned, its initial value."""
    alpha_lr: float = 0.0
    """Learning rate of log alpha (Adam). 0: alpha is constant."""
    target_entropy: float | None = None
    """Entropy that a learned alpha aims at, in nats. Default: -1 for each dimension of E; without
    an embedding, 0.98 of the uniform distribution's entropy."""
    gamma: float = 0.99
    """Discount factor, 0 to 1."""
    tau: float = 0.005
    """Step of the target networks towards the critics at each update, 0 to 1."""
    batch_size: int = 256
    """Transitions in an update."""
    updates_per_step: float = 1.0
    """Updates per environment step of the latest rollout."""

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
        """Return the state before the first update (`Algorithm.start`)."""
        key_actor, key_critic = jax.random.split(key)
        hidden, activation = config.hidden, config.activation_or(jax.nn.relu)
        if isinstance(internal, IndexedActions):
            actor: Actor = CategoricalActor(
                features,
                internal.n,
                hidden,
                activation=activation,
                last_scale=config.last_scale,
                key=key_actor,
            )
            critic: TwinCritic = IndexCritic(
                features, internal.n, hidden, activation=activation, key=key_critic
            )
            usual = 0.98 * math.log(internal.n)
        elif isinstance(internal, PartedActions):
            raise EmbrlError(
                "algorithm must be vpg or ppo for actions with several parts that are not "
                "embedded, got sac, whose critic would need a value for each combination; choose a "
                "method that embeds actions"
            )
        else:
            actor = SquashedGaussianActor(
                features,
                internal.d,
                hidden,
                std=config.std * internal.unit,
                activation=activation,
                last_scale=config.last_scale,
                key=key_actor,
            )
            critic = PointCritic(
                features, internal.d, hidden, activation=activation, key=key_critic
            )
            usual = -float(internal.d)
        return self.learner(actor, f, critic, usual)

    def learner(
        self, actor: Actor, f: Decoder, critic: TwinCritic[Any], usual_entropy: float
    ) -> SACLearner:
        """Return a given actor and critic with new optimisers.

        Args:
            actor: the internal policy.
            f: the decoder.
            critic: the critic; the target networks begin as a copy.
            usual_entropy: target entropy if none is set, in nats.
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
            actor_optimiser=adam().init(actor),  # type: ignore[arg-type]
            critic_optimiser=adam().init(critic),  # type: ignore[arg-type]
            alpha_optimiser=adam().init(log_alpha),
        )

    def update(
        self, learner: SACLearner, experience: Experience, key: Key
    ) -> tuple[SACLearner, Metrics]:
        """Learn from the replay buffer (`Algorithm.update`); metrics are means over all updates."""

        def one(learner: SACLearner, key: Key) -> tuple[SACLearner, Metrics]:
            key_draw, key_noise = jax.random.split(key)
            steps = experience.draw(key_draw, self.batch_size)
            return self.improve(learner, steps, key_noise, experience.allowed)

        count = round(self.updates_per_step * experience.fresh.reward.size)
        learner, metrics = jax.lax.scan(one, learner, jax.random.split(key, count))
        return learner, {name: values.mean() for name, values in metrics.items()}

    def improve(
        self,
        learner: SACLearner,
        steps: Batch,
        key: Key,
        allowed: Bool[Array, " n"] | None = None,
    ) -> tuple[SACLearner, Metrics]:
        """Update the critics, then actor and alpha, then the target networks.

        Args:
            learner: before the update.
            steps: from the replay buffer.
            key: random key.
            allowed: original actions that may be chosen in steps without masks; None: all.
        """
        alpha = jnp.exp(learner.log_alpha)
        noise = learner.actor.noise(key, (2, *steps.reward.shape))
        mask = allowed if steps.mask is None else steps.mask

        target = self.targets(learner, steps, noise[0], allowed)
        loss, gradient = eqx.filter_value_and_grad(critic_loss)(learner.critic, steps, target)
        critic, critic_optimiser = _step(
            learner.critic, gradient, learner.critic_optimiser, self.critic_lr
        )
        (by_actor, entropy), gradient = eqx.filter_value_and_grad(actor_loss, has_aux=True)(
            learner.actor, critic, steps.x, noise[1], alpha, mask
        )
        actor, actor_optimiser = _step(
            learner.actor, gradient, learner.actor_optimiser, self.actor_lr
        )
        goal = self._entropy_goal(learner, mask)
        gradient = jax.grad(alpha_loss)(learner.log_alpha, entropy, goal)
        log_alpha, alpha_optimiser = _step(
            learner.log_alpha, gradient, learner.alpha_optimiser, self.alpha_lr
        )
        target_critic = jax.tree.map(
            lambda old, new: old + self.tau * (new - old), learner.target, critic
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
            target=target_critic,
            log_alpha=log_alpha,
            actor_optimiser=actor_optimiser,
            critic_optimiser=critic_optimiser,
            alpha_optimiser=alpha_optimiser,
        ), metrics

    def _entropy_goal(self, learner: SACLearner, mask: Array | None) -> Float[Array, ""]:
        """Return the target entropy; the usual one is a fraction of what masks leave possible."""
        actor = learner.actor
        if mask is None or self.target_entropy is not None:
            return learner.target_entropy
        if not isinstance(actor, CategoricalActor) or actor.actions < 2:
            return learner.target_entropy
        possible = jnp.log(mask.sum(-1, dtype=jnp.float32)).mean()
        return learner.target_entropy * possible / math.log(actor.actions)

    def targets(
        self,
        learner: SACLearner,
        steps: Batch,
        noise: Array,
        allowed: Bool[Array, " n"] | None = None,
    ) -> Float[Array, "*batch"]:
        """Return the targets of Q: r + gamma (1 - terminated) V(x'), with V of the target networks.

        Truncated steps bootstrap as all others do.
        """
        following, _ = soft_value(
            learner.actor,
            learner.target,
            steps.next_x,
            noise,
            jnp.exp(learner.log_alpha),
            allowed if steps.next_mask is None else steps.next_mask,
        )
        return steps.reward + self.gamma * jnp.where(steps.terminated, 0.0, following)


def critic_loss(
    critic: TwinCritic[Any], steps: Batch, target: Float[Array, "*batch"]
) -> Float[Array, ""]:
    """Return half the mean squared error, summed over the twins (Haarnoja et al. 2018, eq. 5)."""
    return ((critic(steps.x, steps.u) - target) ** 2).sum() / (2 * target.size)


def actor_loss(
    actor: Actor,
    critic: TwinCritic[Any],
    x: Array,
    noise: Array,
    alpha: Float[Array, ""],
    mask: Array | None = None,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return - mean of V(x), by the current critics, and the mean entropy."""
    value, entropy = soft_value(actor, critic, x, noise, alpha, mask)
    return -value.mean(), entropy.mean()


def alpha_loss(
    log_alpha: Float[Array, ""], entropy: Float[Array, ""], target_entropy: Float[Array, ""]
) -> Float[Array, ""]:
    """Return the loss of log alpha, which makes alpha fall while entropy is above its target.

    It is linear in the logarithm of alpha, as in Stable-Baselines3.
    """
    return log_alpha * (entropy - target_entropy)


def _step(part: Part, gradient: Part, optimiser: OptState, rate: float) -> tuple[Part, OptState]:
    direction, optimiser = adam().update(gradient, optimiser)  # type: ignore[arg-type]
    return eqx.apply_updates(part, jax.tree.map(lambda d: -rate * d, direction)), optimiser
