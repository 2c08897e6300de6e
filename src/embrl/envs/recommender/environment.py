"""The recommender environment, and reference policies that know its purchase model."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from gymnasium import spaces
from jaxtyping import Array, Float, Int

from embrl.core.errors import EmbrlError
from embrl.core.types import Action, Key, TimeStep
from embrl.envs.checks import check_number, check_whole
from embrl.envs.environment import Environment
from embrl.envs.recommender.log_files import sha256
from embrl.envs.recommender.log_format import LogFormat, LogReport, columns_from
from embrl.envs.recommender.ngram import NGram
from embrl.envs.recommender.purchases import Purchases, read_purchases

MIN_PURCHASES = 100
"""Default of `min_purchases`, the paper's: rarer items are left out."""

EPISODES = 8000
"""Number of episodes of each reference policy."""

BATCH = 250
"""Number of episodes played at a time, each with a few rows of K floats."""

POLICIES = ("likeliest", "oracle", "lookahead")
"""Names of the reference policies, see `Recommender.references`."""


@dataclasses.dataclass(frozen=True)
class RecommenderConfig:
    """Settings of the n-gram recommender (Pritz et al. 2021, A.4.1, after Shani et al. 2005).

    The state is the last two items bought, the action the item to recommend, which makes that
    item alpha times as likely to be bought next. The reward is the price of the item bought.
    """

    named_factor: ClassVar[int] = 1
    """Index of the factor that actions name: both are items (`embrl.envs.environment`)."""
    data_settings: ClassVar[tuple[str, ...]] = ("data", "join", "mapping")
    """Settings that are paths of data (`embrl.envs.environment`)."""

    data: str = ""
    """Path of the purchase log: CSV, JSON or Parquet, in a known layout or with usual columns."""
    columns: tuple[str, ...] = ()
    """What columns mean, as `user=customer_id item=sku time=when price=amount` (also event,
    quantity, order, invoice); names, or numbers from 1. In Python also a dictionary."""
    separator: str = ""
    """Separator of a CSV, or its name: comma, semicolon, tab, pipe. Default: it is found out."""
    header: Literal["auto", "yes", "no"] = "auto"
    """Whether the first line of a CSV has the names of its columns."""
    time_format: str = ""
    """Times: s, ms, us or ns since a start; a format such as `%d.%m.%Y %H:%M`; or none: rows are in
    order. Default: it is found out."""
    constant_price: float | None = None
    """Price of every item, in place of prices in the log."""
    events: tuple[str, ...] = ()
    """Values of the column of events that are purchases; all: every row is one."""
    returns: Literal["drop", "cancel", "keep"] = "drop"
    """Returns (negative quantities, invoices such as C536379). drop: they are left out. cancel: so
    is the purchase before. keep: they count as purchases."""
    duplicates: Literal["keep", "drop"] = "keep"
    """Whether rows that repeat an earlier one exactly count."""
    join: str = ""
    """Another table, whose columns are added where the columns that both have are equal."""
    mapping: str = ""
    """TOML or JSON file with any of the settings from columns to join; flags count before it."""
    min_purchases: int | None = None
    """Fewest purchases of an item that is kept; None: 100, unless top_items is given."""
    top_items: int | None = None
    """Number of items to keep, the most bought ones; instead of min_purchases."""
    min_user_purchases: int = 3
    """Fewest purchases, of the items kept, of a user who is kept; at least 1."""
    alpha: float = 3.0
    """Factor on the probability of a recommended item, before normalisation; at least 1."""
    added_probability: float = 0.0
    """Term added to the probability of a recommended item, before normalisation, 0 to 1; .05 in
    the paper's released code."""
    mixture: float = 0.5
    """Weight of the last two items in the probabilities, 0 to 1, against the last item alone."""
    smoothing: float = 10.0
    """Number of purchases that the item frequencies count for beside the counts of what followed
    the last item; at least 0."""
    step_limit: int = 20
    """Steps until an episode is truncated, at least 1."""

    def __post_init__(self) -> None:
        if isinstance(self.columns, Mapping):
            words = tuple(f"{role}={name}" for role, name in self.columns.items())
            object.__setattr__(self, "columns", words)
        for name in ("columns", "events"):
            if isinstance(value := getattr(self, name), str | list):
                words = (value,) if isinstance(value, str) else tuple(value)
                object.__setattr__(self, name, words)

    def log_format(self) -> LogFormat:
        """Return how the log is written, as far as it is set.

        Raises:
            EmbrlError: If a setting or the mapping file is wrong.
        """
        found = LogFormat(
            columns_from(self.columns),
            self.separator,
            self.header,
            self.time_format,
            self.constant_price,
            self.events,
            self.returns,
            self.duplicates,
            self.join,
        )
        return found.over(self.mapping) if self.mapping else found

    def build(self) -> "Recommender":
        """Read the log and make the environment.

        Raises:
            EmbrlError: If a setting is out of range or the log is bad; the message says where.
        """
        if not self.data:
            raise EmbrlError("env.data must be a purchase log, a CSV or Parquet file, got none")
        if self.min_purchases is not None and self.top_items is not None:
            raise EmbrlError(
                "env.min-purchases and env.top-items exclude each other, got "
                f"{self.min_purchases} and {self.top_items}; give one"
            )
        for name in ("min_purchases", "top_items", "min_user_purchases", "step_limit"):
            value = getattr(self, name)
            if value is not None:
                check_whole(name, value, 1)
        check_number("alpha", self.alpha, 1.0)
        check_number("added_probability", self.added_probability, 0.0, 1.0)
        check_number("mixture", self.mixture, 0.0, 1.0)
        check_number("smoothing", self.smoothing, 0.0)
        default = MIN_PURCHASES if self.top_items is None else None
        purchases = read_purchases(
            self.data,
            self.log_format(),
            min_purchases=default if self.min_purchases is None else self.min_purchases,
            top_items=self.top_items,
            min_user_purchases=self.min_user_purchases,
        )
        if self.mapping and purchases.report is not None:
            report = purchases.report
            files = {**report.files, self.mapping: sha256(Path(self.mapping))}
            report = dataclasses.replace(report, files=files)
            purchases = dataclasses.replace(purchases, report=report)
        return Recommender(self, purchases)


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """Names of items, and what they were read from.

    It is static in compiled functions, which serve for all logs with the same names.
    """

    names: tuple[str, ...]
    report: LogReport | None = dataclasses.field(compare=False)

    def __hash__(self) -> int:
        return hash((len(self.names), self.names[:1]))


