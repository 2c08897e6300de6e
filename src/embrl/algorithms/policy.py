"""pi_o = f . pi_i . phi: from raw observations to original actions."""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import equinox as eqx
import gymnasium
import jax
from jaxtyping import Array, Bool

from embrl.algorithms.actors import Actor
from embrl.algorithms.base import Places, PolicyConfig
from embrl.algorithms.networks import Both, Features
from embrl.core.scaling import Seen
from embrl.core.types import Key, Observation
from embrl.decoding.decoder import Decoder, Judge
from embrl.embedding.encoders import Norm, RawStates, Standardised, StateEncoder, WithState
from embrl.embedding.model import JointEmbedding


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


# DOC What a policy sees of a state: its embedding, its numbers as they are, or both.


@dataclasses.dataclass(frozen=True)
class Sight:
    """Settings and the observations they are for."""

    policy: PolicyConfig
    space: gymnasium.Space

    def features(self, embedding: JointEmbedding | None) -> Features:
        """What a network takes in."""
        if embedding is None:
            return self._raw.features
        phi = embedding.phi
        if self._both(embedding):
            assert isinstance(phi, StateEncoder)
            assert self._raw.box is not None  # `check`
            return Both(phi.features, self._raw.box.features)
        return phi.features

    def nothing_yet(self, embedding: JointEmbedding | None) -> Seen | None:
        """What the scale of numbers without bounds will follow; None where no policy looks at any,
        or they are not scaled.
        """
        box = self._raw.box
        looks = embedding is None or self._both(embedding)
        if not looks or box is None or box.scale is None:
            return None
        return Seen.nothing(box.features)

    def phi(self, embedding: JointEmbedding | None, norm: Norm | None, seen: Seen | None) -> Any:
        """The map from observations to what the policy sees."""
        raw = self._raw
        if seen is not None:
            down = self.policy.normalise == "down"
            raw = raw.scaled_by(seen.scale.down() if down else seen.scale)
        if embedding is None:
            return raw
        if norm is None or not isinstance(embedding.phi, StateEncoder):
            return embedding.phi
        phi = Standardised(embedding.phi, norm)
        return WithState(phi, raw) if self._both(embedding) else phi

    @property
    def _raw(self) -> RawStates:
        how = self.policy.normalise
        return RawStates(self.space, scaled=how in ("seen", "down"), alone=how == "no")

    def _both(self, embedding: JointEmbedding) -> bool:
        return self.policy.sees == "both" and isinstance(embedding.phi, StateEncoder)
