"""The policy of original parts: a categorical distribution each, and a Gaussian."""

import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embrl.algorithms.product_actor import ProductActor
from embrl.core.products import Product


def test_probabilities_add_up_and_entropy_is_their_mean_logarithm():
    product = Product((3, 2))
    actor = ProductActor(4, product, (8,), std=0.5, bounded=True, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (1, 4))
    mask = jnp.array([True, False, True, True, True])
    ways = jnp.array(list(itertools.product(range(3), range(2))))
    of_each, entropy = eqx.filter_jit(
        lambda actor, x: (
            actor.log_prob(jnp.broadcast_to(x, (6, 4)), ways, mask),
            actor.entropy(x, mask),
        )
    )(actor, x)
    p = np.exp(np.asarray(of_each))
    assert p.sum() == pytest.approx(1.0, abs=1e-6)
    assert p[2:4].tolist() == [0.0, 0.0]
    p = p[p > 0]
    assert float(entropy) == pytest.approx(-(p * np.log(p)).sum(), rel=1e-5)


def test_a_hybrid_has_the_density_of_its_numbers():
    product = Product((2,), (-1.0,), (1.0,))
    actor = ProductActor(4, product, (8,), std=0.5, bounded=True, key=jax.random.key(0))

    @eqx.filter_jit
    def drawn(actor: ProductActor, x: Any) -> Any:
        rows = actor.act(x, actor.noise(jax.random.key(2), (1000,)))
        return rows, actor.mode(x), actor.log_prob(x, rows)

    rows, modes, log_p = map(np.asarray, drawn(actor, np.zeros((1000, 4), np.float32)))
    assert rows.dtype == np.float32
    z = (rows[:, 1] - modes[0, 1]) / 0.5
    normal = -0.5 * z**2 - np.log(0.5) - 0.5 * np.log(2 * np.pi)
    discrete = log_p - normal
    chances = np.exp(np.asarray(discrete))
    chosen = np.asarray(rows[:, 0])
    assert chances[chosen == 0][0] + chances[chosen == 1][0] == pytest.approx(1.0, abs=1e-4)
    assert abs(float(z.mean())) < 0.15


def test_log_probabilities_of_parts_add_up():
    actor = ProductActor(
        4, Product((3, 2), (-1.0,), (1.0,)), (8,), std=0.5, bounded=True, key=jax.random.key(0)
    )
    x = jnp.zeros((5, 4))

    @eqx.filter_jit
    def both(actor: ProductActor, mask: Any) -> Any:
        rows = actor.act(x, actor.noise(jax.random.key(2), (5,)), mask)
        return actor.log_prob_by_part(x, rows, mask), actor.log_prob(x, rows, mask)

    parts, whole = both(actor, np.array([True, False, True, True, True]))
    assert parts.shape == (5, 3)
    np.testing.assert_allclose(parts.sum(-1), whole, rtol=1e-5)
