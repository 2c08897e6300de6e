"""The decoder f: its interface, its settings, and the registry of decoders."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple, Self, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from embrl.core.errors import EmbrlError, SettingError
from embrl.core.registry import Registry
from embrl.core.section import Section
from embrl.core.types import Key
from embrl.portable.steps import Chain, Draw, Echoed, Scored, VisitRecall

Scorer: TypeAlias = Callable[
    [Float[Array, "*#batch k d"], Int[Array, "*#batch k"]], Float[Array, "*batch k"]
]
"""Scores of k candidates, points of E and the actions that lie there, in the states at hand; the
higher, the better."""

TEMPERATURES = (1e-30, 1e30)
"""Range of temperatures, well inside of what float32 can divide by."""


@dataclasses.dataclass(frozen=True)
class DecoderConfig(Section):
    """Settings of f, which turns a point of the action embedding into an action."""

    kind: str = "nearest"
    """Decoder: nearest, wolpertinger (best score of the k nearest), best (best score of all),
    softmax (drawn by distance), learned (continuous actions), or a plugin's."""
    k: int = 16
    """Number of nearest actions whose scores are compared (wolpertinger only)."""
    scorer: Literal["critic", "model"] = "critic"
    """Scorer of actions: SAC's critic, or the reward of the next step that T and the objective
    outcome predict (wolpertinger and best only)."""
    temperature: float = 0.05
    """Initial temperature, in units of squared distance; it is learned with the policy (softmax
    only)."""
    candidates: int = 32
    """Number of joint actions nearest to e that are looked at for a feasible one, in environments
    that couple the parts of an action (nearest and wolpertinger only). 0: infeasible actions are
    taken, too, and the environment does what it does with them."""
    max_visits: int = 0
    """Boxes of actions that a search for the nearest may look into, where actions are so many that
    it uses a tree (nearest and wolpertinger only). It is then approximate, and metrics.csv has the
    fraction of right answers. 0: as many as it takes to be exact."""
    gradient_steps: int = 1000
    """Gradient steps in which the network learns to invert g, once g is trained (learned only)."""
    learning_rate: float = 3e-3
    """Adam's learning rate in these steps; it decays to zero (learned only)."""


class PortableCritic(NamedTuple):
    """A critic of points of E as plain steps, the fields of `Scored` that say how to score."""

    below: tuple[Chain, Chain]
    beside: Any
    above: tuple[Chain, Chain]

    def scored(self, table: Any, k: int | None) -> Scored:
        """Return the choice among the k nearest rows of a table, or among all."""
        return Scored(table, k, *self)


class PortableModel(NamedTuple):
    """A model that predicts the outcome of actions as plain steps, the fields of `Echoed`."""

    logits: Chain
    outcome: Any
    factor: float
    delta: float
    recall: VisitRecall | None

    def scored(self, table: Any, k: int | None) -> Echoed:
        """Return the choice among the k nearest rows of a table, or among all."""
        return Echoed(table, k, *self)


PortableScorer: TypeAlias = PortableCritic | PortableModel
"""A source of scores as plain steps."""


class PortableDecoder(NamedTuple):
    """A decoder as plain steps."""

    f: Chain = Chain(())
    """From internal actions to actions; the most likely ones where f is random."""
    draw: Draw | None = None
    """From internal actions to drawn actions; None where f is not random."""
    scored: Scored | Echoed | None = None
    """Instead of f where f needs a scorer; else None."""