class RecommenderState(NamedTuple):
    """State of the recommender: the last two items, the older first, and the steps taken."""

    items: Int[Array, "2"]
    steps: Int[Array, ""]


class Recommender(Environment):
    """The recommender of `RecommenderConfig`; items are numbered as in `Purchases`."""

    model: NGram
    prices: Float[Array, " K"]
    alpha: Float[Array, ""]
    added_probability: Float[Array, ""]
    step_limit: int = eqx.field(static=True)
    catalogue: Catalogue = eqx.field(static=True)

    def __init__(self, config: RecommenderConfig, purchases: Purchases) -> None:
        self.model = NGram.from_purchases(purchases, config.mixture, config.smoothing)
        self.prices = jnp.asarray(purchases.prices, jnp.float32)
        self.alpha = jnp.float32(config.alpha)
        self.added_probability = jnp.float32(config.added_probability)
        self.step_limit = config.step_limit
        self.catalogue = Catalogue(purchases.names, purchases.report)

    @property
    def observation_space(self) -> spaces.MultiDiscrete:
        """The item bought before last, and the item bought last."""
        return spaces.MultiDiscrete([self.model.items] * 2)

    @property
    def action_space(self) -> spaces.Discrete:
        """All items."""
        return spaces.Discrete(self.model.items)

    @property
    def action_names(self) -> tuple[str, ...]:
        """The items, as the log calls them."""
        return self.catalogue.names

    @property
    def data_source(self) -> LogReport | None:
        """The log."""
        return self.catalogue.report

    def reset(self, key: Key) -> tuple[RecommenderState, Int[Array, "2"]]:
        """Start an episode with two items, each drawn uniformly."""
        items = jax.random.randint(key, (2,), 0, self.model.items, jnp.int32)
        return RecommenderState(items, jnp.int32(0)), items

    def step(
        self, key: Key, state: RecommenderState, action: Action
    ) -> tuple[RecommenderState, TimeStep]:
        """Recommend an item; the customer buys one.

        Item c is bought with probability

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
        """Return the probability added to a recommended item, before normalisation."""
        return (self.alpha - 1) * probability + self.added_probability

    def references(self, key: Key) -> dict[str, float]:
        """Return mean returns over `EPISODES` episodes, all policies meeting the same customers.

        `likeliest_return`: recommend the most likely next item. `oracle_return`: recommend for the
        highest expected price of the next purchase. `lookahead_return`: add to that price what
        `chain_values` expects from there on. `best_known_return`: the best of these.
        """
        returns = jax.jit(policy_returns, static_argnums=2)(self, key, EPISODES)
        found = {
            f"{policy}_return": float(mean)
            for policy, mean in zip(POLICIES, returns.mean(axis=1), strict=True)
        }
        return found | {"best_known_return": max(found.values())}


def policy_returns(
    environment: Recommender, key: Key, episodes: int
) -> Float[Array, "policies episodes"]:
    """Return the returns of `POLICIES` in whole episodes.

    Args:
        environment: The recommender, whose purchase model the policies know.
        key: Random key; every policy meets the same customers.
        episodes: Number of episodes of each policy.
    """
    prices, values = environment.prices, chain_values(environment)

    def recommend(policy: Int[Array, ""], state: RecommenderState) -> Int[Array, ""]:
        row = environment.model.distribution(environment.model.context(*state.items))
        later = jnp.where(policy == POLICIES.index("lookahead"), values[state.steps + 1], 0.0)
        expected = expected_value(environment, row, prices + later)
        return jnp.where(policy == POLICIES.index("likeliest"), row, expected).argmax()

    def episode(policy: Int[Array, ""], key: Key) -> Float[Array, ""]:
        def step(state: RecommenderState, key: Key) -> tuple[RecommenderState, Array]:
            state, time_step = environment.step(key, state, recommend(policy, state))
            return state, time_step.reward

        reset_key, step_key = jax.random.split(key)
        state, _ = environment.reset(reset_key)
        _, rewards = jax.lax.scan(step, state, jax.random.split(step_key, environment.step_limit))
        return rewards.sum()

    def returns(policy: Int[Array, ""]) -> Float[Array, " episodes"]:
        keys = jax.random.split(key, episodes)
        return jax.lax.map(lambda key: episode(policy, key), keys, batch_size=BATCH)

    return jax.lax.map(returns, jnp.arange(len(POLICIES)))


def expected_value(
    environment: Recommender, row: Float[Array, " K"], value: Float[Array, " K"]
) -> Float[Array, " K"]:
    """Return the expected value of the next purchase under each recommendation.

    With `boost` as in `Recommender.step`, recommending item a makes that

        (sum_c P(c) value(c) + boost(a) value(a)) / (1 + boost(a))

    Args:
        environment: The recommender.
        row: Probabilities P of the next item without a recommendation.
        value: Value of each item, if it is bought.
    """
    boost = environment.boost(row)
    return (row @ value + boost * value) / (1 + boost)


def chain_values(environment: Recommender) -> Float[Array, "step_limit+1 K"]:
    """Compute values by value iteration on the chain that remembers only the last item.

    Takes K^2 floats of memory.

    Returns:
        Expected return of the best recommendations from 0, 1, ..., step_limit steps on, for each
        last item.
    """
    model = environment.model
    chain = jax.lax.map(
        lambda last: model.distribution(model.unseen(last)), jnp.arange(model.items)
    )

    def earlier(value: Float[Array, " K"], _: None) -> tuple[Array, Array]:
        def best(row: Float[Array, " K"]) -> Float[Array, ""]:
            return expected_value(environment, row, environment.prices + value).max()

        return jax.lax.map(best, chain), value

    end = jnp.zeros_like(environment.prices)
    first, later = jax.lax.scan(earlier, end, None, environment.step_limit)
    return jnp.concatenate([later, first[None]])[::-1]
