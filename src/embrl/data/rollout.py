"""Rollouts: transitions of any policy in parallel compiled environments."""

import itertools
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeVar

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from embrl.core.masks import open_if_empty, pack
from embrl.core.products import product_of, replaced_where_masked
from embrl.core.spaces import action_count, bounds, is_continuous
from embrl.core.types import EnvState, Key, Observation, Transition
from embrl.envs.environment import Environment, has_masks

Extra = TypeVar("Extra")

AHEAD = 2**22
"""Bytes that the first states of a rollout's episodes may take, to be drawn before its first
step."""


class OpenEnvs(NamedTuple):
    """`B` parallel environments in the middle of their episodes."""

    state: EnvState
    observation: Observation


class Masks(NamedTuple):
    """Masks of the steps of a rollout, packed (`embrl.core.masks.pack`), with any leading axes."""

    now: Array
    """Of the actions that could be chosen, uint8 `[*batch, bytes]`."""
    following: Array
    """The same in the true next observations."""
    empty: Bool[Array, "*batch"]
    """True where no action was allowed in the middle of an episode: then all counted as allowed."""


def open_envs(env: Environment, key: Key, num_envs: int) -> OpenEnvs:
    """Reset `num_envs` parallel environments."""
    return OpenEnvs(*jax.vmap(env.reset)(jax.random.split(key, num_envs)))


def restarted(envs: OpenEnvs, fresh: OpenEnvs, where: Bool[Array, " B"]) -> OpenEnvs:
    """Return the environments, replaced by fresh ones where asked."""
    return jax.tree.map(
        lambda new, old: jnp.where(where.reshape(-1, *[1] * (old.ndim - 1)), new, old),
        fresh,
        envs,
    )


def open_masks(env: Environment, state: EnvState) -> Bool[Array, "B n"] | None:
    """Return the masks of `B` states; None where the environment has none.

    Every action is allowed where none is, as at the end of an episode.
    """
    masks = _masks(env, state)
    return None if masks is None else _opened(env, masks)


def _opened(env: Environment, masks: Array) -> Array:
    """Return masks that allow all actions, or values of a part, where none is allowed."""
    product = product_of(env.action_space)
    return open_if_empty(masks) if product is None else product.open_if_empty(masks)


def _empty(env: Environment, masks: Array) -> Array:
    """Return where a mask leaves no action, or no value of a part."""
    product = product_of(env.action_space)
    return ~masks.any(-1) if product is None else product.has_empty(masks)


def _masks(env: Environment, state: EnvState) -> Bool[Array, "B n"] | None:
    return jax.vmap(env.action_mask)(state) if has_masks(env) else None


def rollout(
    env: Environment,
    act: Callable[[Observation, Any, Bool[Array, "B n"] | None], tuple[Array, Extra]],
    envs: OpenEnvs,
    key: Key,
    noise: Any,
) -> tuple[OpenEnvs, Transition, Extra, Masks | None]:
    """Take `T` steps in every environment.

    Where an episode ends, the environment is reset, but the transition keeps the true last
    observation.

    Args:
        env: the environment.
        act: returns the actions `[B]` for observations `[B, ...]`, one step's noise and the masks
            `[B, n]` (None where the environment has none), and anything else to keep of the choice.
        envs: the parallel environments.
        key: random key.
        noise: a pytree with leading axes `[T, B]`.

    Returns:
        The environments to continue with, transitions `[T, B, ...]`, act's extras `[T, B, ...]`,
        and the masks, if there are any.
    """
    num_envs = envs.observation.shape[0]
    steps = jax.tree.leaves(noise)[0].shape[0]

    def reset(key: Key) -> OpenEnvs:
        return open_envs(env, key, num_envs)

    # Few random numbers at a time, as in a step, take long to draw.
    pairs = jax.vmap(jax.random.split)(jax.random.split(key, steps))
    keys = jax.vmap(lambda key: jax.random.split(key, num_envs))(pairs[:, 0])
    resets = pairs[:, 1]
    early = steps * _bytes_of(jax.eval_shape(reset, key)) <= AHEAD
    if early:
        resets = jax.vmap(reset)(resets)

    def step(envs: OpenEnvs, now: tuple[Key, Any, Any]) -> tuple[OpenEnvs, Any]:
        keys, fresh, noise = now
        fresh = fresh if early else reset(fresh)
        given = _masks(env, envs.state)
        mask = None if given is None else _opened(env, given)
        action, extra = act(envs.observation, noise, mask)
        state, after = jax.vmap(env.step)(keys, envs.state, action)
        transition = Transition(envs.observation, action, *after[1:2], *after[:1], *after[2:])
        masks = None
        if given is not None and mask is not None:
            ahead: Any = open_masks(env, state)
            masks = Masks(pack(mask), pack(ahead), _empty(env, given))
        done = after.terminated | after.truncated
        following = restarted(OpenEnvs(state, after.observation), fresh, done)
        return following, (transition, extra, masks)

    envs, found = jax.lax.scan(step, envs, (keys, resets, noise))
    return envs, *found


