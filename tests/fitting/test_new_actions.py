"""An `Embedding` whose actions have features: new and excluded ones; its folder."""

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest
from gymnasium.spaces import Discrete

from embrl.core.errors import EmbrlError
from embrl.embedding.config import EmbeddingConfig
from embrl.embedding.model import JointEmbedding
from embrl.embedding.objectives import OBJECTIVES
from embrl.fitting.embedding import FIXED_ACTIONS_OBJECTIVE, Embedding
from embrl.fitting.fit import fit

pytestmark = pytest.mark.usefixtures("quick")

BITS = np.array([[int(bit) for bit in f"{number:03b}"] for number in range(8)], np.float32)
WORLD: dict[str, Any] = {"actuators": 3, "bins": 10, "step_limit": 20}
SMALL: dict[str, Any] = {"pretrain": {"gradient_steps": 50, "batch_size": 64}}


@pytest.fixture(scope="module")
def embedding(tmp_path_factory) -> Embedding:
    excluded = tmp_path_factory.mktemp("excluded") / "excluded.npy"
    np.save(excluded, [2])
    return fit(
        "gridworld",
        **WORLD,
        settings="tuned",
        timesteps=600,
        objectives={"forward": 1.0, "action": 0.1},
        **SMALL,
        embedding={"action_features": "env"},
        rollout={"excluded_actions": str(excluded)},
    )


def test_excluded_actions_are_never_returned(embedding):
    np.testing.assert_array_equal(embedding.allowed, np.arange(8) != 2)
    assert embedding.f(embedding.table[2]) != 2


def test_new_actions_lie_where_their_features_say(embedding):
    more = embedding.with_actions(BITS[[5, 2]])
    assert (more.action_space, more.action_count) == (Discrete(10), 10)
    np.testing.assert_allclose(more.table, embedding.table[[*range(8), 5, 2]], atol=1e-6)
    np.testing.assert_array_equal(more.g([8, 9]), more.table[8:])
    assert more.f(more.table[2]) == 9  # at the same place as 2, which is excluded
    only = np.arange(10) >= 8
    np.testing.assert_array_equal(more.f(more.table[8:], mask=only), [8, 9])
    assert embedding.action_count == 8


def test_removed_actions_are_never_returned(embedding):
    more = embedding.with_actions(BITS[:3]).without(range(8)).without(9)
    assert set(more.f(np.random.default_rng(0).uniform(-1, 1, (50, 2)))) <= {8, 10}
    with pytest.raises(EmbrlError, match="at least one of 11 actions"):
        more.without([8, 10])


def features_of(embedding: Any) -> np.ndarray:
    return embedding.model.g.features()


def test_it_is_saved_whole(embedding, tmp_path):
    before = embedding.with_actions(BITS[:3]).without([4])
    before.save(tmp_path / "new")
    after = Embedding.load(tmp_path / "new")
    np.testing.assert_array_equal(after.table, before.table)
    np.testing.assert_array_equal(after.allowed, before.allowed)
    np.testing.assert_array_equal(features_of(after), [*BITS, *BITS[:3]])
    again = [found.with_actions(BITS[6:7]).table for found in (after, before)]
    np.testing.assert_array_equal(again[0], again[1])


def test_the_objective_that_lists_actions_is_one(embedding):
    assert FIXED_ACTIONS_OBJECTIVE in OBJECTIVES
    outputs = embedding.model.parts[FIXED_ACTIONS_OBJECTIVE].decoder.layers[-1].bias.shape
    assert outputs == (8,)
    assert list(embedding.with_actions(BITS[:1]).settings.objectives) == ["forward"]


def test_what_cannot_be_added(embedding):
    with pytest.raises(EmbrlError, match=r"must have 3 features.*got 1"):
        embedding.with_actions([[1.0]])
    rows = JointEmbedding(Discrete(100), Discrete(8), EmbeddingConfig(), key=jax.random.key(0))
    plain = dataclasses.replace(embedding, model=rows)
    with pytest.raises(EmbrlError, match=r"--embedding\.action-features"):
        plain.with_actions(BITS[:1])
