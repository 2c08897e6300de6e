"""A shop whose customers buy what the log says they would, or what they are shown."""

import dataclasses
import math
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from gymnasium import spaces
from jaxtyping import Array, Float, Int

from embrl.core.errors import EmbrlError
from embrl.core.types import Action, Key, TimeStep
from embrl.envs.environment import Environment
from embrl.envs.recommender.ngram import NGram
from embrl.envs.recommender.purchases import Purchases, read_purchases

MIN_PURCHASES = 100
"""The paper's: rarer items are left out."""


@dataclasses.dataclass(frozen=True)
class RecommenderConfig:
    """The n-gram recommender of Pritz et al. (2021, A.4.1), after Shani et al. (2005).

    The state is the last two items bought, the action the item to recommend, which makes that
    item alpha times as likely to be bought next. The reward is the price of what is bought.
    """

    named_factor: ClassVar[int] = 1
    """Actions name items, and so does the last item bought (`embrl.envs.environment`)."""

    data: str = ""
    """The purchase log, CSV or Parquet, with columns user, ts, item, price (and line), or
    event_time, event_type, product_id, price, user_id."""
    min_purchases: int | None = None
    """Keep the items bought at least this often; 100, unless top_items is given."""
    top_items: int | None = None
    """Keep this many items, the most bought ones; instead of min_purchases."""
    min_user_purchases: int = 3
    """Then keep the users who bought at least this many of these items."""
    alpha: float = 3.0
    """What a recommendation multiplies the item's probability by, before all are normalised."""
    added_probability: float = 0.0
    """What it then adds to it, before all are normalised; .05 in the paper's released code."""
    mixture: float = 0.5
    """Weight of the last two items in the probabilities; the rest goes by the last one."""
    smoothing: float = 10.0
    """How many purchases the item frequencies count for beside what followed the last item."""
    step_limit: int = 20
    """Steps until an episode is truncated."""

    def build(self) -> "Recommender":
        """Reads the log and makes the environment.

        Raises:
            EmbrlError: a field is out of range, or the log is bad; the message says where.
        """
        if not self.data:
            raise EmbrlError("env.data is not given: name a purchase log, a CSV or Parquet file")
        if self.min_purchases is not None and self.top_items is not None:
            raise EmbrlError(
                f"env.min-purchases {self.min_purchases} and env.top-items {self.top_items} "
                "exclude each other: give one"
            )
        for name in ("min_purchases", "top_items", "min_user_purchases", "step_limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise EmbrlError(f"env.{_flag(name)} is {value}: choose 1 or more")
        for name, lowest, highest in [
            ("alpha", 1.0, math.inf),
            ("added_probability", 0.0, 1.0),
            ("mixture", 0.0, 1.0),
            ("smoothing", 0.0, math.inf),
        ]:
            value = getattr(self, name)
            if not (math.isfinite(value) and lowest <= value <= highest):
                choice = (
                    f"{lowest:g} or more" if highest == math.inf else f"{lowest:g} to {highest:g}"
                )
                raise EmbrlError(f"env.{_flag(name)} is {value}: choose {choice}")
        default = MIN_PURCHASES if self.top_items is None else None
        purchases = read_purchases(
            self.data,
            min_purchases=default if self.min_purchases is None else self.min_purchases,
            top_items=self.top_items,
            min_user_purchases=self.min_user_purchases,
        )
        return Recommender(self, purchases)


class RecommenderState(NamedTuple):
    """The last two items bought, the older one first, and the steps taken."""

    items: Int[Array, "2"]
    steps: Int[Array, ""]


class Recommender(Environment):
    """See `RecommenderConfig`. Items are numbered as in `Purchases`."""

    model: NGram
    prices: Float[Array, " K"]
    alpha: Float[Array, ""]
    added_probability: Float[Array, ""]
    step_limit: int = eqx.field(static=True)

    def __init__(self, config: RecommenderConfig, purchases: Purchases) -> None:
        self.model = NGram.from_purchases(purchases, config.mixture, config.smoothing)
        self.prices = jnp.asarray(purchases.prices, jnp.float32)
        self.alpha = jnp.float32(config.alpha)
        self.added_probability = jnp.float32(config.added_probability)
        self.step_limit = config.step_limit

    @property
    def observation_space(self) -> spaces.MultiDiscrete:
        """The older of the last two items, and the last."""
        return spaces.MultiDiscrete([self.model.items] * 2)

    @property
    def action_space(self) -> spaces.Discrete:
        """The items."""
        return spaces.Discrete(self.model.items)

    def reset(self, key: Key) -> tuple[RecommenderState, Int[Array, "2"]]:
        """Two items, each uniform over all."""
        items = jax.random.randint(key, (2,), 0, self.model.items, jnp.int32)
        return RecommenderState(items, jnp.int32(0)), items

    def step(
        self, key: Key, state: RecommenderState, action: Action
    ) -> tuple[RecommenderState, TimeStep]:
        """The customer buys item c with probability

            (P(c) + boost [c = action]) / (1 + boost),  boost = (alpha - 1) P(action) + added

        which is a mixture: with probability boost / (1 + boost) the recommended item, else one
        from P. So nothing is computed for any other item.
        """
        older, last = state.items
        context = self.model.context(older, last)
        boost = self.boost(self.model.probability(context, action))
        choice, row = jax.random.bits(key, (2,), jnp.uint32)
        # The 24 bits that a float32 holds.
        mass = (1 + boost) * (choice >> 8).astype(jnp.float32) * 2.0**-24
        bought = jnp.where(mass < boost, action, self.model.sample(context, mass - boost, row))
        items = jnp.stack([last, bought])
        steps = state.steps + 1
        return RecommenderState(items, steps), TimeStep(
            observation=items,
            reward=self.prices[bought],
            terminated=jnp.bool_(False),
            truncated=steps >= self.step_limit,
        )

    def boost(self, probability: Float[Array, "*any"]) -> Float[Array, "*any"]:
        """What a recommendation adds to P of its item, before normalisation."""
        return (self.alpha - 1) * probability + self.added_probability

    def references(self, key: Key) -> dict[str, float]:
        """Mean returns of `likeliest`, and of oracles that know the model (see
        `embrl.envs.recommender.oracle`).
        """
        from embrl.envs.recommender.oracle import references

        return references(self, key)


def _flag(field: str) -> str:
    return field.replace("_", "-")
