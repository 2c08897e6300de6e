"""Traffic lights: what is seen, what it is worth, and what grey leaves of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embrl.core.types import Transition
from embrl.embedding.config import EmbeddingConfig
from embrl.embedding.encoders import RawStates
from embrl.embedding.model import JointEmbedding
from embrl.embedding.portable import raw_steps
from embrl.envs.traffic_lights import LINE, TrafficLightsConfig, TrafficState
from embrl.portable.steps import Chain

ENV = TrafficLightsConfig().build()


def at(cell: int, green: bool, steps: int = 0) -> TrafficState:
    return TrafficState(jnp.int32(cell), jnp.bool_(green), jnp.int32(steps))


def test_the_lamp_decides_what_passing_the_line_is_worth():
    key = jax.random.key(0)
    _, passed = ENV.step(key, at(LINE - 1, True), jnp.int32(1))
    _, crashed = ENV.step(key, at(LINE - 1, False), jnp.int32(3))
    _, waited = ENV.step(key, at(LINE - 1, False), jnp.int32(0))
    assert [float(s.reward) for s in (passed, crashed, waited)] == [1, -5, 0]
    assert [bool(s.terminated) for s in (passed, crashed, waited)] == [False, True, False]
    _, last = ENV.step(key, at(0, True, 59), jnp.int32(0))
    assert bool(last.truncated)


def test_images_tell_all_and_grey_ones_hide_the_lamp():
    images = jnp.stack(
        [ENV._observe(at(cell, green)) for cell in (0, 7, 11) for green in (False, True)]
    )
    truth = ENV.state_coordinates(images)
    assert truth.tolist() == [[0, 0], [0, 1], [7, 0], [7, 1], [11, 0], [11, 1]]
    grey = RawStates(ENV.observation_space, grey=True)
    seen = np.asarray(grey(images))
    assert seen.shape == (6, 144)
    assert (seen[0::2] == seen[1::2]).all()
    assert (seen[0] != seen[2]).any()
    assert np.allclose(Chain(raw_steps(grey))(np.asarray(images)), seen, atol=1e-6)


def test_an_embedding_of_grey_images_predicts_grey_ones():
    model = JointEmbedding(
        ENV.observation_space,
        ENV.action_space,
        EmbeddingConfig(grey_scale=True),
        objectives=("forward", "state"),
        key=jax.random.key(0),
    )
    images = jnp.stack([ENV._observe(at(3, green)) for green in (False, True)])
    zeros = jnp.zeros(2)
    batch = Transition(images, zeros.astype(int), zeros, images, zeros > 0, zeros > 0)
    assert all(np.isfinite(float(part(model, batch))) for part in model.parts.values())
    x = np.asarray(model.phi(images))
    assert np.array_equal(x[0], x[1])


def test_the_optimum_is_that_of_play_by_it():
    """Wait before a red line, else drive as fast as possible: nearly optimal, and never more."""

    def play(key):
        def step(carry, key):
            state, total, going = carry
            red = (state.cell < LINE) & (state.cell + 3 >= LINE) & ~state.green
            action = jnp.where(red, jnp.clip(LINE - 1 - state.cell, 0, 3), 3)
            state, after = ENV.step(key, state, action)
            return (state, total + going * after.reward, going & ~after.terminated), None

        start, _ = ENV.reset(key)
        keys = jax.random.split(key, 60)
        return jax.lax.scan(step, (start, jnp.float32(0), jnp.bool_(True)), keys)[0][1]

    mean = float(jax.jit(jax.vmap(play))(jax.random.split(jax.random.key(0), 2000)).mean())
    assert 0.93 * ENV.optimum() < mean < 1.01 * ENV.optimum()
    assert ENV.optimum(colour_blind=True) == pytest.approx(0.0)
