"""Internal policies: what they draw is what their densities say."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from embrl.algorithms.actors import LOG_STD, CategoricalActor, GaussianActor, SquashedGaussianActor

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (6, 3))


def squashed(std: float = 0.5, shift: float = 0.0) -> SquashedGaussianActor:
    actor = SquashedGaussianActor(3, 2, (8,), std=std, key=KEY)
    bias = actor.network.layers[-1].bias
    return eqx.tree_at(lambda a: a.network.layers[-1].bias, actor, bias.at[:2].add(shift))


def test_a_squashed_density_is_that_of_what_is_drawn() -> None:
    # By the rule for a change of variables, in float64 with SciPy.
    actor, noise = squashed(), jax.random.normal(KEY, (6, 2))
    e, log_prob = eqx.filter_jit(actor.act_and_log_prob)(X, noise)
    mean, log_std = (np.asarray(part, np.float64) for part in actor.parameters(X))
    z = mean + np.exp(log_std) * np.asarray(noise, np.float64)
    expected = stats.norm.logpdf(z, mean, np.exp(log_std)) - np.log(1 - np.tanh(z) ** 2)
    np.testing.assert_allclose(e, np.tanh(z), rtol=1e-5)
    np.testing.assert_allclose(log_prob, expected.sum(-1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(actor.log_prob(X, e), log_prob, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(actor.act(X, noise), e, rtol=1e-5)


def test_a_squashed_density_is_exact_at_the_border_and_has_finite_slopes() -> None:
    actor, noise = squashed(shift=12.0), jnp.zeros((6, 2))
    e, log_prob = actor.act_and_log_prob(X, noise)
    assert (e > 1 - 1e-6).all()
    # There log(1 - tanh(z)^2) is log 4 - 2 z.
    mean, log_std = (np.asarray(part, np.float64) for part in actor.parameters(X))
    expected = stats.norm.logpdf(mean, mean, np.exp(log_std)) - np.log(4) + 2 * mean
    np.testing.assert_allclose(log_prob, expected.sum(-1), rtol=1e-5)

    def slope(actor: SquashedGaussianActor) -> jax.Array:
        return actor.act_and_log_prob(X, noise)[1].sum()

    gradient = eqx.filter_jit(eqx.filter_grad(slope))(actor)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    # d/dz of that is 2 on each of two axes, for each of six states.
    np.testing.assert_allclose(gradient.network.layers[-1].bias[:2], 12.0, rtol=1e-4)
    # Also for a u that is given, where z can no longer be told from it.
    assert np.isfinite(actor.log_prob(X, e)).all()


@pytest.mark.parametrize("std", [0.2, 0.7, 1.5])
def test_a_squashed_entropy_is_the_mean_of_what_is_drawn(std: float) -> None:
    actor = squashed(std, shift=0.4)
    noise = jax.random.normal(jax.random.key(2), (50_000, 6, 2))
    _, log_prob = actor.act_and_log_prob(jnp.broadcast_to(X, (50_000, 6, 3)), noise)
    assert actor.entropy(X) == pytest.approx(float(-log_prob.mean()), abs=0.01)


def test_a_log_std_keeps_within_its_limits() -> None:
    for std, limit in [(1e-12, LOG_STD[0]), (100.0, LOG_STD[1])]:
        np.testing.assert_array_equal(squashed(std).parameters(X)[1], limit)


def test_the_mode_of_a_squashed_gaussian_is_its_median() -> None:
    actor = squashed(shift=0.3)
    noise = jax.random.normal(KEY, (20_001, 6, 2))
    drawn = actor.act(jnp.broadcast_to(X, (20_001, 6, 3)), noise)
    np.testing.assert_allclose(np.median(drawn, axis=0), actor.mode(X), atol=0.02)


def test_a_bounded_mean_is_the_tanh_of_an_unbounded_one() -> None:
    free, bounded = (
        GaussianActor(3, 2, (), std=0.5, bounded=bounded, key=KEY) for bounded in (False, True)
    )
    x = 500 * X
    np.testing.assert_allclose(bounded.mode(x), np.tanh(free.mode(x)), rtol=1e-5)
    assert np.abs(free.mode(x)).max() > 1.0


def test_actions_that_are_masked_are_not_chosen() -> None:
    actor = CategoricalActor(3, 4, (8,), key=KEY)
    mask = jnp.array([False, True, False, True])
    uniform = jnp.linspace(0.0, 0.999, 200)
    drawn = actor.act(jnp.broadcast_to(X[0], (200, 3)), uniform, mask)
    assert set(np.asarray(drawn).tolist()) == {1, 3}
    assert actor.mode(X[0], mask) in (1, 3)


@pytest.mark.parametrize(
    "actor",
    [
        GaussianActor((4, 5), 2, (8,), std=0.5, bounded=True, key=KEY),
        SquashedGaussianActor((4, 5), 2, (8,), std=0.5, key=KEY),
        CategoricalActor((4, 5), 7, (8,), key=KEY),
    ],
    ids=["gaussian", "squashed", "categorical"],
)
def test_a_batch_is_one_by_one(actor: Any) -> None:
    x = jax.random.randint(KEY, (3, 4, 2), 0, 4, jnp.int32)
    noise = actor.noise(KEY, (3, 4))
    u = eqx.filter_jit(actor.act)(x, noise)
    log_prob, mode = actor.log_prob(x, u), actor.mode(x)
    for at in np.ndindex(3, 4):
        np.testing.assert_allclose(u[at], actor.act(x[at], noise[at]), rtol=1e-5)
        np.testing.assert_allclose(log_prob[at], actor.log_prob(x[at], u[at]), rtol=1e-3)
        np.testing.assert_allclose(mode[at], actor.mode(x[at]), atol=1e-6)
