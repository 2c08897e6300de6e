"""What the model thinks of candidates, against sums over all that may come."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from embrl.algorithms.critics import ModelScorer
from embrl.embedding.config import EmbeddingConfig
from embrl.embedding.encoders import Norm
from embrl.embedding.model import JointEmbedding
from embrl.embedding.objectives.rewards import Outcome

KEY = jax.random.key(0)
PAIR = spaces.MultiDiscrete([3, 5])
BOX = spaces.Box(-1.0, 1.0, (2,))


def model_and_judge(
    space: spaces.Space, head: str, norm: Norm
) -> tuple[JointEmbedding, ModelScorer]:
    config = EmbeddingConfig(state_dim=4, action_dim=4, head=head, state_spread=0.5)  # type: ignore[arg-type]
    model = JointEmbedding(
        space, spaces.Discrete(5), config, objectives=("forward", "outcome"), named=1, key=KEY
    )
    model = jax.tree.map(
        lambda leaf: jnp.asarray(
            leaf + 0.3 * np.cos(np.arange(leaf.size, dtype=np.float32)).reshape(leaf.shape)
        ),
        model,
    )
    outcome = model.parts["outcome"]
    assert isinstance(outcome, Outcome)
    return model, ModelScorer(model.T, outcome, model.phi.points, norm)


@pytest.mark.parametrize(
    ("space", "head"), [(PAIR, "metric"), (PAIR, "softmax"), (PAIR, "echo"), (BOX, "metric")]
)
def test_candidates_differ_by_the_mean_outcome_of_what_is_predicted(space, head: str) -> None:
    norm = Norm(jnp.array([0.1, -0.2, 0.3, 0.0]), jnp.float32(0.4))
    model, judge = model_and_judge(space, head, norm)
    space.seed(0)
    states: Any = np.stack([space.sample() for _ in range(6)])
    states = states.astype(np.float32 if space is BOX else np.int32)
    candidates: Any = np.random.default_rng(0).integers(5, size=(6, 3)).astype(np.int32)

    @eqx.filter_jit
    def compute(model: JointEmbedding, judge: ModelScorer) -> tuple[jax.Array, jax.Array]:
        x = (model.phi(states) - norm.centre) / norm.width
        values = judge.scorer(x)(model.g(candidates), candidates)

        def alone(state: jax.Array, action: jax.Array) -> jax.Array:
            return judge.outcome.expected(model.predict(state, action))

        return values, jax.vmap(jax.vmap(alone, (None, 0)))(states, candidates)

    values, by_hand = map(np.asarray, compute(model, judge))
    assert np.ptp(by_hand, axis=1).max() > 1e-3
    np.testing.assert_allclose(values - values[:, :1], by_hand - by_hand[:, :1], atol=1e-4)


def test_all_actions_at_once_are_as_each_state_s_own_candidates() -> None:
    model, judge = model_and_judge(PAIR, "metric", Norm.none(4))
    every: Any = np.arange(5, dtype=np.int32)
    states: Any = np.array([[0, 1], [2, 4]], np.int32)
    twice: Any = np.stack([every] * 2)

    @eqx.filter_jit
    def compute(model: JointEmbedding, judge: ModelScorer) -> tuple[jax.Array, jax.Array]:
        scorer = judge.scorer(model.phi(states))
        each = jnp.stack([model.g.table] * 2)
        return scorer(model.g.table, every), scorer(each, twice)

    once, each = compute(model, judge)
    assert once.shape == (2, 5)
    np.testing.assert_allclose(once, each, rtol=1e-6)
