"""What a policy sees of a state: its embedding, its numbers as they are, or both."""

import dataclasses
from typing import Any

import gymnasium

from embrl.boxes import Seen
from embrl.embedding.encoders import Norm, RawStates, Standardised, StateEncoder, WithState
from embrl.embedding.model import JointEmbedding
from embrl.policy.config import PolicyConfig
from embrl.policy.networks import Both, Features


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
