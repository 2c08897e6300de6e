"""Eq. 1 of Pritz et al. 2021: pi_o(a|s) is the mass that pi_i puts on the cell f^-1(a)."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from embrl.algorithms.actors import GaussianActor
from embrl.algorithms.policy import OverallPolicy
from embrl.decoding import NearestAction, nearest

KEY = jax.random.key(0)
PHI = np.array([[0.5, -0.2, 0.1], [-0.6, 0.4, 0.3]], np.float32)
"""Embeddings of two states."""

SCATTERED = np.array(
    [[0.1, 0.2], [-0.4, 0.5], [0.6, -0.3], [-0.2, -0.6], [0.15, 0.3], [0.8, 0.9]], np.float32
)
COLUMNS, ROWS = np.array([-0.5, 0.1, 0.6]), np.array([-0.4, 0.5])
PRODUCT = np.array(list(itertools.product(COLUMNS, ROWS)), np.float32)
"""Every column with every row: Voronoi cells are rectangles, whose Gaussian mass is known."""

DRAWS = 100_000
NODES = 700


def overall_policy(table: np.ndarray) -> OverallPolicy:
    """pi_o with a mean that depends on the state and a different std on each axis."""
    actor = GaussianActor(3, 2, (8,), std=0.5, bounded=True, key=KEY)
    actor = eqx.tree_at(lambda a: a.log_std, actor, jnp.log(jnp.array([0.35, 0.6])))
    last = actor.mean.layers[-1].weight
    actor = eqx.tree_at(lambda a: a.mean.layers[-1].weight, actor, 100 * last)
    phi = jnp.asarray(PHI)
    return OverallPolicy(lambda s: phi[s], actor, NearestAction(), jnp.asarray(table))


def internal(policy: OverallPolicy, state: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and std of pi_i in float64."""
    assert isinstance(policy.actor, GaussianActor)
    mean = policy.actor.mode(jnp.asarray(PHI[state]))
    return np.asarray(mean, np.float64), np.exp(np.asarray(policy.actor.log_std, np.float64))


def by_quadrature(policy: OverallPolicy, table: np.ndarray, state: int) -> np.ndarray:
    """The integral of pi_i over f^-1(a) for every a, by NODES^2 points of equal mass in float64.

    A cell's straight border cuts rows of points, each of which can be off by one of NODES points.
    """
    mean, std = internal(policy, state)
    z = stats.norm.ppf((np.arange(NODES) + 0.5) / NODES)
    e = mean + std * np.stack(np.meshgrid(z, z, indexing="ij"), axis=-1)
    with jax.enable_x64(True):
        actions = nearest(jnp.asarray(table, jnp.float64), jnp.asarray(e.reshape(-1, 2)))
    return np.bincount(np.asarray(actions), minlength=len(table)) / NODES**2


def in_closed_form(policy: OverallPolicy, state: int) -> np.ndarray:
    """The same for PRODUCT, by the normal distribution function."""
    mean, std = internal(policy, state)
    parts = []
    for axis, centres in enumerate((COLUMNS, ROWS)):
        borders = np.concatenate([[-np.inf], (centres[1:] + centres[:-1]) / 2, [np.inf]])
        parts.append(np.diff(stats.norm.cdf(borders, mean[axis], std[axis])))
    return np.outer(*parts).ravel()


def drawn(policy: OverallPolicy, state: int) -> np.ndarray:
    """How often the policy takes each action in DRAWS draws."""
    noise = policy.noise(jax.random.key(state + 1), (DRAWS,))
    states = jnp.full(DRAWS, state)
    actions, _ = eqx.filter_jit(policy.act)(states, noise)
    assert isinstance(policy.table, jax.Array)
    return np.bincount(np.asarray(actions), minlength=len(policy.table))


@pytest.mark.parametrize("state", [0, 1])
@pytest.mark.parametrize("table", [SCATTERED, PRODUCT], ids=["scattered", "product"])
def test_cells_share_out_the_mass_of_the_internal_policy(table: np.ndarray, state: int) -> None:
    policy = overall_policy(table)
    p = by_quadrature(policy, table, state)
    assert p.sum() == pytest.approx(1.0)
    assert (p > 1e-4).all()
    counts = drawn(policy, state)
    bound = 4 * np.sqrt(DRAWS * p * (1 - p)) + DRAWS / NODES
    np.testing.assert_array_less(np.abs(counts - DRAWS * p), bound)


@pytest.mark.parametrize("state", [0, 1])
def test_rectangular_cells_have_the_mass_of_the_normal_law(state: int) -> None:
    policy = overall_policy(PRODUCT)
    p = in_closed_form(policy, state)
    np.testing.assert_allclose(by_quadrature(policy, PRODUCT, state), p, atol=2 / NODES)
    assert stats.chisquare(drawn(policy, state), DRAWS * p).pvalue > 1e-3


def test_states_have_different_policies() -> None:
    # Or the tests above would not see the state at all.
    policy = overall_policy(PRODUCT)
    assert np.abs(in_closed_form(policy, 0) - in_closed_form(policy, 1)).max() > 0.05


def test_the_mode_is_the_action_of_the_mean() -> None:
    policy = overall_policy(SCATTERED)
    for state in (0, 1):
        mean, _ = internal(policy, state)
        distances = ((SCATTERED - mean) ** 2).sum(-1)
        assert policy.mode(jnp.int32(state)) == distances.argmin()
