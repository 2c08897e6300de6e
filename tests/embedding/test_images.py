"""Observations that are images: conversion, layers, prediction, portable forms, training."""

from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

import embrl
from embrl.config.defaults import default_config
from embrl.config.settings_by_name import replaced, settings
from embrl.config.used_settings import unused
from embrl.core.convolutions import Convolution, ImageLinear
from embrl.core.errors import EmbrlError
from embrl.core.images import FILTERS, Image, image_of
from embrl.core.portable import layer_step
from embrl.core.spaces import check_observation, difference, from_json, state_count, to_json
from embrl.core.types import Transition
from embrl.data.replay import Segments
from embrl.embedding.encoders import RawStates
from embrl.embedding.pretraining import shifted
from embrl.embedding.transition import (
    ImagePrediction,
    block_means,
    observation_loss,
)
from embrl.envs.gym.flat_observations import Observations
from embrl.envs.traffic_lights import TrafficLightsConfig
from embrl.portable.steps import Chain
from embrl.training.trainer import Trainer

BYTES = spaces.Box(0, 255, (16, 18, 3), np.uint8)
FLAGS = spaces.Box(0, 1, (8, 9, 2), np.uint8)


@pytest.mark.parametrize(
    ("space", "shape", "levels"),
    [
        (BYTES, (16, 18, 3), 255),
        (spaces.Box(0, 255, (3, 16, 18), np.uint8), (16, 18, 3), 255),
        (spaces.Box(0, 255, (4, 16, 18, 3), np.uint8), (16, 18, 12), 255),
        (spaces.Box(0, 255, (84, 84), np.uint8), (84, 84, 1), 255),
        (spaces.Box(0.0, 1.0, (10, 10, 4)), (10, 10, 4), 255),
        (FLAGS, (8, 9, 2), 1),
    ],
)
def test_images_are_bytes_with_channels_last(space, shape, levels):
    read = Observations(space)
    assert image_of(read.space) == Image(shape[0], shape[1], shape[2], levels)
    space.seed(0)
    one = read(space.sample())
    assert (one.dtype, one.shape) == (np.uint8, shape)
    assert read(np.stack([space.sample()] * 2)).shape == (2, *shape)
    assert read.fault(one[None]) is None
    assert from_json(to_json(read.space), "here") == read.space
    assert state_count(read.space) is None


def test_rows_and_columns_stay_and_frames_become_channels():
    space = spaces.Box(0, 255, (2, 16, 18, 3), np.uint8)
    value = np.arange(2 * 16 * 18 * 3).reshape(space.shape) % 256
    image = Observations(space)(value)
    assert image[5, 7, 4] == value[1, 5, 7, 1]
    floats = spaces.Box(0.0, 1.0, (9, 8, 1))
    assert Observations(floats)(np.full((9, 8, 1), 0.5))[0, 0, 0] == 128


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(0, 10, (16, 16), np.uint8),
        spaces.Box(0, 255, (7, 7, 3), np.uint8),
        spaces.Box(-1.0, 1.0, (16, 16, 3)),
        spaces.Box(0.0, 1.0, (10, 10)),
    ],
    ids=str,
)
def test_boards_and_matrices_are_numbers(space):
    assert image_of(Observations(space).space) is None


def test_wrong_images_are_refused():
    read = Observations(spaces.Box(0.0, 1.0, (9, 8, 1)))
    with pytest.raises(EmbrlError, match=r"pixels of .* must be from 0 to 1, got 2"):
        read(np.full((9, 8, 1), 2.0))
    with pytest.raises(EmbrlError, match=r"pixels of .* must be from 0 to 1, got nan"):
        read(np.full((9, 8, 1), np.nan))
    board = spaces.Box(0, 1, (8, 8, 2), np.uint8)  # beside others, flags are numbers
    assert image_of(Observations(spaces.Dict(a=board, b=spaces.Discrete(2))).space) is None
    with pytest.raises(EmbrlError, match="an image must be all of an observation"):
        Observations(spaces.Dict(image=BYTES, speed=spaces.Box(0, 1, (1,))))
    with pytest.raises(EmbrlError, match=r"image_layers must be small.* 16 x 18, got nature"):
        image_of(BYTES, "nature")
    with pytest.raises(EmbrlError, match=r"images of shape \[16, 18, 3\]"):
        check_observation(BYTES, np.zeros((16, 18)))
    with pytest.raises(EmbrlError, match="pixels must be from 0 to 1, got 0 to 2"):
        check_observation(FLAGS, np.full((8, 9, 2), 2) * (np.arange(2) == 1))
    assert difference(BYTES, FLAGS)


