"""Prior of embeddings: a mixture of Gaussians with full covariances."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embrl.core.types import Key

COMPONENTS = (1, 2, 4, 8)
"""Numbers of components to try.

The one with the lowest BIC (Schwarz 1978) is taken. One is a plain Gaussian.
"""

ROUNDS = 50
"""Iterations of expectation-maximization."""

FLOOR = 1e-3
"""Added to each component's variances, as a fraction of the mean variance of all."""


class Prior(eqx.Module):
    """Mixture p(z), fitted to the embeddings of the training agents."""

    shares: Float[Array, " M"]
    means: Float[Array, "M k"]
    roots: Float[Array, "M k k"]
    """Lower Cholesky factors of the covariances."""

    @property
    def mean(self) -> Float[Array, " k"]:
        """Mean of the mixture."""
        return self.shares @ self.means

    def sample(self, key: Key, n: int, spread: float = 1.0) -> Float[Array, "n k"]:
        """Sample p(z), with distances from its mean multiplied by `spread`."""
        choosing, drawing = jax.random.split(key)
        which = jax.random.categorical(choosing, jnp.log(self.shares), shape=(n,))
        noise = jax.random.normal(drawing, (n, self.means.shape[1]))
        z = self.means[which] + jnp.einsum("nij,nj->ni", self.roots[which], noise)
        return self.mean + spread * (z - self.mean)

    def log_density(self, z: Float[Array, "N k"]) -> Float[Array, " N"]:
        """Return the log density of each z, in nats."""
        found = _log_joint(
            np.asarray(z, np.float64),
            *(np.asarray(a, np.float64) for a in (self.shares, self.means, self.roots)),
        )
        return jnp.asarray(_log_sum(found), jnp.float32)


def empty(k: int, components: int) -> Prior:
    """Return a prior of that shape: standard normals."""
    return Prior(
        jnp.full(components, 1.0 / components),
        jnp.zeros((components, k)),
        jnp.tile(jnp.eye(k), (components, 1, 1)),
    )


def fit_prior(z: Float[np.ndarray, "N k"], seed: int = 0) -> Prior:
    """Fit the mixture of one of `COMPONENTS` Gaussians that has the lowest BIC."""
    z = np.asarray(z, np.float64)
    count, k = z.shape
    best: tuple[float, Prior] | None = None
    for components in COMPONENTS:
        if components > 1 and count < 10 * components * k:
            break  # a covariance needs more points than that
        shares, means, roots = _maximise(z, components, np.random.default_rng(seed))
        parameters = components * (1 + k + k * (k + 1) / 2) - 1
        likelihood = _log_sum(_log_joint(z, shares, means, roots)).sum()
        bic = parameters * np.log(count) - 2 * likelihood
        if best is None or bic < best[0]:
            arrays = (jnp.asarray(a, jnp.float32) for a in (shares, means, roots))
            best = (bic, Prior(*arrays))
    assert best is not None
    return best[1]


def _maximise(
    z: np.ndarray, components: int, draw: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    floor = FLOOR * z.var(0).mean() + 1e-9
    start = z[draw.choice(len(z), components, replace=False)]
    nearest = ((z[:, None] - start) ** 2).sum(-1).argmin(1)
    found = _of(z, np.eye(components)[nearest], floor)
    for _ in range(ROUNDS if components > 1 else 0):
        joint = _log_joint(z, *found)
        found = _of(z, np.exp(joint - _log_sum(joint)[:, None]), floor)
    return found


def _of(
    z: np.ndarray, mine: Float[np.ndarray, "N M"], floor: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return weights, means and Cholesky factors for given responsibilities `mine`."""
    counts = mine.sum(0) + 1e-9
    means = mine.T @ z / counts[:, None]
    apart = z - means[:, None]
    covariances = np.einsum("nm,mni,mnj->mij", mine, apart, apart, optimize=True)
    covariances = covariances / counts[:, None, None] + floor * np.eye(z.shape[1])
    return counts / counts.sum(), means, np.linalg.cholesky(covariances)


def _log_joint(
    z: np.ndarray, shares: np.ndarray, means: np.ndarray, roots: np.ndarray
) -> Float[np.ndarray, "N M"]:
    found = []
    for share, mean, root in zip(shares, means, roots, strict=True):
        white = np.linalg.solve(root, (z - mean).T)
        found.append(
            np.log(share)
            - 0.5 * (white**2).sum(0)
            - np.log(np.diag(root)).sum()
            - 0.5 * z.shape[1] * np.log(2 * np.pi)
        )
    return np.stack(found, 1)


def _log_sum(joint: Float[np.ndarray, "N M"]) -> Float[np.ndarray, " N"]:
    most = joint.max(1, keepdims=True)
    return (most + np.log(np.exp(joint - most).sum(1, keepdims=True)))[:, 0]
