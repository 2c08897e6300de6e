"""Noise of policies in E, measured in the actions' own units."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from embrl import envs
from embrl.config.defaults import default_config
from embrl.core.errors import EmbrlError
from embrl.training.trainer import Trainer

STATES = spaces.Box(-np.inf, np.inf, (3,), np.float32)
ACTIONS = spaces.Box(np.array([-2.0, 0.0], np.float32), np.array([2.0, 10.0], np.float32))
KEY = jax.random.key(0)


def trainer(actions: Any = ACTIONS, algorithm="ppo", network: bool = True, **changes: Any):
    config = default_config("cart_pole", envs.configure("cart_pole"), "jsae", algorithm, "tuned")
    config = dataclasses.replace(
        config,
        embedding=dataclasses.replace(config.embedding, action_dim=2, action_network=network),
        decoder=dataclasses.replace(config.decoder, kind="learned"),
        policy=dataclasses.replace(config.policy, std=0.5, **changes),
    )
    return Trainer(config, STATES, actions)


def stds(made: Trainer) -> np.ndarray:
    actor: Any = made.untrained(KEY).learner.actor
    return np.exp(np.asarray(actor.log_std))


def test_e_has_units_of_its_own_unless_it_is_said():
    np.testing.assert_allclose(stds(trainer()), 0.5, rtol=1e-6)


def test_the_std_shrinks_as_actions_do():
    made = trainer(std_unit="action")
    embedding = made.untrained(KEY).embedding
    assert embedding is not None
    # Scaled by their bounds actions lie between -1 and 1, where a uniform one has a std of .577.
    some = np.random.default_rng(0).uniform([-2.0, 0.0], [2.0, 10.0], (20_000, 2))
    lies = np.asarray(embedding.g(jnp.asarray(some, np.float32))).std(0)
    np.testing.assert_allclose(stds(made), 0.5 * lies / 0.577, rtol=0.05)


def test_actions_that_are_their_own_embedding_keep_their_unit():
    np.testing.assert_allclose(stds(trainer(network=False, std_unit="action")), 0.5, rtol=0.05)


def test_sac_begins_with_it_too():
    made = trainer(algorithm="sac", network=False, std_unit="action")
    actor: Any = made.untrained(KEY).learner.actor
    bias = np.asarray(actor.network.layers[-1].bias)
    np.testing.assert_allclose(np.exp(bias[2:]), 0.5, rtol=0.05)


def test_actions_without_numbers_have_no_unit():
    made = trainer(std_unit="action")
    f = dataclasses.replace(made.config.decoder, kind="nearest")
    config = dataclasses.replace(made.config, decoder=f)
    discrete = dataclasses.replace(made, action_space=spaces.Discrete(5), config=config)
    said = r"^policy\.std_unit must be embedding for Discrete\(5\), got action"
    with pytest.raises(EmbrlError, match=said):
        discrete.validate()
