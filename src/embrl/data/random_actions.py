"""Actions drawn without looking."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from embrl.spaces import action_count, bounds, is_continuous
from embrl.types import Key


def random_actions(
    space: gymnasium.Space,
    key: Key,
    batch: tuple[int, ...],
    allowed: np.ndarray | None = None,
) -> Array:
    """Every action of a space is as likely as any other.

    Numbers without a finite range are drawn as Gymnasium does: from the standard normal
    distribution, or, with one bound, at an exponentially distributed distance from it.

    Arguments:
        allowed: bool `[n]`, the discrete actions to draw from; None: all.

    **Returns** int32 `[*batch]`, or float32 `[*batch, p]` for a `Box`.
    """
    if allowed is not None:
        places = np.flatnonzero(allowed).astype(np.int32)
        return jnp.asarray(places)[jax.random.randint(key, batch, 0, len(places), jnp.int32)]
    if not is_continuous(space):
        return jax.random.randint(key, batch, 0, action_count(space), jnp.int32)
    low, high = bounds(space)
    shape = (*batch, len(low))
    with np.errstate(over="ignore", invalid="ignore"):  # the largest float32 stands for no bound
        narrow = np.isfinite(high - low)
    from_below, from_above = np.isfinite(low), np.isfinite(high)
    from_below, from_above = (
        from_below & (narrow | ~from_above),
        from_above & (narrow | ~from_below),
    )
    bottom, top = np.where(from_below, low, 0.0), np.where(from_above, high, 0.0)
    if (from_below & from_above).all():
        return jax.random.uniform(key, shape, minval=bottom, maxval=top)
    keys = jax.random.split(key, 3)
    uniform, normal = jax.random.uniform(keys[0], shape), jax.random.normal(keys[1], shape)
    distance = jax.random.exponential(keys[2], shape)
    one_sided = jnp.where(from_below, bottom + distance, top - distance)
    action = jnp.where(from_below | from_above, one_sided, normal)
    return jnp.where(from_below & from_above, bottom + uniform * (top - bottom), action)


def hold(actions: Array, keep: Array) -> Array:
    """Actions `[T, B, ...]` where `keep`, `[T, B]`, repeats the lane's last one."""

    def step(last: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        action, kept = now
        action = jnp.where(kept.reshape(-1, *[1] * (action.ndim - 1)), last, action)
        return action, action

    return jax.lax.scan(step, actions[0], (actions, keep))[1]