@pytest.mark.parametrize(("layers", "convolved"), [("flat", False), ("small", True)])
def test_without_an_embedding_the_policy_reads_images_with_the_same_layers(layers, convolved):
    config = default_config("traffic_lights", TrafficLightsConfig(), "none", "ppo")
    config = replaced(config, {"embedding.image_layers": layers})
    assert "embedding.image_layers" not in unused(config)
    assert "embedding.image_layers" in settings(config)  # what sweeps may vary
    env = config.env.build()
    trainer = Trainer(config, env.observation_space, env.action_space)
    learner = trainer.new_agent(jax.random.key(0), None).learner
    kinds = jax.tree.leaves(learner, is_leaf=lambda part: isinstance(part, Convolution))
    assert any(isinstance(part, Convolution) for part in kinds) is convolved


def test_a_convolution_by_hand():
    layer = Convolution(1, 1, 3, 1, False, key=jax.random.key(0))
    weight, x = np.asarray(layer.weight)[..., 0, 0], np.random.default_rng(0).normal(size=(4, 5))
    expected = [[(x[i : i + 3, j : j + 3] * weight).sum() for j in range(3)] for i in range(2)]
    found = layer(jnp.asarray(x, jnp.float32)[None, ..., None])[0, ..., 0]
    assert np.allclose(found, np.maximum(expected, 0.0), atol=1e-5)


@pytest.mark.parametrize("layers", list(FILTERS))
def test_layers_answer_alike_without_jax(layers):
    side = 36 if layers == "nature" else 9
    image = Image(side, side + 2, 2, 255, layers)
    layer = ImageLinear(image, 5, key=jax.random.key(0))
    pixels = np.random.default_rng(0).uniform(size=(2, 3, image.pixels)).astype(np.float32)
    expected = np.asarray(layer(jnp.asarray(pixels)))
    assert expected.shape == (2, 3, 5)
    assert np.allclose(layer_step(layer)(pixels), expected, atol=1e-4)
    torch = pytest.importorskip("torch")
    from embrl.deploy.torch import StepModule

    module = StepModule(Chain((layer_step(layer),)))
    assert np.allclose(module(torch.from_numpy(pixels)).numpy(), expected, atol=1e-4)


def test_many_images_are_read_as_each_alone():
    layer = ImageLinear(Image(6, 5, 2, 255, "small"), 3, key=jax.random.key(0))
    pixels = jnp.asarray(np.random.default_rng(0).uniform(size=(37, 60)), jnp.float32)
    assert np.allclose(layer(pixels), jnp.stack([layer(one) for one in pixels]), atol=1e-5)

    def loss(layer: ImageLinear, pixels: jax.Array) -> jax.Array:
        return (layer(pixels) ** 2).sum()

    together = jax.grad(loss)(layer, pixels)
    alone = jax.vmap(jax.grad(loss), (None, 0))(layer, pixels)
    for found, each in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
        assert np.allclose(found, each.sum(0), rtol=1e-4, atol=1e-4)


def test_losses_by_hand():
    flags = Image(8, 8, 1, 1)
    outputs = jnp.zeros((2, 64)).at[0, 0].set(2.0)
    target = jnp.zeros((2, 64)).at[0, 0].set(1.0)
    expected = [63 * np.log(2) + np.log1p(np.exp(-2.0)), 64 * np.log(2)]
    assert np.allclose(observation_loss(ImagePrediction(outputs, flags), target), expected)
    grey = ImagePrediction(jnp.full((1, 64), 0.5), Image(8, 8, 1))
    assert np.allclose(observation_loss(grey, jnp.ones((1, 64))), 0.25)


