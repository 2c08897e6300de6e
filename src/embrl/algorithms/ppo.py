"""Proximal policy optimisation."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from embrl.algorithms.on_policy import ActorCritic, Metrics

TOLERANCE = 1.5
"""Multiple of target_kl at which the actor stops, as in Stable-Baselines3 and Spinning Up."""


@dataclasses.dataclass(frozen=True)
class PPO(ActorCritic):
    """PPO with a clipped probability ratio (Schulman et al. 2017, eq. 7).

    It takes more gradient steps on each rollout than VPG, but gains nothing by moving far from the
    policy that collected it.
    """

    update_epochs: int = 10
    """Epochs of the actor on each rollout."""
    clip_range: float = 0.2
    """Distance of the probability ratio from 1 beyond which it is clipped."""
    target_kl: float = 0.0
    """Divergence from the policy that collected the rollout, in nats: the actor stops until the
    next rollout once it exceeds 1.5 times this. 0: no limit."""

    def surrogate(
        self,
        log_prob: Float[Array, "*batch"],
        before: Float[Array, "*batch"],
        advantage: Float[Array, "*batch"],
    ) -> tuple[Float[Array, ""], Metrics]:
        """Return - mean of min(r A, clip(r, 1 - c, 1 + c) A), with r = pi(a|s) / pi_before(a|s).

        Metrics are a non-negative estimate of KL(before, now) (Schulman 2020: r - 1 - log r), and
        the fraction of steps whose ratio is clipped.
        """
        log_ratio = log_prob - before
        ratio = jnp.exp(log_ratio)
        near = jnp.clip(ratio, 1.0 - self.clip_range, 1.0 + self.clip_range)
        loss = -jnp.minimum(ratio * advantage, near * advantage).mean()
        return loss, {
            "kl": (jnp.expm1(log_ratio) - log_ratio).mean(),
            "clipped": (jnp.abs(ratio - 1.0) > self.clip_range).mean(dtype=jnp.float32),
        }

    def goes_on(self, metrics: Metrics) -> Bool[Array, ""] | None:
        """Return whether the divergence is within its limit; None if there is no limit."""
        if isinstance(self.target_kl, float) and self.target_kl == 0.0:
            return None
        limit = jnp.where(jnp.asarray(self.target_kl) > 0.0, TOLERANCE * self.target_kl, jnp.inf)
        return metrics["kl"] <= limit
