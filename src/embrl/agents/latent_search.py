"""Search in the latent space, guided by a critic of embeddings.

A critic is fitted to (embedding, score) of a population. Agents are improved by following its
gradient in the latent space and decoding; draws from a prior are filtered by it.
"""

import functools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from embrl.agents.embeddings.embedding import AgentEmbedding
from embrl.agents.embeddings.prior import Prior
from embrl.core.errors import EmbrlError
from embrl.core.nn import MLP
from embrl.core.types import Key

MEMBERS = 5
"""Networks of a critic; their disagreement measures its uncertainty."""
HIDDEN = (64, 64)
STEPS = 2_000
BATCH = 256
LEARNING_RATE = 2e-3
RADIUS = 1.5
"""Best on average of .5, 1, 1.5 and 2; see docs/agents/embeddings.md."""


class LatentCritic(eqx.Module):
    """Ensemble from z to score, with inputs and outputs standardized on the population."""

    members: MLP
    """Networks, stacked: `[MEMBERS]` of each array."""
    centre: Float[Array, " k"]
    width: Float[Array, " k"]
    mean: Float[Array, ""]
    deviation: Float[Array, ""]

    def __call__(self, z: Float[Array, "*batch k"]) -> tuple[Array, Array]:
        """Return the mean and standard deviation of the members' predicted scores."""
        x = (z - self.centre) / self.width
        found = eqx.filter_vmap(lambda member: member(x)[..., 0])(self.members)
        found = self.mean + self.deviation * found
        variance = found.var(0)
        # Where all members agree, as at a few agents, the root has no gradient.
        differ = variance > 0.0
        return found.mean(0), jnp.where(differ, jnp.sqrt(jnp.where(differ, variance, 1.0)), 0.0)


class SearchResult(NamedTuple):
    """Paths of agents through the latent space."""

    path: Float[np.ndarray, "points N k"]
    """Points of each path; the first is the agent's own embedding."""
    expected: Float[np.ndarray, "points N"]
    """Score that the critic predicts at each point."""
    w: Float[np.ndarray, "N size"]
    """Agents decoded from the last points."""


def fit_critic(
    z: Float[np.ndarray, "N k"],
    survival: Float[np.ndarray, " N"],
    key: Key,
    *,
    members: int = MEMBERS,
    steps: int = STEPS,
) -> LatentCritic:
    """Fit a critic to the population's embeddings by least squares.

    Each member has its own initial weights and batches.
    """
    points, target = jnp.asarray(z, jnp.float32), jnp.asarray(survival, jnp.float32)
    centre, width = points.mean(0), jnp.maximum(points.std(0), 1e-6)
    mean, deviation = target.mean(), jnp.maximum(target.std(), 1e-6)
    x, y = (points - centre) / width, (target - mean) / deviation
    found = _fit(x, y, jax.random.split(key, members), steps)
    return LatentCritic(found, centre, width, mean, deviation)


@functools.partial(eqx.filter_jit)
def _fit(x: Float[Array, "N k"], y: Float[Array, " N"], keys: Key, steps: int) -> MLP:
    adam = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, steps))

    def one(key: Key) -> MLP:
        init_key, batch_key = jax.random.split(key)
        network = MLP(x.shape[1], HIDDEN, 1, key=init_key)

        def loss(network: MLP, rows: Array) -> Array:
            return ((network(x[rows])[:, 0] - y[rows]) ** 2).mean()

        def step(state: tuple, key: Key) -> tuple[tuple, None]:
            network, memory = state
            rows = jax.random.randint(key, (BATCH,), 0, len(x))
            gradient = eqx.filter_grad(loss)(network, rows)
            update, memory = adam.update(gradient, memory)
            return (eqx.apply_updates(network, update), memory), None

        start = (network, adam.init(eqx.filter(network, eqx.is_array)))
        return jax.lax.scan(step, start, jax.random.split(batch_key, steps))[0][0]

    return eqx.filter_vmap(one)(keys)


