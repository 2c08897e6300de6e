"""Pictures of the lidar robot from above, with its beams."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from embrl.envs.lidar_robot.environment import LidarRobot, LidarState

SCALE = 40
"""Pixels per metre."""

FLOOR, SHELF, BEAM = (247, 247, 244), (70, 74, 82), (255, 176, 120)
ROBOT, LOADED, PACKAGE = (0, 92, 190), (0, 140, 90), (200, 60, 40)
TARGETS = ((120, 120, 210), (90, 170, 200), (190, 120, 190), (170, 170, 90))


def from_above(env: "LidarRobot", state: "LidarState") -> np.ndarray:
    """Return a picture of a state, uint8 `[height, width, 3]`; north is up.

    Shelves are dark; docks and chutes are discs, the right one with a ring; the package is red, and
    a robot that carries it is green.
    """
    width, height = np.asarray(env.size)
    picture = np.full((round(height * SCALE), round(width * SCALE), 3), FLOOR, np.uint8)
    shape = picture.shape[:2]
    y, x = ((np.arange(length) + 0.5) / SCALE for length in shape)
    x, y = np.meshgrid(x, y)

    def disc(at: np.ndarray, radius: float, colour: tuple[int, int, int]) -> None:
        picture[(x - at[0]) ** 2 + (y - at[1]) ** 2 < radius**2] = colour

    pose, loaded = np.asarray(state.pose), bool(state.loaded)
    angles = pose[2] + np.arange(env.config.beams) * (2 * np.pi / env.config.beams)
    ranges = np.minimum(np.asarray(env.ranges(state)), env.config.range)
    along = np.linspace(0.0, 1.0, 200)[:, None] * ranges
    columns = ((pose[0] + along * np.cos(angles)) * SCALE).astype(int).clip(0, shape[1] - 1)
    rows = ((pose[1] + along * np.sin(angles)) * SCALE).astype(int).clip(0, shape[0] - 1)
    picture[rows, columns] = BEAM
    for x0, y0, x1, y1 in np.asarray(state.shelves):
        picture[(x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)] = SHELF
    for index, target in enumerate(np.asarray(env.targets)):
        if (target == np.asarray(state.target)).all():
            disc(target, 0.3, PACKAGE)
        disc(target, 0.24, TARGETS[index])
    if not loaded:
        disc(np.asarray(state.package), 0.15, PACKAGE)
    disc(pose[:2], 0.2, LOADED if loaded else ROBOT)
    disc(pose[:2] + 0.13 * np.array([np.cos(pose[2]), np.sin(pose[2])]), 0.06, FLOOR)
    return picture[::-1].copy()
