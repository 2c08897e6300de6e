"""Vanilla policy gradient: a batch of on-policy steps in, better actor and critic out."""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import optax
from jaxtyping import Array, Bool, Float

from embrl.networks import MLP
from embrl.policy.actors import Actor
from embrl.policy.returns import generalised_advantages


class Batch(NamedTuple):
    """On-policy steps: features, not observations, so that nothing here knows an environment."""

    x: Array
    """Features of s_t, `[T, B, ...]`."""
    u: Array
    """Internal actions, `[T, B, ...]`."""
    reward: Float[Array, "T B"]
    next_x: Array
    """Features of the true next state, `[T, B, ...]`."""
    terminated: Bool[Array, "T B"]
    truncated: Bool[Array, "T B"]


class Learner(NamedTuple):
    """Actor, critic and their optimisers."""

    actor: Actor
    critic: MLP
    actor_optimiser: optax.OptState
    critic_optimiser: optax.OptState


ADAM = optax.scale_by_adam(eps=1e-5)


def actor_loss(
    actor: Actor,
    x: Array,
    u: Array,
    advantage: Float[Array, "T B"],
    entropy_cost: float = 0.0,
) -> Float[Array, ""]:
    """- mean of log pi_i(u|x) A, plus the cost of entropy.

    The first term's gradient is the policy gradient's negative. By Lemma 2 of Pritz et al. 2021
    it is the overall policy's gradient as well.
    """
    loss = -(actor.log_prob(x, u) * advantage).mean()
    return loss + entropy_cost * actor.entropy(x) if entropy_cost else loss


def critic_loss(critic: MLP, x: Array, target: Float[Array, "T B"]) -> Float[Array, ""]:
    """Mean squared error of V(x)."""
    return ((critic(x)[..., 0] - target) ** 2).mean()


@dataclasses.dataclass(frozen=True)
class VPG:
    """Vanilla policy gradient with a learned baseline (Achiam 2018; protocol of Pritz et al. 2021,
    A.4.2): a few full-batch steps of actor and critic at the end of each epoch.
    """

    actor_lr: float = 1.7e-3
    """Adam's learning rate of the actor."""
    std_lr: float = 2e-3
    """Adam's learning rate of the actor's log std (embedding methods only)."""
    scale_by_std: bool = True
    """Whether actor_lr is a rate for a std of 1, and falls with the std (embedding methods only).
    Otherwise, as the std shrinks, steps of the mean grow large beside it and policies collapse."""
    entropy_cost: float = 0.0
    """What a nat of entropy costs, in units of (normalised) advantage. A little narrows policies
    whose noise neither helps nor harms; negative, it is the usual entropy bonus."""
    critic_lr: float = 1e-2
    """Adam's learning rate of the critic."""
    gamma: float = 0.99
    """Discount."""
    gae_lambda: float = 0.97
    """GAE's trace decay."""
    actor_steps: int = 3
    """Gradient steps of the actor an epoch, each on all of its samples."""
    critic_steps: int = 6
    """Gradient steps of the critic an epoch, each on all of its samples."""

    def start(self, actor: Actor, critic: MLP) -> Learner:
        """Before the first update."""
        return Learner(
            actor,
            critic,
            ADAM.init(eqx.filter(actor, eqx.is_array)),
            ADAM.init(eqx.filter(critic, eqx.is_array)),
        )

    def update(self, learner: Learner, batch: Batch) -> tuple[Learner, dict[str, Float[Array, ""]]]:
        """One epoch's learning, and measures of it.

        Advantages come from the critic as it was while the steps were taken. The targets of V are
        advantage + V.
        """
        actor, critic, actor_optimiser, critic_optimiser = learner
        value, next_value = critic(batch.x)[..., 0], critic(batch.next_x)[..., 0]
        advantage = generalised_advantages(
            batch.reward,
            value,
            next_value,
            batch.terminated,
            batch.truncated,
            self.gamma,
            self.gae_lambda,
        )
        target = advantage + value
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)

        # Once an epoch: all its steps are as long as the first.
        actor_lr = self.actor_lr * (actor.width() if self.scale_by_std else 1.0)

        def improve_actor(state: tuple[Actor, optax.OptState], _: None):
            actor, optimiser = state
            loss, gradient = eqx.filter_value_and_grad(actor_loss)(
                actor, batch.x, batch.u, advantage, self.entropy_cost
            )
            direction, optimiser = ADAM.update(gradient, optimiser)
            rates = jax.tree_util.tree_map_with_path(
                lambda path, _: self.std_lr if _is_std(path) else actor_lr, direction
            )
            change = jax.tree.map(lambda rate, d: -rate * d, rates, direction)
            return (eqx.apply_updates(actor, change), optimiser), loss

        def improve_critic(state: tuple[MLP, optax.OptState], _: None):
            critic, optimiser = state
            loss, gradient = eqx.filter_value_and_grad(critic_loss)(critic, batch.x, target)
            direction, optimiser = ADAM.update(gradient, optimiser)
            change = jax.tree.map(lambda d: -self.critic_lr * d, direction)
            return (eqx.apply_updates(critic, change), optimiser), loss

        (actor, actor_optimiser), actor_losses = jax.lax.scan(
            improve_actor, (actor, actor_optimiser), length=self.actor_steps
        )
        (critic, critic_optimiser), critic_losses = jax.lax.scan(
            improve_critic, (critic, critic_optimiser), length=self.critic_steps
        )
        measures = {
            "actor_loss": actor_losses[0],
            "critic_loss": critic_losses[0],
            "entropy": actor.entropy(batch.x[-1]),
        }
        return Learner(actor, critic, actor_optimiser, critic_optimiser), measures


def _is_std(path: tuple) -> bool:
    return any(getattr(entry, "name", None) == "log_std" for entry in path)
