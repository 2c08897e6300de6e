"""Worlds of a few states, told in features, in which values and policies are known."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from embrl.algorithms.base import (
    Batch,
    EmbeddedActions,
    Experience,
    IndexedActions,
    InternalSpace,
    PolicyConfig,
)
from embrl.decoding import Decoder, Identity

KEY = jax.random.key(0)


class RoundsUp(Decoder):
    """An f for points that no test looks behind: every point is action 0."""

    def __call__(
        self, table: Any, u: Array, noise: Any = None, mask: Any = None, judge: Any = None
    ) -> Array:
        return jnp.zeros(u.shape[:-1], jnp.int32)


class World(NamedTuple):
    """A deterministic environment."""

    features: Array
    """Of every state, `[S, m]`; or factors, `[S, 1]` and whole numbers."""
    step: Callable[[Array, Array], tuple[Array, Array, Array, Array]]
    """From states and internal actions to rewards, next states, terminated and truncated."""
    starts: Array
    """States in which episodes begin."""

    @property
    def inputs(self) -> int | tuple[int, ...]:
        """What networks are told about the features."""
        if jnp.issubdtype(self.features.dtype, jnp.integer):
            return (len(self.features),)
        return self.features.shape[1]


def states_as_factors(count: int) -> Array:
    return jnp.arange(count, dtype=jnp.int32)[:, None]


def play(world: World, actor: Any, f: Decoder, key: Array, steps: int, lanes: int) -> Batch:
    """On-policy steps `[steps, lanes]`."""
    key_noise, key_reset = jax.random.split(key)
    starts = world.starts[
        jax.random.randint(key_reset, (steps + 1, lanes), 0, len(world.starts), jnp.int32)
    ]

    def step(state: Array, now: tuple[Array, Array]) -> tuple[Array, Batch]:
        noise, start = now
        x = world.features[state]
        u = actor.act(x, noise)
        reward, following, terminated, truncated = world.step(state, u)
        seen = world.features[following]
        taken = Batch(x, u, f(None, u), reward, seen, terminated, truncated)
        return jnp.where(terminated | truncated, start, following), taken

    noise = actor.noise(key_noise, (steps, lanes))
    _, taken = jax.lax.scan(step, starts[0], (noise, starts[1:]))
    return taken


def anything(world: World, internal: InternalSpace) -> Callable[[Array, int], Batch]:
    """A replay buffer with every state and every internal action in it, equally often."""

    def draw(key: Array, count: int) -> Batch:
        key_state, key_u = jax.random.split(key)
        state = jax.random.randint(key_state, (count,), 0, len(world.features), jnp.int32)
        if isinstance(internal, IndexedActions):
            u = jax.random.randint(key_u, (count,), 0, internal.n, jnp.int32)
            action = u
        else:
            assert isinstance(internal, EmbeddedActions)
            u = jax.random.uniform(key_u, (count, internal.d), minval=-1.0, maxval=1.0)
            action = jnp.zeros(count, jnp.int32)
        reward, following, terminated, truncated = world.step(state, u)
        return Batch(
            world.features[state], u, action, reward, world.features[following],
            terminated, truncated,
        )  # fmt: skip

    return draw


def learn(
    algorithm: Any,
    world: World,
    internal: InternalSpace,
    *,
    updates: int,
    steps: int = 1,
    lanes: int = 64,
    config: PolicyConfig | None = None,
) -> tuple[Any, dict[str, Array]]:
    """A learner after so many epochs, and the measures of each."""
    f: Decoder = RoundsUp() if isinstance(internal, EmbeddedActions) else Identity()
    start = algorithm.start(
        world.inputs, internal, f, config or PolicyConfig(hidden=(16,)), key=jax.random.key(1)
    )

    def epoch(learner: Any, key: Array) -> tuple[Any, dict[str, Array]]:
        key_play, key_update = jax.random.split(key)
        fresh = play(world, learner.actor, f, key_play, steps, lanes)
        experience = Experience(fresh, anything(world, internal), None)
        return algorithm.update(learner, experience, key_update)

    return jax.jit(lambda keys: jax.lax.scan(epoch, start, keys))(jax.random.split(KEY, updates))
