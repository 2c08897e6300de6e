"""What can be earned by those who know the purchase model."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from embrl.core.types import Key
from embrl.envs.recommender.environment import Recommender, RecommenderState

EPISODES = 8000
BATCH = 250
"""How many episodes are played at a time, each with a few rows of K floats."""

POLICIES = ("likeliest", "oracle", "lookahead")


def references(environment: Recommender, key: Key) -> dict[str, float]:
    """Mean returns over `EPISODES` episodes, every policy meeting the same customers.

    `likeliest_return`: recommend the likeliest next item. `oracle_return`: recommend for the
    highest expected price of the next purchase. `lookahead_return`: add to that price what
    `chain_values` promises from there on. `best_known_return`: the best of these.
    """
    returns = jax.jit(policy_returns, static_argnums=2)(environment, key, EPISODES)
    found = {
        f"{policy}_return": float(mean)
        for policy, mean in zip(POLICIES, returns.mean(axis=1), strict=True)
    }
    return found | {"best_known_return": max(found.values())}


def policy_returns(
    environment: Recommender, key: Key, episodes: int
) -> Float[Array, "policies episodes"]:
    """The returns of `POLICIES` in whole episodes."""
    prices, values = environment.prices, chain_values(environment)

    def recommend(policy: Int[Array, ""], state: RecommenderState) -> Int[Array, ""]:
        row = environment.model.distribution(environment.model.context(*state.items))
        promise = jnp.where(policy == POLICIES.index("lookahead"), values[state.steps + 1], 0.0)
        worth = expected_worth(environment, row, prices + promise)
        return jnp.where(policy == POLICIES.index("likeliest"), row, worth).argmax()

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


def expected_worth(
    environment: Recommender, row: Float[Array, " K"], worth: Float[Array, " K"]
) -> Float[Array, " K"]:
    """What the next purchase is worth on average under each recommendation, where P is `row`.

    With `boost` as in `Recommender.step`, recommending a makes that

        (sum_c P(c) worth(c) + boost(a) worth(a)) / (1 + boost(a))
    """
    boost = environment.boost(row)
    return (row @ worth + boost * worth) / (1 + boost)


def chain_values(environment: Recommender) -> Float[Array, "step_limit+1 K"]:
    """Value iteration on the chain that remembers one item: what the best recommendations earn
    from 0, 1, ..., step_limit steps on, by the last item. Takes K^2 floats.
    """
    model = environment.model
    chain = jax.lax.map(
        lambda last: model.distribution(model.unseen(last)), jnp.arange(model.items)
    )

    def earlier(value: Float[Array, " K"], _: None) -> tuple[Array, Array]:
        def best(row: Float[Array, " K"]) -> Float[Array, ""]:
            return expected_worth(environment, row, environment.prices + value).max()

        return jax.lax.map(best, chain), value

    end = jnp.zeros_like(environment.prices)
    first, later = jax.lax.scan(earlier, end, None, environment.step_limit)
    return jnp.concatenate([later, first[None]])[::-1]
