"""Chains in NumPy against the JAX models they were made of."""

import gymnasium
import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from embrl.decoding import nearest
from embrl.embedding.config import EmbeddingConfig
from embrl.embedding.encoders import Norm, StandardisedEncoder, StateEncoder
from embrl.embedding.model import JointEmbedding
from embrl.embedding.portable import f_chain, g_chain, phi_chain
from embrl.portable import steps

inf = np.float32(np.inf)
SPACES: dict[str, gymnasium.Space] = {
    "discrete": spaces.Discrete(12),
    "factors": spaces.MultiDiscrete([3, 5, 2]),
    "bounded": spaces.Box(np.array([-1, 0], np.float32), np.array([3, 5], np.float32)),
    "free": spaces.Box(-inf, inf, (3,)),
    "half": spaces.Box(np.array([-2, 0], np.float32), np.array([2, inf], np.float32)),
}


def model(observations: gymnasium.Space, actions: gymnasium.Space, **config) -> JointEmbedding:
    embedding = JointEmbedding(
        observations,
        actions,
        EmbeddingConfig(state_dim=4, action_dim=3, state_spread=0.7, action_spread=0.7, **config),
        key=jax.random.key(1),
    )
    return embedding.scaled_by(jnp.asarray(draw(observations)), jnp.asarray(draw(actions)))


def draw(space: gymnasium.Space, count: int = 200) -> np.ndarray:
    space.seed(0)
    values = np.stack([space.sample() for _ in range(count)])
    return values.astype(np.float32 if isinstance(space, spaces.Box) else np.int32)


@pytest.mark.parametrize("name", SPACES)
def test_phi_is_the_models(name):
    embedding = model(SPACES[name], spaces.Discrete(7))
    seen = draw(SPACES[name])
    found = phi_chain(embedding.phi)(seen)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, embedding.phi(jnp.asarray(seen)), atol=2e-6)
    np.testing.assert_array_equal(phi_chain(embedding.phi)(seen[3]).shape, (4,))


def test_phi_as_a_policy_sees_it():
    embedding = model(SPACES["discrete"], spaces.Discrete(7))
    seen = draw(SPACES["discrete"])
    assert isinstance(embedding.phi, StateEncoder)
    norm = Norm.of(embedding.phi(jnp.asarray(seen)))
    truth = StandardisedEncoder(embedding.phi, norm)(jnp.asarray(seen))
    np.testing.assert_allclose(phi_chain(embedding.phi, norm)(seen), truth, atol=2e-5)


@pytest.mark.parametrize("name", ["bounded", "free", "half"])
def test_actions_that_are_numbers(name):
    embedding = model(SPACES["discrete"], SPACES[name])
    actions = draw(SPACES[name])
    e = np.array(embedding.g(jnp.asarray(actions)))
    np.testing.assert_allclose(g_chain(embedding.g)(actions), e, atol=2e-6)
    assert embedding.f is not None
    truth = np.asarray(embedding.f(jnp.asarray(e)))
    np.testing.assert_allclose(f_chain(embedding.g, embedding.f)(e), truth, atol=1e-5)


def test_actions_that_are_looked_up():
    embedding = model(SPACES["discrete"], spaces.Discrete(90))
    g, f = g_chain(embedding.g), f_chain(embedding.g, None)
    np.testing.assert_array_equal(g(np.arange(90)), embedding.g.table)
    np.testing.assert_array_equal(f(g(np.arange(90))), np.arange(90))
    e = np.random.default_rng(0).normal(size=(50, 4, 3)).astype(np.float32)
    np.testing.assert_array_equal(f(e), nearest(embedding.g.table, jnp.asarray(e)))
    np.testing.assert_array_equal([f(point) for point in e[0]], f(e[0]))


tables = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 30), st.just(2)), elements=st.integers(-3, 3)
)


@settings(deadline=None)
@given(tables, st.booleans(), st.data())
def test_nearest_among_equal_points_and_under_masks(table, tree, data):
    n = len(table)
    masks = hnp.arrays(bool, n).filter(lambda mask: bool(mask.any()))
    allowed = data.draw(st.none() | masks)
    # Points of no tie but between equal points.
    e = table + np.array([0.05, 0.02], np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "FEW", 0 if tree else 4096)
        found = steps.Nearest.of(table, allowed)
        distance = ((table - e[:, None]) ** 2).sum(-1)
        open_ = np.ones(n, bool) if allowed is None else allowed
        truth = np.where(open_, distance, np.inf).argmin(-1)
        np.testing.assert_array_equal(found(e), truth)
        np.testing.assert_array_equal([found(point) for point in e], truth)
        mask = data.draw(masks)
        if (mask & open_).any():
            truth = np.where(mask & open_, distance, np.inf).argmin(-1)
            np.testing.assert_array_equal(found(e, mask), truth)
