"""What training expects of an algorithm."""

from typing import Any, ClassVar, Protocol

from jaxtyping import Array, Float

from embrl.decoding.decoder import Decoder, Judge
from embrl.policy.actors import Actor
from embrl.policy.config import PolicyConfig
from embrl.policy.experience import Experience
from embrl.policy.internal import Internal
from embrl.policy.networks import Features
from embrl.types import Key, Observation


class Learner(Protocol):
    """What an algorithm learns, and its optimisers: a pytree of its own kind."""

    @property
    def actor(self) -> Actor:
        """pi_i."""
        ...

    @property
    def f(self) -> Decoder:
        """From internal actions to original ones."""
        ...

    def judge(self, x: Array, observation: Observation) -> Judge | None:
        """What the critic thinks of points of E in these states, whose features are x; None where
        it values states only, or there is no E.
        """
        ...


class Algorithm(Protocol):
    """A frozen dataclass of hyperparameters.

    Those that are floats may be traced, unless they are in `untraced`.
    """

    off_policy: ClassVar[bool]
    """Whether it learns from a replay buffer."""
    untraced: ClassVar[frozenset[str]]
    """Floats that decide shapes, or how often something is done."""

    def start(
        self,
        features: Features,
        internal: Internal,
        f: Decoder,
        config: PolicyConfig,
        *,
        key: Key,
    ) -> Learner:
        """Before the first update.

        Arguments:
            features: what the policy sees.
        """
        ...

    def update(
        self, learner: Any, experience: Experience, key: Key
    ) -> tuple[Learner, dict[str, Float[Array, ""]]]:
        """One epoch's learning, and measures of it.

        Arguments:
            learner: as this algorithm's `start` or `update` returned it.
        """
        ...
