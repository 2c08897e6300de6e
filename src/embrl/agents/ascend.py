"""Improving an agent: uphill in the latent space, on what a critic makes of embeddings."""

import functools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from embrl.agents.embeddings.embedding import AgentEmbedding
from embrl.agents.survival import survival
from embrl.core.nn import MLP
from embrl.core.types import Key

MEMBERS = 5
"""Networks of a critic: where they disagree it knows little."""
HIDDEN = (64, 64)
STEPS = 2_000
BATCH = 256
LEARNING_RATE = 2e-3
RADIUS = 1.5
"""The best on average of .5, 1, 1.5 and 2, see docs/agents/embeddings.md."""


class Critic(eqx.Module):
    """z -> survival, by an ensemble. Inputs and outputs are standardised on the population."""

    members: MLP
    """`[MEMBERS]` of each array."""
    centre: Float[Array, " k"]
    width: Float[Array, " k"]
    mean: Float[Array, ""]
    deviation: Float[Array, ""]

    def __call__(self, z: Float[Array, "*batch k"]) -> tuple[Array, Array]:
        """What the members think survival is, in steps: their mean and their standard deviation."""
        x = (z - self.centre) / self.width
        found = eqx.filter_vmap(lambda member: member(x)[..., 0])(self.members)
        found = self.mean + self.deviation * found
        return found.mean(0), found.std(0)


class Improvement(NamedTuple):
    """Agents on their way uphill."""

    path: Float[np.ndarray, "points N k"]
    """The first point is the agent's own embedding."""
    expected: Float[np.ndarray, "points N"]
    """What the critic makes of each."""
    w: Float[np.ndarray, "N size"]
    """What the last point is decoded to."""


def fit_critic(
    z: Float[np.ndarray, "N k"],
    survival: Float[np.ndarray, " N"],
    key: Key,
    *,
    members: int = MEMBERS,
    steps: int = STEPS,
) -> Critic:
    """Least squares on the population's embeddings; each member has its own first weights and its
    own batches.
    """
    points, target = jnp.asarray(z, jnp.float32), jnp.asarray(survival, jnp.float32)
    centre, width = points.mean(0), jnp.maximum(points.std(0), 1e-6)
    mean, deviation = target.mean(), jnp.maximum(target.std(), 1e-6)
    x, y = (points - centre) / width, (target - mean) / deviation
    found = _fit(x, y, jax.random.split(key, members), steps)
    return Critic(found, centre, width, mean, deviation)


@functools.partial(eqx.filter_jit)
def _fit(x: Float[Array, "N k"], y: Float[Array, " N"], keys: Key, steps: int) -> MLP:
    adam = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, steps))

    def one(key: Key) -> MLP:
        making, drawing = jax.random.split(key)
        network = MLP(x.shape[1], HIDDEN, 1, key=making)

        def loss(network: MLP, rows: Array) -> Array:
            return ((network(x[rows])[:, 0] - y[rows]) ** 2).mean()

        def step(state: tuple, key: Key) -> tuple[tuple, None]:
            network, memory = state
            rows = jax.random.randint(key, (BATCH,), 0, len(x))
            gradient = eqx.filter_grad(loss)(network, rows)
            update, memory = adam.update(gradient, memory)
            return (eqx.apply_updates(network, update), memory), None

        start = (network, adam.init(eqx.filter(network, eqx.is_array)))
        return jax.lax.scan(step, start, jax.random.split(drawing, steps))[0][0]

    return eqx.filter_vmap(one)(keys)


@eqx.filter_jit
def ascend(
    critic: Critic,
    z: Float[Array, "N k"],
    *,
    steps: int = 40,
    length: float = 0.1,
    radius: float = RADIUS,
    caution: float = 1.0,
) -> tuple[Float[Array, "points N k"], Float[Array, "points N"]]:
    """Steps of one length up the gradient of mean - `caution` * standard deviation, in units of the
    embeddings' deviations, kept within `radius` (root mean square over the k numbers) of the start.

    **Returns** the paths, their first point z itself, and the critic's mean along them.
    """
    z = jnp.asarray(z, jnp.float32)

    def worth(x: Float[Array, " k"]) -> Array:
        mean, deviation = critic(critic.centre + critic.width * x)
        return mean - caution * deviation

    start = (z - critic.centre) / critic.width

    def step(x: Array, _: None) -> tuple[Array, Array]:
        uphill = jax.vmap(jax.grad(worth))(x)
        uphill = uphill / jnp.sqrt((uphill**2).mean(-1, keepdims=True) + 1e-12)
        away = x + length * uphill - start
        far = jnp.sqrt((away**2).mean(-1, keepdims=True))
        x = start + away * jnp.minimum(1.0, radius / jnp.maximum(far, 1e-12))
        return x, x

    path = jax.lax.scan(step, start, None, steps)[1]
    path = critic.centre + critic.width * jnp.concatenate([start[None], path])
    path = path.at[0].set(z)
    return path, critic(path)[0]


def improve(
    embedding: AgentEmbedding,
    critic: Critic,
    w: Float[np.ndarray, "N size"],
    *,
    radius: float = RADIUS,
    caution: float = 1.0,
) -> Improvement:
    """Encodes agents, goes uphill, decodes where that leads."""
    path, expected = ascend(
        critic, jnp.asarray(embedding.encode(w)), radius=radius, caution=caution
    )
    path = np.asarray(path)
    return Improvement(path, np.asarray(expected), embedding.decode(path[-1]))


def measured(
    embedding: AgentEmbedding,
    path: Float[np.ndarray, "points N k"],
    key: Key,
    *,
    every: int = 10,
    episodes: int = 100,
) -> Float[np.ndarray, "points N"]:
    """Mean survival, in steps, of what each `every`-th point of the paths is decoded to."""
    points = path[::every]
    w = embedding.decode(points.reshape(-1, points.shape[-1]))
    lengths = survival(embedding.env.build(), embedding.architecture, w, key, episodes).lengths
    return np.asarray(lengths).mean(1).reshape(points.shape[:2])
