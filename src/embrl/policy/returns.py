"""What a step was worth."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def generalised_advantages(
    reward: Float[Array, "T *B"],
    value: Float[Array, "T *B"],
    next_value: Float[Array, "T *B"],
    terminated: Bool[Array, "T *B"],
    truncated: Bool[Array, "T *B"],
    gamma: Float[Array, ""] | float,
    lambda_: Float[Array, ""] | float,
) -> Float[Array, "T *B"]:
    """Generalised advantage estimates (Schulman et al. 2016, eq. 16).

        delta_t = r_t + gamma (1 - terminated_t) V(s_{t+1}) - V(s_t)
        A_t = delta_t + gamma lambda (1 - terminated_t) (1 - truncated_t) A_{t+1}

    Arguments:
        next_value: V of the true next observation, also where the episode was truncated and the
            lane goes on with another: a step limit is no end of the world.
        terminated, truncated: kept apart. After a terminated step nothing follows; after a
            truncated one value follows, but not in this row. The last row counts as truncated.
    """
    delta = reward + gamma * jnp.where(terminated, 0.0, next_value) - value
    carry_on = jnp.where(terminated | truncated, 0.0, gamma * lambda_)

    def back(after: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        delta_t, carry_on_t = now
        advantage = delta_t + carry_on_t * after
        return advantage, advantage

    _, advantages = jax.lax.scan(back, jnp.zeros_like(delta[0]), (delta, carry_on), reverse=True)
    return advantages
