"""What the model thinks of candidates, against sums over all that may come."""

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
        lambda leaf: leaf + 0.3 * jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape), model
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
    states = jnp.stack([jnp.asarray(space.sample()) for _ in range(6)])
    candidates = jnp.asarray(np.random.default_rng(0).integers(5, size=(6, 3)), jnp.int32)
    x = (model.phi(states) - norm.centre) / norm.width
    values = eqx.filter_jit(lambda judge, x: judge.scorer(x)(model.g(candidates), candidates))(
        judge, x
    )
    outcome = judge.outcome
    by_hand = np.array(
        [
            [float(outcome.expected(model.predict(state, action))) for action in candidates[row]]
            for row, state in enumerate(states)
        ]
    )
    assert np.ptp(by_hand, axis=1).max() > 1e-3
    np.testing.assert_allclose(values - values[:, :1], by_hand - by_hand[:, :1], atol=1e-4)


def test_all_actions_at_once_are_as_each_state_s_own_candidates() -> None:
    model, judge = model_and_judge(PAIR, "metric", Norm.none(4))
    x = model.phi(jnp.array([[0, 1], [2, 4]]))
    every = jnp.arange(5, dtype=jnp.int32)
    once = judge.scorer(x)(model.g.table, every)
    each = judge.scorer(x)(jnp.stack([model.g.table] * 2), jnp.stack([every] * 2))
    assert once.shape == (2, 5)
    np.testing.assert_allclose(once, each, rtol=1e-6)
