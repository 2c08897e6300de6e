"""pi_o = f . pi_i . phi: from raw observations to original actions."""

from collections.abc import Callable

import equinox as eqx
from jaxtyping import Array, Bool, Int

from embrl.policy.actors import Actor
from embrl.types import Observation


class OverallPolicy(eqx.Module):
    """The overall policy (Pritz et al. 2021, fig. 1a): x = phi(s), u ~ pi_i(. | x), a = f(u).

    Without embeddings phi and f are the identity, and the rest is the same.
    """

    phi: Callable[[Observation], Array]
    actor: Actor
    f: Callable[..., Array]

    def act(
        self, observation: Observation, noise: Array, mask: Bool[Array, "*#batch n"] | None = None
    ) -> tuple[Int[Array, "*batch"], Array]:
        """Draws an action; also returns u, the internal one behind it."""
        u = self.actor.act(self.phi(observation), noise, mask)
        return self.f(u, mask), u

    def mode(
        self, observation: Observation, mask: Bool[Array, "*#batch n"] | None = None
    ) -> Int[Array, "*batch"]:
        """The action of the likeliest u."""
        return self.f(self.actor.mode(self.phi(observation), mask), mask)
