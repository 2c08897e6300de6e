"""Exported policies with excluded actions."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from small_policies import exported, policy

from embrl.core.errors import EmbrlError

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


def test_a_random_f_says_that_it_cannot():
    with pytest.raises(EmbrlError, match="no form outside of JAX with excluded actions"):
        exported(closed("softmax"))
