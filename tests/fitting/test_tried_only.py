from typing import Any

import numpy as np
import pytest

import embrl
from embrl.core.types import Transition

pytestmark = pytest.mark.usefixtures("quick")


def test_actions_without_a_transition_are_left_alone():
    rng = np.random.default_rng(0)
    actions = rng.choice([0, 2, 5], 60).astype(np.int32)
    states = rng.integers(0, 4, 61).astype(np.int32)
    no = np.zeros(60, bool)
    seen = Transition(states[:-1], actions, np.zeros(60, np.float32), states[1:], no, no)  # type: ignore[arg-type]
    small: dict[str, Any] = {"pretrain": {"gradient_steps": 5, "batch_size": 16}}
    everything = embrl.fit(seen, **small)
    assert everything.allowed is None
    tried = embrl.fit(seen, **small, tried_only=True)
    assert tried.allowed is not None
    np.testing.assert_array_equal(np.flatnonzero(tried.allowed), [0, 2, 5])
    points = rng.uniform(-1, 1, (50, everything.d))
    assert set(tried.f(points)) <= {0, 2, 5}
    np.testing.assert_array_equal(tried.table, everything.table)
