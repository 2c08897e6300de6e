"""Actions that are numbers and their own embedding (`--embedding.no-action-network`)."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from embrl import envs
from embrl.config.defaults import default_config
from embrl.core.errors import EmbrlError
from embrl.decoding.base import DecoderConfig
from embrl.embedding import pretraining as fitting
from embrl.embedding.config import EmbeddingConfig
from embrl.embedding.encoders import ContinuousActions
from embrl.embedding.model import JointEmbedding
from embrl.embedding.portable import f_chain, g_chain
from embrl.training import online_updates as moving
from embrl.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("quick")

STATES = Box(-1.0, 1.0, (3,))
ACTIONS = Box(np.array([-1.0, 0.0], np.float32), np.array([3.0, 0.5], np.float32))
CONFIG = EmbeddingConfig(state_dim=2, action_dim=2, action_network=False, transition_hidden=(8,))


def model(actions: Box = ACTIONS, **changes: Any) -> JointEmbedding:
    config = dataclasses.replace(CONFIG, **changes)
    return JointEmbedding(STATES, actions, config, key=jax.random.key(5))


def test_g_scales_by_the_bounds_and_f_scales_back():
    kept = model()
    assert isinstance(kept.g, ContinuousActions)
    assert kept.g.network is None
    assert kept.f is not None
    actions = jnp.array([[-1.0, 0.5], [1.0, 0.25], [3.0, 0.0]])
    e = kept.g(actions)
    np.testing.assert_allclose(e, [[-1.0, 1.0], [0.0, 0.0], [1.0, -1.0]], atol=1e-6)
    np.testing.assert_allclose(kept.f(e), actions, atol=1e-6)
    # Beyond the bounds is the bound.
    np.testing.assert_allclose(kept.f(jnp.array([[-7.0, 7.0]])), [[-1.0, 0.5]])


def test_without_bounds_by_those_seen():
    kept = model(Box(-np.inf, np.inf, (2,)))
    seen = jax.random.normal(jax.random.key(0), (100, 2)) * 50.0 + 200.0
    kept = kept.scaled_by(jnp.zeros((100, 3)), seen)
    assert kept.f is not None
    e = kept.g(seen)
    np.testing.assert_allclose(e.mean(0), 0.0, atol=1e-5)
    np.testing.assert_allclose(e.std(0), 1.0, rtol=1e-5)
    np.testing.assert_allclose(kept.f(e), seen, rtol=1e-4)


def test_f_has_nothing_to_learn():
    kept = model()
    empty = fitting.start_decoder(kept)
    same, _ = fitting.fit_decoder(kept, empty, lambda key: None, jnp.zeros(3), jnp.zeros(3))  # type: ignore[arg-type, return-value]
    assert same is kept


def test_a_replayed_action_is_itself():
    kept, e = model(), jax.random.uniform(jax.random.key(1), (50, 2), minval=-1.0)
    assert kept.f is not None
    offset = moving.offsets(kept, kept.f, kept.f(e), e)
    np.testing.assert_allclose(offset, 0.0, atol=1e-6)
    again = moving.re_embedded(kept, kept.f, kept.f(e), offset, updated=True)
    np.testing.assert_allclose(again, e, atol=1e-6)


def test_in_numpy_it_is_the_same():
    kept, actions = model(), ACTIONS.low + np.float32(0.3) * (ACTIONS.high - ACTIONS.low)
    e = g_chain(kept.g)(actions)
    np.testing.assert_allclose(e, kept.g(jnp.asarray(actions)), atol=1e-6)
    np.testing.assert_allclose(f_chain(kept.g, kept.f)(e), actions, atol=1e-6)


@pytest.mark.parametrize(
    ("actions", "said"),
    [
        (Discrete(4), r"^embedding\.action_network must be true for Discrete\(4\)"),
        (ACTIONS, r"^embedding\.action_dim must be 2, .*got 3"),
    ],
)
def test_what_cannot_be_left_as_it_is(actions, said):
    config = default_config("cart_pole", envs.configure("cart_pole"), "latent", "sac", "tuned")
    changed = dataclasses.replace(config.embedding, action_network=False, action_dim=3)
    f = DecoderConfig(kind="nearest" if actions is not ACTIONS else "learned")
    trainer = Trainer(dataclasses.replace(config, embedding=changed, decoder=f), STATES, actions)
    with pytest.raises(EmbrlError, match=said):
        trainer.validate()
