"""What a policy that is taken over begins with."""

import dataclasses
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embrl.algorithms import ALGORITHMS
from embrl.algorithms.base import EmbeddedActions, PolicyConfig
from embrl.config.defaults import default_config
from embrl.config.run import TransferConfig
from embrl.core.errors import EmbrlError
from embrl.decoding.base import DecoderConfig, build
from embrl.embedding.config import EmbeddingConfig
from embrl.embedding.model import JointEmbedding
from embrl.embedding.pretraining import FitState
from embrl.embedding.saved import EmbeddingSettings
from embrl.envs import configure
from embrl.envs.environment import Environment
from embrl.training.trainer import Trainer
from embrl.training.transfer import _check_fits, with_kept_parts, with_min_std


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


def embedding(env: Environment, seed: int, **settings: Any) -> JointEmbedding:
    config = EmbeddingConfig(state_dim=5, action_dim=2, **settings)
    return JointEmbedding(env.observation_space, env.action_space, config, key=jax.random.key(seed))


def kept_parts(keep: Any, model: JointEmbedding, kept: JointEmbedding) -> JointEmbedding:
    return with_kept_parts(TransferConfig(run="x", keep=keep), FitState(model, ()), kept).model


@pytest.mark.parametrize("layers", ["flat", "small", "residual"])
def test_an_embedding_of_grey_images_answers_to_colours_as_their_luminance(layers):
    env = configure("traffic_lights").build()
    grey = embedding(env, 0, image_layers=layers, grey_scale=True, state_spread=1.0)
    colours = kept_parts("states", embedding(env, 1, image_layers=layers), grey)
    images = jax.random.randint(jax.random.key(2), (6, 12, 12, 3), 0, 256).astype(jnp.uint8)
    # Grey images round the luminance to whole levels.
    np.testing.assert_allclose(colours.phi(images), grey.phi(images), atol=0.01)
    same = jnp.repeat(images[..., :1], 3, axis=-1)
    np.testing.assert_allclose(colours.phi(same), grey.phi(same), atol=1e-5)
    swapped = images[..., ::-1]
    assert jnp.abs(colours.phi(swapped) - colours.phi(images)).max() > 0.02


@pytest.mark.parametrize(
    ("keep", "theirs", "mine"), [("both", True, False), ("states", False, True)]
)
def test_only_phi_is_taken_from_grey_to_colours(keep, theirs, mine):
    env = configure("traffic_lights")
    config = default_config("traffic_lights", env, "jsae", "ppo", "tuned")

    def with_grey(grey: bool) -> Any:
        section = dataclasses.replace(config.embedding, grey_scale=grey)
        return dataclasses.replace(
            config, embedding=section, transfer=TransferConfig(run="x", keep=keep)
        )

    built = env.build()
    trainer = Trainer.of(with_grey(mine), built)
    with pytest.raises(EmbrlError, match=r"embedding\.grey_scale"):
        _check_fits(trainer, Path("x"), built, "jsae", EmbeddingSettings.of(with_grey(theirs)))


def test_actions_are_taken_over_where_states_have_other_numbers():
    small, large = (configure(name).build() for name in ("mountain_car", "acrobot"))
    mine, theirs = embedding(small, 0), embedding(large, 1)
    model = kept_parts("actions", mine, theirs)
    np.testing.assert_array_equal(model.g.table, theirs.g.table)
    observation = jnp.zeros((3, 2))  # position and speed
    np.testing.assert_array_equal(model.raw(observation), mine.raw(observation))
    np.testing.assert_array_equal(model.phi(observation), mine.phi(observation))
