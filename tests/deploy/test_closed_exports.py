"""Exported policies with excluded actions."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from small_policies import exported, policy

from embrl.core.errors import EmbrlError
from embrl.decoding import BestAction

ALLOWED = np.arange(12) % 3 == 1


def closed(f: str) -> Any:
    whole = policy(spaces.Discrete(40), spaces.Discrete(12), f=f)
    overall = dataclasses.replace(whole.overall, allowed=jnp.asarray(ALLOWED))
    return type(whole)(overall, whole.observation_space, whole.action_space, whole.host)


def test_they_keep_to_what_is_allowed():
    jaxs = closed("nearest")
    found = exported(jaxs).act(np.arange(40))
    assert set(found) <= set(np.flatnonzero(ALLOWED))
    np.testing.assert_array_equal(found, jaxs.act(np.arange(40), deterministic=True))


@pytest.mark.parametrize("f", ["nearest", "softmax"])
def test_a_mask_must_leave_one_of_them(f):
    found, mask = exported(closed(f)), np.arange(12) < 2
    assert found.act(3, mask=mask) == 1
    with pytest.raises(EmbrlError, match=r"mask .*not excluded"):
        found.act(3, mask=mask & ~ALLOWED)


def test_a_random_f_draws_among_them():
    jaxs = closed("softmax")
    found, seen = exported(jaxs), np.repeat(np.arange(40), 50)
    noise = np.random.default_rng(0).random((len(seen), 3), np.float32)
    assert set(found.act(seen, noise)) == set(np.flatnonzero(ALLOWED))
    likeliest = jaxs.act(np.arange(40), deterministic=True)
    np.testing.assert_array_equal(found.act(np.arange(40)), likeliest)


def test_an_f_that_compares_scores_says_that_it_cannot():
    jaxs = closed("nearest")
    overall = dataclasses.replace(jaxs.overall, f=BestAction())
    with pytest.raises(EmbrlError, match="no form outside of JAX with excluded actions"):
        exported(type(jaxs)(overall, jaxs.observation_space, jaxs.action_space, jaxs.host))
