"""Proximal policy optimisation."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from embrl.algorithms.on_policy import ActorCritic, Metrics

TOLERANCE = 1.5
"""How many times the target of the divergence a step may find; Stable-Baselines3's and Spinning
Up's number."""


@dataclasses.dataclass(frozen=True)
class PPO(ActorCritic):
    """PPO with a clipped ratio (Schulman et al. 2017, eq. 7): more steps on each epoch than VPG
    takes, but none that gains by going far from the policy that took the samples.
    """

    update_epochs: int = 10
    """Epochs of the actor on each rollout."""
    clip_range: float = 0.2
    """Distance of the probability ratio from 1 beyond which a step gains nothing more."""
    target_kl: float = 0.0
    """The actor rests until the next epoch once it has diverged this far, and by half as much
    again, from the policy that took the samples, in nats; 0 is no limit."""

    def surrogate(
        self,
        log_prob: Float[Array, "*batch"],
        before: Float[Array, "*batch"],
        advantage: Float[Array, "*batch"],
    ) -> tuple[Float[Array, ""], Metrics]:
        """- mean of min(r A, clip(r, 1 - clip, 1 + clip) A), with r = pi(a|s) / pi_before(a|s).

        Metrics are an estimate of the divergence KL(before, now) that is never negative
        (Schulman 2020: r - 1 - log r), and the share of samples whose ratio is clipped.
        """
        log_ratio = log_prob - before
        ratio = jnp.exp(log_ratio)
        near = jnp.clip(ratio, 1.0 - self.clip_range, 1.0 + self.clip_range)
        loss = -jnp.minimum(ratio * advantage, near * advantage).mean()
        return loss, {
            "kl": (jnp.expm1(log_ratio) - log_ratio).mean(),
            "clipped": (jnp.abs(ratio - 1.0) > self.clip_range).mean(dtype=jnp.float32),
        }

    def goes_on(self, metrics: Metrics) -> Bool[Array, ""]:
        """As long as the divergence is within its limit, if it has one."""
        limit = jnp.where(jnp.asarray(self.target_kl) > 0.0, TOLERANCE * self.target_kl, jnp.inf)
        return metrics["kl"] <= limit
