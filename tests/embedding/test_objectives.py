"""The forward loss against a cross entropy in NumPy."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from worlds import embedded, network

from embrl.embedding.fit import loss
from embrl.embedding.model import JointEmbedding, ModelConfig
from embrl.embedding.objectives import OBJECTIVES
from embrl.embedding.transition import SoftmaxTransition
from embrl.types import Transition

KEY = jax.random.key(0)
forward_loss = eqx.filter_jit(OBJECTIVES["forward"])
predict = eqx.filter_jit(lambda model, batch: model.predict(batch.observation, batch.action))
SPACES = [spaces.Discrete(6), spaces.MultiDiscrete([3, 5])]


def batch_in(space: spaces.Space, actions: int = 4, count: int = 20) -> Transition:
    """Transitions from anywhere to anywhere."""
    rng = np.random.default_rng(0)
    high = space.n if isinstance(space, spaces.Discrete) else space.nvec  # type: ignore[union-attr]
    shape = (count,) if isinstance(space, spaces.Discrete) else (count, len(high))
    before, after = rng.integers(high, size=(2, *shape)).astype(np.int32)
    ends = jnp.zeros(count, bool)
    action = rng.integers(actions, size=count).astype(np.int32)
    return Transition(
        observation=jnp.asarray(before),
        action=jnp.asarray(action),
        reward=jnp.zeros(count),
        next_observation=jnp.asarray(after),
        terminated=ends,
        truncated=ends,
    )


def cross_entropy(logits: np.ndarray, target: np.ndarray) -> float:
    """In nats, mean over the batch."""
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    return float(-np.log(p[np.arange(len(p)), target]).mean())


@pytest.mark.parametrize("head", ["metric", "softmax"])
@pytest.mark.parametrize("space", SPACES, ids=str)
def test_the_forward_loss_is_the_cross_entropy_of_every_factor(
    head: Any, space: spaces.Space
) -> None:
    model = JointEmbedding(space, spaces.Discrete(4), ModelConfig(m=3, head=head), key=KEY)
    batch = batch_in(space)
    targets = np.asarray(batch.next_observation).reshape(20, -1)
    logits = [np.asarray(part, np.float64) for part in predict(model, batch)]
    assert len(logits) == targets.shape[1]
    expected = sum(cross_entropy(part, targets[:, k]) for k, part in enumerate(logits))
    assert forward_loss(model, batch) == pytest.approx(expected, rel=1e-5)
    # Objectives are summed with their weights.
    weighted = eqx.filter_jit(loss)(model, batch, (("forward", 1.0), ("forward", 0.5)))
    assert weighted == pytest.approx(1.5 * expected, rel=1e-5)


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_the_softmax_head_is_a_network_of_both_embeddings(space: spaces.Space) -> None:
    model = JointEmbedding(space, spaces.Discrete(4), ModelConfig(m=3, head="softmax"), key=KEY)
    assert isinstance(model.T, SoftmaxTransition)
    batch = batch_in(space)
    x = embedded(model, np.asarray(batch.observation))
    e = np.tanh(np.asarray(model.g.rows, np.float64))[np.asarray(batch.action)]
    joint = network(model.T.network, np.hstack([x, e]))
    ours = np.concatenate(predict(model, batch), axis=-1)
    np.testing.assert_allclose(ours, joint, rtol=1e-4, atol=1e-6)


def test_knowing_nothing_costs_the_logarithm_of_the_states() -> None:
    model = JointEmbedding(SPACES[1], spaces.Discrete(4), ModelConfig(head="softmax"), key=KEY)
    blank = jax.tree.map(jnp.zeros_like, model)
    assert forward_loss(blank, batch_in(SPACES[1])) == pytest.approx(np.log(3 * 5))
