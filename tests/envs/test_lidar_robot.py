"""The lidar robot: what its beams meet, its jobs, its pictures, and phi of its ring of beams."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embrl.core.errors import EmbrlError
from embrl.core.layers import first_layer
from embrl.core.portable import layer_step
from embrl.core.products import Ring
from embrl.deploy.onnx import Graph
from embrl.embedding.encoders import StateEncoder
from embrl.envs import configure
from embrl.envs.lidar_robot.environment import LidarState
from embrl.envs.lidar_robot.geometry import cast_rays
from embrl.envs.lidar_robot.halls import hall_of, rectangles
from embrl.envs.lidar_robot.picture import LOADED, SHELF

PLAIN = {"noise": 0.0, "dropped": 0.0, "jitter": 0.0}
KEY = jax.random.key(0)
SORTING: Any = configure("lidar_robot", job="sorting", **PLAIN).build()


def at(x: float, y: float, heading: float = 0.0, loaded: bool = False, bay: int = 0) -> LidarState:
    return LidarState(
        SORTING.shelves,
        jnp.array([x, y, heading]),
        jnp.bool_(loaded),
        SORTING.packages[bay],
        SORTING.targets[bay],
        jnp.int32(0),
    )


def command(speed: float, turn: float) -> jnp.ndarray:
    return jnp.abs(SORTING.commands - jnp.array([speed, turn])).sum(1).argmin()


def test_rays_meet_the_nearest_of_shelves_and_walls():
    shelves = jnp.array([[2.0, 0.5, 3.0, 1.5], [2.5, -1.0, 3.0, 5.0], [0.2, 2.0, 0.4, 3.0]])
    angles = jnp.array([0.0, jnp.pi / 2, jnp.pi, -jnp.pi / 2, jnp.pi / 4])
    found = cast_rays(jnp.ones(2), angles, jnp.array([4.0, 6.0]), shelves)
    assert np.allclose(found, [1.0, 5.0, 1.0, 1.0, 1.5 * 2**0.5], atol=1e-4)


def test_the_job_decides_what_is_paid_and_shown():
    step = jax.jit(lambda *given: SORTING.step(*given))
    bay, chute, wrong = SORTING.packages[0], SORTING.targets[0], SORTING.targets[1]
    _, taken = step(KEY, at(*bay), command(0.0, 0.1))
    assert float(taken.reward) == pytest.approx(1.0, abs=0.02)
    assert not bool(taken.terminated)
    back = slice(29, 36)  # a package hides what is behind the robot
    assert (np.asarray(taken.observation)[back] == 0).all()
    assert (np.asarray(SORTING._observe(KEY, at(*bay)))[back] > 0).all()
    rewards = []
    for place in (chute, wrong):
        _, left = step(KEY, at(*place, loaded=True), command(0.0, 0.1))
        assert bool(left.terminated)
        rewards.append(float(left.reward))
    assert rewards == pytest.approx([1.0, -1.0], abs=0.02)
    # The direction stays that of the bay, from which the colour has to be told.
    away = np.asarray(SORTING._observe(KEY, at(float(bay[0]), 3.0, jnp.pi / 2, loaded=True)))
    assert np.allclose(away[-2:], [-1.0, 0.0], atol=1e-3)


def test_a_collision_costs_and_leaves_the_robot_where_it_is():
    x0, y0, *_ = map(float, SORTING.shelves[0])
    before = at(x0 - 0.25, y0 + 0.2)
    after, seen = jax.jit(lambda *given: SORTING.step(*given))(KEY, before, command(1.0, 0.1))
    assert float(seen.reward) == pytest.approx(-SORTING.config.collision)
    assert np.allclose(after.pose[:2], before.pose[:2])


def test_dropped_beams_read_the_whole_range_and_worlds_differ():
    env: Any = configure("lidar_robot", dropped=0.5, noise=0.0, range=20.0).build()
    states, seen = jax.vmap(env.reset)(jax.random.split(KEY, 16))
    assert 0.4 < float((seen[:, :-2] == 1.0).mean()) < 0.6
    assert len(np.unique(np.asarray(states.shelves), axis=0)) == 16


def test_pictures_become_shelves(tmp_path):
    light = np.full((30, 40), 255, np.uint8)
    light[10:14, 8:20] = 0
    light[20:24, 22:34] = 0
    np.save(tmp_path / "hall.npy", light)
    hall = hall_of("rows", str(tmp_path / "hall.npy"), 0.2)
    assert configure("lidar_robot", picture=str(tmp_path / "hall.npy")).build().data_source
    low = np.full((7, 40), 255, np.uint8)
    low[3, 18:22] = 0
    np.save(tmp_path / "low.npy", low)
    picture = str(tmp_path / "low.npy")
    robot: Any = configure("lidar_robot", job="sorting", picture=picture, jitter=0.0)
    with pytest.raises(EmbrlError, match=r"bays and chutes .* got"):
        dataclasses.replace(robot, colours=4).build()
    assert hall.size.tolist() == pytest.approx([8, 6])
    # From the bottom up.
    assert hall.shelves.ravel().tolist() == pytest.approx([4.4, 1.2, 6.8, 2.0, 1.6, 3.2, 4, 4])
    corner = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 1]], bool)
    assert len(rectangles(corner)) == 3
    assert rectangles(corner)[:, 2:].tolist() == [[2, 1], [1, 3], [3, 3]]


def test_the_robot_is_drawn_from_above():
    picture = SORTING.render(at(4.0, 3.0, loaded=True))
    assert (picture.shape, picture.dtype) == ((240, 320, 3), np.uint8)
    assert picture[120, 156].tolist() == list(LOADED)
    x, y = (int(40 * part) for part in SORTING.shelves[0, :2])
    assert picture[239 - y - 4, x + 4].tolist() == list(SHELF)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"beams": 8}, r"env.beams .* 64 to 256, got 8"),
        ({"tau": 0.0}, r"env.tau .* got 0.0"),
        ({"jitter": 0.9}, r"env.jitter .* got 0.9"),
        ({"picture": "none.npy"}, r"env.picture .* got none.npy"),
    ],
)
def test_settings_out_of_range_are_one_line(settings, said):
    with pytest.raises(EmbrlError, match=said):
        configure("lidar_robot", **settings).build()


def test_a_ring_has_no_seam_and_leaves_jax():
    layer: Any = first_layer(Ring(64, 2), 3, key=KEY)
    seen = np.random.default_rng(0).normal(size=(5, 66)).astype(np.float32)
    assert np.allclose(layer_step(layer)(seen), layer(jnp.asarray(seen)), atol=1e-5)
    graph = Graph()
    found = layer_step(layer)(graph.input("seen", "float32", (66,)))
    model = graph.finished(found, "found", "float32", (3,), {})
    onnx = pytest.importorskip("onnxruntime").InferenceSession(model)
    assert np.allclose(onnx.run(None, {"seen": seen})[0], layer(jnp.asarray(seen)), atol=1e-5)
    around = layer.convolutions[0]
    turned = np.asarray(around(jnp.roll(jnp.asarray(seen[:, :64, None]), 2, axis=1)))
    plain = np.asarray(around(jnp.asarray(seen[:, :64, None])))
    assert np.allclose(turned, np.roll(plain, 1, axis=1), atol=1e-5)
    assert not np.allclose(turned, plain)


def test_a_ring_must_fit_the_observation():
    with pytest.raises(EmbrlError, match=r"embedding.ring .* at most 66.* got 80"):
        StateEncoder(SORTING.observation_space, 4, ring=80, key=KEY)