def _bytes_of(tree: Any) -> int:
    """Return the memory that arrays of these shapes take."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def single_steps(
    env: Environment,
    act: Callable[[np.ndarray, Key, Any], Any],
    key: Key,
    on_state: Callable[[EnvState], None] | None = None,
) -> Generator[Transition]:
    """Step one compiled environment from Python, episode after episode, without end.

    For whoever looks at single steps, or acts in Python; `rollout` is thousands of times faster.

    Args:
        env: the environment.
        act: returns the action for an observation, a random key and a mask `[n]`; None where the
            environment has no masks.
        key: random key.
        on_state: called with each state before it is acted in.

    Yields:
        Transitions of NumPy arrays.
    """
    reset = jax.jit(lambda env, key: env.reset(key))
    take = jax.jit(lambda env, key, state, action: env.step(key, state, action))
    mask_of = jax.jit(lambda env, state: _opened(env, env.action_mask(state)))
    masked = has_masks(env)
    for episode in itertools.count():
        key_reset, key_steps = jax.random.split(jax.random.fold_in(key, episode))
        state, seen = reset(env, key_reset)
        seen = np.asarray(seen)
        for t in itertools.count():
            key_act, key_step = jax.random.split(jax.random.fold_in(key_steps, t))
            if on_state is not None:
                on_state(state)
            mask = np.asarray(mask_of(env, state)) if masked else None
            action = np.asarray(act(seen, key_act, mask))
            state, after = take(env, key_step, state, action)
            after = jax.device_get(after)
            columns: Any = (seen, action, *after[1:2], *after[:1], *after[2:])
            yield Transition(*columns)
            seen = after.observation
            if after.terminated or after.truncated:
                break


def random_transitions(
    env: Environment,
    key: Key,
    timesteps: int,
    num_envs: int,
    sticky_action_prob: float = 0.0,
    allowed: np.ndarray | None = None,
) -> Transition:
    """Return at least `timesteps` transitions of uniformly random actions, `[T, B, ...]`.

    Args:
        env: the environment.
        key: random key.
        timesteps: over all parallel environments; T is the smallest number that suffices.
        num_envs: parallel environments.
        sticky_action_prob: probability of repeating the previous action; 0 is plain random.
        allowed: bool `[n]`, the discrete actions that are tried; None: all.
    """
    steps = -(-timesteps // num_envs)
    key_open, key_act, key_keep, key_step = jax.random.split(key, 4)
    actions = random_actions(env.action_space, key_act, (steps, num_envs), allowed)
    keep = jax.random.uniform(key_keep, (steps, num_envs)) < sticky_action_prob
    actions = hold(actions, keep)
    envs = open_envs(env, key_open, num_envs)
    if not has_masks(env):
        return rollout(env, lambda _, action, __: (action, None), envs, key_step, actions)[1]

    def act(_: Observation, noise: Any, mask: Any) -> tuple[Array, None]:
        action, uniform = noise
        left = mask if allowed is None else open_if_empty(mask & allowed)
        return replaced_where_masked(env.action_space, action, uniform, left), None

    noise = actions, hold(alternatives(key_act, keep.shape, env.action_space), keep)
    return rollout(env, act, envs, key_step, noise)[1]


def alternatives(key: Key, batch: tuple[int, ...], space: gymnasium.Space | None = None) -> Array:
    """Return the uniform random numbers by which random actions that are masked are replaced.

    Args:
        key: the key of the actions.
        batch: leading axes.
        space: of the actions; None: they have one part.

    Returns:
        `[*batch]`, or `[*batch, k]` of k parts.
    """
    product = None if space is None else product_of(space)
    shape = batch if product is None else (*batch, len(product.sizes))
    return jax.random.uniform(jax.random.fold_in(key, 1), shape)


def random_actions(
    space: gymnasium.Space,
    key: Key,
    batch: tuple[int, ...],
    allowed: np.ndarray | None = None,
) -> Array:
    """Return uniformly random actions.

    Dimensions without a finite range are drawn as Gymnasium does: from the standard normal
    distribution or, with one bound, at an exponentially distributed distance from it.

    Args:
        space: of the actions.
        key: random key.
        batch: leading axes.
        allowed: bool `[n]`, the discrete actions to draw from; None: all.

    Returns:
        int32 `[*batch]`, float32 `[*batch, p]` for a `Box`, or rows of a product.
    """
    if (product := product_of(space)) is not None:
        sizes = np.asarray(product.sizes, np.int32)
        indices = jax.random.randint(key, (*batch, len(sizes)), 0, sizes, jnp.int32)
        if product.box is None:
            return indices
        numbers = random_actions(product.box, jax.random.fold_in(key, 1), batch)
        return product.joined(indices, numbers)
    if allowed is not None:
        choices = np.flatnonzero(allowed).astype(np.int32)
        return jnp.asarray(choices)[jax.random.randint(key, batch, 0, len(choices), jnp.int32)]
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
    """Return actions `[T, B, ...]` where `keep`, `[T, B]`, repeats the previous one."""

    def step(last: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        action, kept = now
        action = jnp.where(kept.reshape(-1, *[1] * (action.ndim - 1)), last, action)
        return action, action

    return jax.lax.scan(step, actions[0], (actions, keep))[1]
