"""The states that agents come to when they act by their likeliest action."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from embrl.agents.architecture import Architecture
from embrl.core.types import Key
from embrl.envs.environment import Environment

STEPS = 512
"""Of each agent's stream; an episode that ends is followed by another."""


@functools.partial(jax.jit, static_argnames=("architecture", "keep", "steps"))
def visited(
    environment: Environment,
    architecture: Architecture,
    w: Float[Array, "N size"],
    key: Key,
    *,
    keep: int = 64,
    steps: int = STEPS,
) -> Float[Array, "N keep inputs"]:
    """Observations in which each agent had to decide.

    Each agent acts for `steps` steps; of every `steps / keep` of them one, drawn at random, is
    kept. So states are kept as often as the agent comes to them.
    """

    def stream(w: Array, key: Key) -> Array:
        first, rest = jax.random.split(key)
        state, x = environment.reset(first)

        def step(carry, key):
            state, x = carry
            action = jnp.argmax(architecture.logits(w, x[None])[0])
            stepping, resetting = jax.random.split(key)
            after, seen = environment.step(stepping, state, action)
            begun = environment.reset(resetting)
            over = seen.terminated | seen.truncated
            following = jax.tree.map(
                lambda new, old: jnp.where(over, new, old), begun, (after, seen.observation)
            )
            return following, x

        def part(carry, key):
            drawing, stepping = jax.random.split(key)
            carry, seen = jax.lax.scan(step, carry, jax.random.split(stepping, steps // keep))
            return carry, seen[jax.random.randint(drawing, (), 0, steps // keep)]

        return jax.lax.scan(part, (state, x), jax.random.split(rest, keep))[1]

    return jax.vmap(stream)(w, jax.random.split(key, w.shape[0]))
