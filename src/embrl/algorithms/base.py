"""Interface of algorithms: what they are given and what they return."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias

from jaxtyping import Array, Bool, Float

from embrl.algorithms.actors import LAST_SCALE, Actor
from embrl.algorithms.networks import Features
from embrl.core.errors import check_positive
from embrl.core.nn import ACTIVATIONS, Activation
from embrl.core.products import Product
from embrl.core.section import Section
from embrl.core.types import Key, Observation
from embrl.decoding.base import Decoder, Scorer
from embrl.decoding.indexed import IndexedTable
from embrl.decoding.products import ProductTable


@dataclasses.dataclass(frozen=True)
class PolicyConfig(Section):
    """Networks and input of actor and critic."""

    hidden: tuple[int, ...] = (64, 64)
    """Hidden layers of actor and critic."""
    activation: Literal["auto", "tanh", "relu"] = "auto"
    """Activation of the hidden layers. auto: tanh for VPG and PPO, ReLU for SAC."""
    last_scale: float = LAST_SCALE
    """Factor on the initial weights of the actor's last layer. As small as it is, the first policy
    is nearly the same in all states; from 1, imitation learns faster."""
    std: float = 0.6
    """Initial standard deviation of the internal policy (without an embedding, only for continuous
    actions)."""
    std_unit: Literal["embedding", "action"] = "embedding"
    """Unit of std, for continuous actions that are embedded. embedding: that of E, as in the paper.
    action: that of actions scaled by their bounds; in E the standard deviation is as much smaller
    as random actions lie closer together there."""
    actions: Literal["embedded", "original"] = "embedded"
    """Actions that the policy chooses between where they are embedded: points of E, which f maps to
    actions; or original actions directly, with states alone seen through the embedding, unless
    another decoder than the default, or credit, asks for points. With a handful of actions there is
    nothing to generalise over, and no noise of a point to average."""
    credit: Literal["e", "g(a)"] = "e"
    """Point whose probability VPG and PPO raise after a good action: the one that the policy drew,
    as in the paper's Algorithm 1, or the embedding of the action that f chose (embedding methods
    only)."""
    bounded: bool = True
    """End the internal policy's mean in a tanh, as embeddings lie in (-1, 1)^d."""
    inputs: Literal["embedding", "both"] = "embedding"
    """Input of actor and critic where states are embedded: phi(s) alone, as in the paper, or also
    the observation itself, joined as in TD7 (Fujimoto et al. 2023); of a discrete state, a fixed
    random code."""
    normalise: Literal["running", "scale_down_only", "squash", "off"] = "running"
    """Scaling of unbounded observations that a policy sees as they are (methods without state
    embedding, and inputs both). running: by running mean and standard deviation. scale_down_only:
    likewise, but dimensions with a standard deviation below 1 are only centred. squash: s becomes
    s / (1 + |s|). off: unchanged."""
    scale_rewards: bool = False
    """Divide the rewards that actor and critic learn from by the running standard deviation of
    their discounted sums, where that is above 1. Embeddings and reported returns have the
    environment's own rewards, and the exploration bonus is in the unit of scaled rewards."""

    def validate(self) -> None:
        """Check all settings.

        Raises:
            SettingError: a value is out of range.
        """
        check_positive("policy.last_scale", self.last_scale)
        check_positive("policy.std", self.std)

    def activation_or(self, usual: Activation) -> Activation:
        """Return the activation of the hidden layers, `usual` where none is chosen."""
        return ACTIVATIONS.get(self.activation, usual)


@dataclasses.dataclass(frozen=True)
class EmbeddedActions:
    """Internal actions that are points of the action embedding space E."""

    d: int
    """Dimensions of E."""
    unit: float | Float[Array, " d"] = 1.0
    """Unit of a policy's standard deviation on each axis of E."""


@dataclasses.dataclass(frozen=True)
class IndexedActions:
    """Internal actions that are indices of original actions: there is no action embedding."""

    n: int
    """Number of actions."""


@dataclasses.dataclass(frozen=True)
class PartedActions:
    """Internal actions that are original actions with several parts: there is no embedding."""

    product: Product
    """The parts."""


InternalSpace: TypeAlias = EmbeddedActions | IndexedActions | PartedActions
"""The space that an internal policy chooses from."""

ActionTable: TypeAlias = (
    Float[Array, "n d"] | IndexedTable | ProductTable | Callable[[Array], Array] | None
)
"""What f decodes with: g(a) of every discrete action, with an index if they are many, or of every
value of every part, or the network that inverts g for continuous ones; None without an action
embedding."""


class Batch(NamedTuple):
    """Steps as algorithms see them, with any leading axes."""

    x: Array
    """Features of s_t, `[*batch, ...]`."""
    u: Array
    """Internal actions, `[*batch, ...]`."""
    action: Array
    """Original actions f(u)."""
    reward: Float[Array, "*batch"]
    next_x: Array
    """Features of the true next state, `[*batch, ...]`."""
    terminated: Bool[Array, "*batch"]
    truncated: Bool[Array, "*batch"]
    mask: Bool[Array, "*batch n"] | None = None
    """Discrete actions that could be chosen; None: those of `Experience.allowed`."""
    next_mask: Bool[Array, "*batch n"] | None = None
    """The same in the next state, for off-policy algorithms that choose original actions."""


class Experience(NamedTuple):
    """Everything that an update may look at. Algorithms see features, never an environment."""

    fresh: Batch
    """The latest rollout, `[T, B]`."""
    draw: Callable[[Key, int], Batch]
    """Returns that many steps `[N]` from the replay buffer, in terms of the current embedding."""
    table: ActionTable
    """What f currently decodes with."""
    allowed: Bool[Array, " n"] | None = None
    """Actions that f may return; None: all."""
    progress: Float[Array, ""] | float = 0.0
    """Fraction of the updates of the run that are done."""


class Learner(Protocol):
    """Networks and optimisers of an algorithm: a pytree of its own kind."""

    @property
    def actor(self) -> Actor:
        """The internal policy pi_i."""
        ...

    @property
    def f(self) -> Decoder:
        """The decoder from internal actions to original ones."""
        ...

    def scorer(self, x: Array, observation: Observation) -> Scorer | None:
        """Return the critic's values of points of E in states with features x.

        Returns:
            None where the critic values states only, or there is no E.
        """
        ...


class Algorithm(Protocol):
    """Interface of algorithms: a frozen dataclass of hyperparameters.

    Hyperparameters that are floats may be traced, unless they are in `untraced`.
    """

    off_policy: ClassVar[bool]
    """True if it learns from a replay buffer."""
    untraced: ClassVar[frozenset[str]]
    """Floats that determine shapes or counts."""

    def validate(self, name: str) -> None:
        """Check all settings, which messages call `<name>.<field>`.

        Raises:
            SettingError: a value is out of range.
        """
        ...

    def start(
        self,
        features: Features,
        internal: InternalSpace,
        f: Decoder,
        config: PolicyConfig,
        *,
        key: Key,
    ) -> Learner:
        """Return the state before the first update.

        Args:
            features: input of actor and critic.
            internal: the space that the internal policy chooses from.
            f: the decoder.
            config: networks of actor and critic.
            key: random key.
        """
        ...

    def update(
        self, learner: Any, experience: Experience, key: Key
    ) -> tuple[Learner, dict[str, Float[Array, ""]]]:
        """Learn from a rollout.

        Args:
            learner: as this algorithm's `start` or `update` returned it.
            experience: the latest rollout, and access to the replay buffer.
            key: random key.

        Returns:
            The learner after the update, and its metrics.
        """
        ...
