"""What a policy that is taken over begins with."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embrl.algorithms import ALGORITHMS
from embrl.algorithms.base import EmbeddedActions, PolicyConfig
from embrl.decoding.base import DecoderConfig, build
from embrl.training.transfer import with_min_std


def learner(algorithm: str, std: float) -> Any:
    config = PolicyConfig(hidden=(4,), std=std)
    f = build(DecoderConfig())
    return ALGORITHMS[algorithm]().start(3, EmbeddedActions(2), f, config, key=jax.random.key(0))


@pytest.mark.parametrize("algorithm", ["vpg", "ppo"])
def test_a_narrow_policy_is_widened_and_a_wide_axis_left(algorithm):
    narrow = learner(algorithm, 0.01)
    mixed = eqx.tree_at(
        lambda learner: learner.actor.log_std, narrow, jnp.log(jnp.array([0.01, 0.5]))
    )
    wider: Any = with_min_std(mixed, 0.2)
    np.testing.assert_allclose(jnp.exp(wider.actor.log_std), [0.2, 0.5], rtol=1e-6)
    # Nothing else has changed.
    for before, after in zip(
        jax.tree.leaves(mixed.actor.mean), jax.tree.leaves(wider.actor.mean), strict=True
    ):
        assert before is after


def test_a_policy_whose_std_depends_on_the_state_is_left():
    before = learner("sac", 0.01)
    assert with_min_std(before, 0.2) is before
