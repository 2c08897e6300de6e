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
ON_X: Any = np.asarray(X)


def squashed(std: float = 0.5, shift: float = 0.0) -> SquashedGaussianActor:
    actor = SquashedGaussianActor(3, 2, (8,), std=std, key=KEY)
    bias = actor.network.layers[-1].bias
    return eqx.tree_at(lambda a: a.network.layers[-1].bias, actor, bias.at[:2].add(shift))


def parameters(actor: SquashedGaussianActor) -> tuple[np.ndarray, ...]:
    """Means and logarithms of standard deviations at X, in float64."""
    return tuple(np.asarray(part, np.float64) for part in eqx.filter_jit(actor.parameters)(X))


def test_a_squashed_density_is_that_of_what_is_drawn() -> None:
    # By the rule for a change of variables, in float64 with SciPy.
    actor, noise = squashed(), jax.random.normal(KEY, (6, 2))
    e, log_prob = eqx.filter_jit(actor.act_and_log_prob)(X, noise)
    mean, log_std = parameters(actor)
    z = mean + np.exp(log_std) * np.asarray(noise, np.float64)
    expected = stats.norm.logpdf(z, mean, np.exp(log_std)) - np.log(1 - np.tanh(z) ** 2)
    np.testing.assert_allclose(e, np.tanh(z), rtol=1e-5)
    np.testing.assert_allclose(log_prob, expected.sum(-1), rtol=1e-4, atol=1e-5)
    again = eqx.filter_jit(actor.log_prob)(X, e)
    np.testing.assert_allclose(again, log_prob, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(eqx.filter_jit(actor.act)(X, noise), e, rtol=1e-5)


def test_a_squashed_density_is_exact_at_the_border_and_has_finite_slopes() -> None:
    actor, noise = squashed(shift=12.0), jnp.zeros((6, 2))
    e, log_prob = eqx.filter_jit(actor.act_and_log_prob)(X, noise)
    assert (np.asarray(e) > 1 - 1e-6).all()
    # There log(1 - tanh(z)^2) is log 4 - 2 z.
    mean, log_std = parameters(actor)
    expected = stats.norm.logpdf(mean, mean, np.exp(log_std)) - np.log(4) + 2 * mean
    np.testing.assert_allclose(log_prob, expected.sum(-1), rtol=1e-5)

    def slope(actor: SquashedGaussianActor) -> jax.Array:
        return actor.act_and_log_prob(X, noise)[1].sum()

    gradient = eqx.filter_jit(eqx.filter_grad(slope))(actor)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    # d/dz of that is 2 on each of two axes, for each of six states.
    np.testing.assert_allclose(gradient.network.layers[-1].bias[:2], 12.0, rtol=1e-4)
    # Also for a u that is given, where z can no longer be told from it.
    assert np.isfinite(eqx.filter_jit(actor.log_prob)(X, e)).all()


@pytest.mark.parametrize("std", [0.2, 0.7, 1.5])
def test_a_squashed_entropy_is_the_mean_of_what_is_drawn(std: float) -> None:
    actor = squashed(std, shift=0.4)
    noise = jax.random.normal(jax.random.key(2), (50_000, 6, 2))
    x: Any = np.broadcast_to(ON_X, (50_000, 6, 3))
    _, log_prob = eqx.filter_jit(actor.act_and_log_prob)(x, noise)
    entropy = eqx.filter_jit(actor.entropy)(X)
    assert float(entropy) == pytest.approx(-float(np.mean(log_prob)), abs=0.01)


def test_a_log_std_keeps_within_its_limits() -> None:
    for std, limit in [(1e-12, LOG_STD[0]), (100.0, LOG_STD[1])]:
        np.testing.assert_array_equal(parameters(squashed(std))[1], np.float32(limit))


def test_the_mode_of_a_squashed_gaussian_is_its_median() -> None:
    actor = squashed(shift=0.3)
    noise = jax.random.normal(KEY, (20_001, 6, 2))
    x: Any = np.broadcast_to(ON_X, (20_001, 6, 3))
    drawn = eqx.filter_jit(actor.act)(x, noise)
    mode = eqx.filter_jit(actor.mode)(X)
    np.testing.assert_allclose(np.median(drawn, axis=0), mode, atol=0.02)


def test_a_bounded_mean_is_the_tanh_of_an_unbounded_one() -> None:
    free, bounded = (
        GaussianActor(3, 2, (), std=0.5, bounded=bounded, key=KEY) for bounded in (False, True)
    )
    x = 500 * ON_X
    of_free, of_bounded = (np.asarray(eqx.filter_jit(a.mode)(x)) for a in (free, bounded))
    np.testing.assert_allclose(of_bounded, np.tanh(of_free), rtol=1e-5)
    assert np.abs(of_free).max() > 1.0


def test_actions_that_are_masked_are_not_chosen() -> None:
    actor = CategoricalActor(3, 4, (8,), key=KEY)
    mask: Any = np.array([False, True, False, True])
    uniform: Any = np.linspace(0.0, 0.999, 200, dtype=np.float32)
    x: Any = np.broadcast_to(ON_X[0], (200, 3))
    drawn = eqx.filter_jit(actor.act)(x, uniform, mask)
    assert set(np.asarray(drawn).tolist()) == {1, 3}
    assert eqx.filter_jit(actor.mode)(ON_X[0], mask) in (1, 3)


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

    @eqx.filter_jit
    def look(actor: Any, x: Any, noise: Any) -> Any:
        u = actor.act(x, noise)
        return u, actor.log_prob(x, u), actor.mode(x)

    x, noise = np.asarray(x), np.asarray(noise)
    u, log_prob, mode = map(np.asarray, look(actor, x, noise))
    for at in np.ndindex(3, 4):
        of_one, log_prob_of_one, mode_of_one = look(actor, x[at], noise[at])
        np.testing.assert_allclose(u[at], of_one, rtol=1e-5)
        np.testing.assert_allclose(log_prob[at], log_prob_of_one, rtol=1e-3)
        np.testing.assert_allclose(mode[at], mode_of_one, atol=1e-6)
