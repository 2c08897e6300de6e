"""pi_o = f . pi_i . phi: from raw observations to original actions."""

from collections.abc import Callable
from typing import Protocol

import equinox as eqx
import jax
from jaxtyping import Array, Bool

from embrl.decoding.decoder import Decoder, Judge
from embrl.policy.actors import Actor
from embrl.policy.experience import Places
from embrl.types import Key, Observation


class Critic(Protocol):
    """What can judge actions: a learner, or a critic of its."""

    def judge(self, x: Array, observation: Observation) -> Judge | None:
        """What it thinks of points of E in these states, whose features are x."""
        ...


class OverallPolicy(eqx.Module):
    """The overall policy (Pritz et al. 2021, fig. 1a): x = phi(s), u ~ pi_i(. | x), a = f(u).

    Without embeddings phi and f are the identity, and the rest is the same.
    """

    phi: Callable[[Observation], Array]
    actor: Actor
    f: Decoder
    table: Places
    """What f goes by."""
    critic: Critic | None = None
    """For an f that needs a judge."""
    allowed: Bool[Array, " n"] | None = None
    """Discrete actions that f may return at all; None: all."""

    def noise(self, key: Key, batch: tuple[int, ...]) -> tuple[Array, Array | None]:
        """The randomness of `batch` actions, for `act`: pi_i's and f's."""
        # The actor's is the same whether f is random or not.
        return self.actor.noise(key, batch), self.f.noise(jax.random.fold_in(key, 1), batch)

    def act(
        self,
        observation: Observation,
        noise: tuple[Array, Array | None],
        mask: Bool[Array, "*#batch n"] | None = None,
    ) -> tuple[Array, Array]:
        """Draws an action, int32 `[*batch]` or float32 `[*batch, p]`; also returns u, the internal
        one behind it.
        """
        x, mask = self.phi(observation), self._masked(mask)
        u = self.actor.act(x, noise[0], mask)
        return self.f(self.table, u, noise[1], mask, self._judge(x, observation)), u

    def mode(self, observation: Observation, mask: Bool[Array, "*#batch n"] | None = None) -> Array:
        """The action of the likeliest u."""
        x, mask = self.phi(observation), self._masked(mask)
        return self.f(self.table, self.actor.mode(x, mask), None, mask, self._judge(x, observation))

    def _masked(self, mask: Array | None) -> Array | None:
        """What is allowed at all and by this mask."""
        if self.allowed is None:
            return mask
        return self.allowed if mask is None else mask & self.allowed

    def _judge(self, x: Array, observation: Observation) -> Judge | None:
        return None if self.critic is None else self.critic.judge(x, observation)
