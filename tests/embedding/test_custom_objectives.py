"""Objectives that a user passes in: functions, and classes with parameters."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from jaxtyping import Array, Bool
from worlds import (
    alike_lie_together,
    anywhere,
    batch,
    drawing,
    in_lane,
    leaves,
    ring,
    ring_model,
    trained,
)

from embrl import envs
from embrl.config.defaults import default_config
from embrl.core.errors import EmbrlError
from embrl.core.nn import MLP
from embrl.core.types import Key, Transition
from embrl.data.replay import draw_segments
from embrl.embedding.config import EmbeddingConfig
from embrl.embedding.model import JointEmbedding
from embrl.embedding.objectives import EmbeddingShape, Objective
from embrl.embedding.pretraining import loss
from embrl.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("quick")

KEY = jax.random.key(0)
CONFIG = EmbeddingConfig(state_dim=3, action_dim=2, transition_hidden=(16,), head_hidden=(16,))


def togetherness(model: JointEmbedding, batch: Transition) -> jax.Array:
    """Actions shall lie at (.5, .5)."""
    return ((model.g(batch.action) - 0.5) ** 2).sum(-1).mean()


def test_an_own_function_is_an_objective() -> None:
    model = ring_model(CONFIG, KEY, objectives=("near",), custom_objectives={"near": togetherness})
    e = np.asarray(model.g.table)
    value = eqx.filter_jit(loss)(model, batch(ring()), {"near": 3.0})
    assert value == pytest.approx(3 * ((e - 0.5) ** 2).sum(-1).mean(), rel=1e-5)
    after, losses = trained(model, drawing(ring(), 48), {"near": 3.0}, 300)
    assert losses[-1] < 1e-3
    np.testing.assert_allclose(after.g.table, np.full((6, 2), 0.5), atol=0.02)
    np.testing.assert_array_equal(leaves(after.phi)[0], leaves(model.phi)[0])


def test_an_own_function_stands_beside_known_objectives() -> None:
    weights = {"forward": 1.0, "near": 0.5}
    model = ring_model(
        CONFIG, KEY, objectives=tuple(weights), custom_objectives={"near": togetherness}
    )
    together = float(eqx.filter_jit(loss)(model, batch(ring()), weights))
    parts = [float(eqx.filter_jit(loss)(model, batch(ring()), {name: 1.0})) for name in weights]
    assert together == pytest.approx(parts[0] + 0.5 * parts[1], rel=1e-5)


@pytest.mark.parametrize(
    "own", [3, dict, "near", (togetherness,)], ids=["number", "class", "text", "tuple"]
)
def test_what_is_no_objective_is_refused(own: Any) -> None:
    with pytest.raises(EmbrlError, match=r"^objective near must be a function .* got ") as error:
        ring_model(CONFIG, KEY, objectives=("near",), custom_objectives={"near": own})
    assert "\n" not in str(error.value)


def test_a_loss_for_each_transition_is_refused() -> None:
    def each(model: JointEmbedding, batch: Transition) -> jax.Array:
        return (model.g(batch.action) ** 2).sum(-1)

    model = ring_model(CONFIG, KEY, objectives=("each",), custom_objectives={"each": each})
    with pytest.raises(EmbrlError, match=r"objective each must return one number.* \[48\]"):
        loss(model, batch(ring()), {"each": 1.0})


class Effect(Objective):
    """What an action does shall be read off its embedding, by a network of its own."""

    head: MLP

    def __init__(self, shape: EmbeddingShape, config: EmbeddingConfig, *, key: Key) -> None:
        self.head = MLP(shape.d, config.head_hidden, 1, key=key)

    def __call__(self, model: JointEmbedding, batch: Transition) -> Array:
        change = (batch.next_observation - batch.observation).astype(jnp.float32)
        return ((self.head(model.g(batch.action))[..., 0] - change) ** 2).mean()


class Drift(Objective):
    """States shall lie where they lay some steps before."""

    segments: ClassVar[bool] = True

    def __init__(self, shape: EmbeddingShape, config: EmbeddingConfig, *, key: Key) -> None:
        del shape, config, key

    def __call__(
        self, model: JointEmbedding, batch: Transition, mask: Bool[Array, "H N"] | None = None
    ) -> Array:
        assert mask is not None
        x = model.phi(batch.observation)
        away = ((x[1:] - x[:-1]) ** 2).sum(-1) * mask[1:]
        return away.sum() / jnp.maximum(mask[1:].sum(dtype=jnp.int32), 1)


def test_an_own_class_brings_parameters_that_are_learned() -> None:
    straight = ring(np.arange(2, 6))  # where no step goes around
    model = ring_model(CONFIG, KEY, objectives=("effect",), custom_objectives={"effect": Effect})
    assert isinstance(model.parts["effect"], Effect)
    after, losses = trained(model, drawing(straight, 24), {"effect": 1.0}, 300)
    assert losses[0] > 0.3
    assert losses[-1] < 1e-3
    assert alike_lie_together(after.g.table)
    for one, two in zip(leaves(model.parts), leaves(after.parts), strict=True):
        assert not np.array_equal(one, two)


def horizon(objectives: dict[str, float], custom: dict[str, Any]) -> int:
    """Steps of the segments that a trainer with these objectives draws."""
    env = envs.configure("gridworld")
    config = dataclasses.replace(
        default_config("gridworld", env, "jsae", "vpg", "tuned"), objectives=objectives
    )
    return Trainer.of(config, env.build(), custom).schedule.horizon


def test_segments_are_long_only_for_objectives_that_look_ahead() -> None:
    assert horizon({"forward": 1.0, "effect": 1.0}, {"effect": Effect}) == 1
    assert horizon({"forward": 1.0, "latent": 1.0}, {}) == 5


def test_an_own_class_may_look_at_segments() -> None:
    model = ring_model(CONFIG, KEY, objectives=("drift",), custom_objectives={"drift": Drift})
    assert horizon({"drift": 1.0}, {"drift": Drift}) == 5
    drawn = draw_segments(in_lane(ring()), KEY, 16, 3)
    x = np.asarray(model.phi(drawn.steps.observation))
    assert drawn.mask.all()
    expected = ((x[1:] - x[:-1]) ** 2).sum(-1).mean()
    value = eqx.filter_jit(loss)(model, drawn, {"drift": 1.0})
    assert value == pytest.approx(expected, rel=1e-5)


def test_an_own_objective_goes_before_one_of_ours() -> None:
    model = ring_model(
        CONFIG, KEY, objectives=("reward",), custom_objectives={"reward": togetherness}
    )
    assert leaves(model.parts) == []
    value = eqx.filter_jit(loss)(model, batch(ring()), {"reward": 1.0})
    assert value == pytest.approx(float(togetherness(model, ring())), rel=1e-5)


def test_the_objectives_in_the_docs_work() -> None:
    page = Path(__file__).parents[2] / "docs" / "methods" / "README.md"
    code = page.read_text().split("```python")[2].split("```")[0]
    code, call = code.split("embedding = embrl.fit(")
    names: dict[str, Any] = {}
    exec(code, names)
    own = {"small": names["small"], "effect": names["Effect"]}
    weights = {"forward": 1.0, "small": 0.01, "effect": 1.0}
    for text in (str(weights), '{"small": small, "effect": Effect}'):
        assert text.replace("'", '"') in call
    box = spaces.Box(0.0, 1.0, (2,))
    model = JointEmbedding(
        box, spaces.Discrete(4), CONFIG, objectives=tuple(weights), custom_objectives=own, key=KEY
    )
    _, losses = trained(model, drawing(anywhere(box), 16), weights, 20)
    assert losses[-1] < losses[0]
