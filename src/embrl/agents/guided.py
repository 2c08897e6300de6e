"""New agents of which a critic expects enough; the other draws from a prior are left out."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from embrl.agents.ascend import Critic
from embrl.agents.embeddings.prior import Prior
from embrl.core.errors import EmbrlError
from embrl.core.types import Key

TRIES = 50
"""Draws for each agent that is wanted, at most."""


def expected(
    critic: Critic, z: Float[np.ndarray, "N k"], caution: float = 1.0
) -> Float[np.ndarray, " N"]:
    """Survival, in steps: the mean of the critic's members less `caution` standard deviations."""
    mean, deviation = critic(jnp.asarray(z))
    return np.asarray(mean - caution * deviation)


def guided(
    prior: Prior,
    critic: Critic,
    key: Key,
    n: int,
    *,
    least: float,
    spread: float = 1.0,
    caution: float = 1.0,
) -> Float[np.ndarray, "n k"]:
    """Draws from the prior of which the critic expects `least` steps or more. No agent acts for
    that: the critic is all that is asked.

    Raises:
        EmbrlError: it likes too few of them.
    """
    kept = [np.zeros((0, prior.means.shape[1]), np.float32)]
    for attempt in range(TRIES):
        z = np.asarray(prior.sample(jax.random.fold_in(key, attempt), n, spread))
        kept.append(z[expected(critic, z, caution) >= least])
        if sum(map(len, kept)) >= n:
            return np.concatenate(kept)[:n]
    raise EmbrlError(
        f"the critic expects {least:g} steps of {sum(map(len, kept))} of {n * TRIES} draws at "
        f"spread {spread:g}, and {n} are wanted: choose a smaller spread or expect less"
    )