@eqx.filter_jit
def latent_search(
    critic: LatentCritic,
    z: Float[Array, "N k"],
    *,
    steps: int = 40,
    length: float = 0.1,
    radius: float = RADIUS,
    caution: float = 1.0,
) -> tuple[Float[Array, "points N k"], Float[Array, "points N"]]:
    """Follow the gradient of mean - `caution` * standard deviation in steps of equal length.

    Lengths are in units of the embeddings' standard deviations; paths stay within `radius` (root
    mean square over the k numbers) of their start.

    Args:
        critic: critic whose prediction is maximized.
        z: starting points `[N, k]`.
        steps: number of steps.
        length: length of a step.
        radius: maximum distance from the start.
        caution: weight of the members' standard deviation.

    Returns:
        The paths, whose first point is z itself, and the critic's mean along them.
    """
    z = jnp.asarray(z, jnp.float32)

    def score(x: Float[Array, " k"]) -> Array:
        mean, deviation = critic(critic.centre + critic.width * x)
        return mean - caution * deviation

    start = (z - critic.centre) / critic.width

    def step(x: Array, _: None) -> tuple[Array, Array]:
        gradient = jax.vmap(jax.grad(score))(x)
        gradient = gradient / jnp.sqrt((gradient**2).mean(-1, keepdims=True) + 1e-12)
        away = x + length * gradient - start
        far = jnp.sqrt((away**2).mean(-1, keepdims=True))
        x = start + away * jnp.minimum(1.0, radius / jnp.maximum(far, 1e-12))
        return x, x

    path = jax.lax.scan(step, start, None, steps)[1]
    path = critic.centre + critic.width * jnp.concatenate([start[None], path])
    path = path.at[0].set(z)
    return path, critic(path)[0]


def improve(
    embedding: AgentEmbedding,
    critic: LatentCritic,
    w: Float[np.ndarray, "N size"],
    *,
    radius: float = RADIUS,
    caution: float = 1.0,
) -> SearchResult:
    """Encode agents, search from their embeddings, and decode the ends of the paths."""
    path, expected = latent_search(
        critic, jnp.asarray(embedding.encode(w)), radius=radius, caution=caution
    )
    path = np.asarray(path)
    return SearchResult(path, np.asarray(expected), embedding.decode(path[-1]))


TRIES = 50
"""Maximum number of draws per wanted agent."""


def expected_score(
    critic: LatentCritic, z: Float[np.ndarray, "N k"], caution: float = 1.0
) -> Float[np.ndarray, " N"]:
    """Return the mean of the critic's members less `caution` standard deviations."""
    mean, deviation = critic(jnp.asarray(z))
    return np.asarray(mean - caution * deviation)


def guided_samples(
    prior: Prior,
    critic: LatentCritic,
    key: Key,
    n: int,
    *,
    least: float,
    spread: float = 1.0,
    caution: float = 1.0,
) -> Float[np.ndarray, "n k"]:
    """Draw from the prior and keep what the critic expects to reach `least` or more.

    No agent acts: only the critic is evaluated.

    Args:
        prior: prior to draw from.
        critic: critic of the same embedding.
        key: random key.
        n: number of samples wanted.
        least: minimum expected score.
        spread: factor of the distance from the prior's mean.
        caution: weight of the members' standard deviation.

    Raises:
        EmbrlError: the critic accepts too few draws.
    """
    kept = [np.zeros((0, prior.means.shape[1]), np.float32)]
    for attempt in range(TRIES):
        z = np.asarray(prior.sample(jax.random.fold_in(key, attempt), n, spread))
        kept.append(z[expected_score(critic, z, caution) >= least])
        if sum(map(len, kept)) >= n:
            return np.concatenate(kept)[:n]
    raise EmbrlError(
        f"draws with an expected score of {least:g} must be {n}, got {sum(map(len, kept))} of "
        f"{n * TRIES} at spread {spread:g}; choose a smaller spread or score"
    )