def test_of_large_images_means_of_blocks_are_predicted():
    image = Image(84, 84, 4)
    assert (image.block, image.predicted) == (3, 28 * 28 * 4)
    pixels = np.random.default_rng(0).uniform(size=image.shape).astype(np.float32)
    means = np.asarray(block_means(image, jnp.asarray(pixels.ravel()))).reshape(28, 28, 4)
    assert means[1, 2, 3] == pytest.approx(pixels[3:6, 6:9, 3].mean(), abs=1e-6)


def test_pixels_are_from_0_to_1():
    raw = RawStates(BYTES, "small")
    seen = raw(jnp.full((2, 16, 18, 3), 255, jnp.uint8))
    assert seen.shape == (2, 16 * 18 * 3)
    assert float(seen.max()) == 1.0


def test_a_shift_is_the_same_before_and_after_a_step():
    image = jnp.arange(64, dtype=jnp.uint8).reshape(1, 1, 8, 8, 1)
    batch = jnp.broadcast_to(image, (2, 6, 8, 8, 1))
    zeros = jnp.zeros((2, 6))
    steps = Transition(batch, zeros.astype(int), zeros, batch, zeros > 0, zeros > 0)
    found = shifted(Segments(steps, zeros == 0), jax.random.key(0), 2).steps
    assert (found.observation == found.next_observation).all()
    assert (found.observation[0] == found.observation[1]).all()
    corners = np.asarray(found.observation[0, :, 3, 3, 0])
    assert len(set(corners.tolist())) > 1
    assert set(corners.tolist()) <= {8 * i + j for i in range(1, 6) for j in range(1, 6)}


class Lamp(gymnasium.Env):
    """A lamp in one of nine places of an image; naming its place is worth 1."""

    observation_space = spaces.Box(0, 255, (1, 18, 18), np.uint8)
    action_space = spaces.Discrete(9)

    def _image(self) -> np.ndarray:
        image = np.zeros((1, 18, 18), np.uint8)
        row, column = divmod(self.place, 3)
        image[0, 6 * row : 6 * row + 6, 6 * column : 6 * column + 6] = 255
        return image

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps, self.place = 0, int(self.np_random.integers(9))
        return self._image(), {}

    def step(self, action: Any) -> Any:
        reward = float(action == self.place)
        self.steps, self.place = self.steps + 1, int(self.np_random.integers(9))
        return self._image(), reward, False, self.steps >= 8, {}


def test_a_policy_of_images_trains_exports_and_wraps(tmp_path):
    run = embrl.train(
        Lamp,
        total_timesteps=1_500,
        out=tmp_path / "run",
        pretrain={"timesteps": 600, "gradient_steps": 30},
        rollout={"steps_per_update": 512, "num_envs": 8, "buffer_size": 2_000},
        evaluation={"every": 512, "episodes": 4, "final_episodes": 4},
        embedding={"random_shift": 1},
        policy={"hidden": (32,)},
    )
    assert np.isfinite(run.summary["final_return_mean"])
    policy, env = run.policy(environment=Lamp), Lamp()
    observation, _ = env.reset(seed=0)
    action = policy.act(observation, deterministic=True)
    exported = embrl.load_policy(embrl.export(tmp_path / "run", environment=Lamp))
    assert policy.host is not None
    image = policy.host.observations(observation)
    assert exported.act(image) == action
    import onnxruntime

    session = onnxruntime.InferenceSession(tmp_path / "run" / "policy-0" / "policy.onnx")
    assert session.run(None, {"observation": image[None]})[0] == [action]
    wrapped = embrl.wrap(env, run.embedding())
    x, _ = wrapped.reset(seed=0)
    assert x.shape == (run.config.embedding.state_dim,)