class Decoder(eqx.Module):
    """f: E -> A, given the table of all g(a), `[n, d]`.

    For continuous actions the network that inverts g comes in the table's place; without an action
    embedding, None. The table is an argument, not a part: it belongs to the embedding and may be
    updated online. What a decoder holds as arrays (a temperature) is learned with the policy. Noise
    is passed in, so that a rollout can draw it in bulk.

    A decoder describes itself: what it needs (the class variables), how it is made of settings
    (`from_config`) and what it is outside of JAX (`portable`). `embrl.register_decoder` adds one.
    """

    needs_scorer: ClassVar[bool] = False
    """True if it cannot do without a scorer of actions."""
    continuous: ClassVar[bool] = False
    """True if it is for continuous actions, False for discrete ones."""
    on_policy_only: ClassVar[str | None] = None
    """Reason why off-policy algorithms are refused; None if they are not."""
    by_index: ClassVar[bool] = False
    """True if it takes an `embrl.decoding.IndexedTable` where actions are many. It is then passed
    one in `__call__`, but a plain table in `portable`."""
    by_list: ClassVar[bool] = False
    """True if it takes an `embrl.decoding.IndexedTable` with a list of the few of many actions that
    pre-training tried, but none with a tree."""
    of_products: ClassVar[bool] = False
    """True if it takes an `embrl.decoding.ProductTable`, for actions with several parts."""
    of_constraints: ClassVar[bool] = False
    """True if it keeps to a function that couples parts: `__call__` then takes an
    `embrl.decoding.Constraint` as `constraint`, which is passed where there is one."""
    portable_exclusions: ClassVar[bool] = False
    """True if `portable` can keep to allowed actions."""

    @classmethod
    def from_config(cls, config: DecoderConfig) -> Self:
        """Return the decoder that the settings describe; of these, it reads what it needs."""
        del config
        return cls()

    def portable(
        self, table: Any, allowed: Any, critic: Callable[[], PortableScorer]
    ) -> PortableDecoder:
        """Return the decoder as plain steps.

        Args:
            table: As in `__call__`.
            allowed: True for actions that may be returned, bool `[n]`; None for all.
            critic: Function that returns the scorer as plain steps.

        Raises:
            EmbrlError: If there is no such form.
        """
        del table, allowed, critic
        raise EmbrlError(
            f"{type(self).__name__} has no form outside of JAX; define its method portable, or act "
            "with embrl.load(RUN).policy()"
        )

    def noise(self, key: Key, batch: tuple[int, ...]) -> Array | None:
        """Return the randomness of `batch` decisions; None where f is not random."""
        del key, batch

    @abc.abstractmethod
    def __call__(
        self,
        table: Any,
        u: Array,
        noise: Array | None = None,
        mask: Bool[Array, "*#batch n"] | None = None,
        scorer: Scorer | None = None,
    ) -> Array:
        """Return the actions of internal actions.

        Args:
            table: Embeddings of all actions, `[n, d]`, or the network that inverts g.
            u: Internal actions, `[*batch, d]`.
            noise: Result of `noise`; None for the most likely action where f is random.
            mask: True for actions that are allowed; at least one must be. An excluded action is
                never returned.
            scorer: Scorer of actions, for decoders that need one.
        """

    def log_prob(
        self,
        table: Any,
        u: Array,
        action: Array,
        mask: Bool[Array, "*#batch n"] | None = None,
    ) -> Float[Array, "*batch"]:
        """Return the exact log P(action | u); 0 where f is not random."""
        del table, action, mask
        return jnp.zeros(u.shape[:-1])


DECODERS = Registry(
    "decoder",
    {
        "nearest": "embrl.decoding.nearest:NearestAction",
        "wolpertinger": "embrl.decoding.scored:Wolpertinger",
        "best": "embrl.decoding.scored:BestAction",
        "learned": "embrl.decoding.continuous:LearnedAction",
        "softmax": "embrl.decoding.softmax:SoftmaxAction",
    },
    plugged=True,
)
"""Decoders by name. A new one is one file and one line here, or `embrl.register_decoder`."""

DEFAULTS = ("nearest", "learned")
"""Decoders of discrete and of continuous actions where nothing else is set."""


def build(config: DecoderConfig) -> Decoder:
    """Return the decoder that the settings describe. A traced temperature is taken as it is.

    Raises:
        EmbrlError: If a setting is out of its range, whether this decoder reads it or not.
    """
    if not (isinstance(config.k, int) and config.k >= 1):
        raise EmbrlError(f"decoder.k must be an integer of at least 1, got {config.k}")
    if not (isinstance(config.candidates, int) and config.candidates >= 0):
        raise SettingError("decoder.candidates", "an integer of at least 0", config.candidates)
    low, high = TEMPERATURES
    traced = isinstance(config.temperature, jax.Array)
    if not traced and not low <= config.temperature <= high:
        raise EmbrlError(f"decoder.temperature must be {low} to {high}, got {config.temperature}")
    if config.max_visits < 0:
        raise EmbrlError(f"decoder.max_visits must be at least 0, got {config.max_visits}")
    if config.gradient_steps < 1:
        raise EmbrlError(f"decoder.gradient_steps must be at least 1, got {config.gradient_steps}")
    return DECODERS[config.kind].from_config(config)
