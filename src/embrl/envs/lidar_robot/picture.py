"""Pictures of the lidar robot from above, with its beams."""

from typing import NamedTuple

import numpy as np

SCALE = 40
"""Pixels per metre."""

FLOOR, SHELF, BEAM = (247, 247, 244), (70, 74, 82), (255, 176, 120)
ROBOT, LOADED, PACKAGE = (0, 92, 190), (0, 140, 90), (200, 60, 40)
TARGETS = ((120, 120, 210), (90, 170, 200), (190, 120, 190), (170, 170, 90))


class Scene(NamedTuple):
    """Parts of a picture of a state, in metres and radians."""

    size: np.ndarray
    """Width and height of the hall, `[2]`."""
    shelves: np.ndarray
    """x_min y_min x_max y_max of each, `[R, 4]`."""
    pose: np.ndarray
    """x, y and heading, `[3]`."""
    ranges: np.ndarray
    """Length of each beam, `[B]`."""
    targets: np.ndarray
    """The dock, or all chutes, `[K, 2]`."""
    target: np.ndarray
    """The one where the package belongs, `[2]`."""
    package: np.ndarray | None
    """Where the package stands, `[2]`; None: on the robot."""


def from_above(scene: Scene) -> np.ndarray:
    """Return a picture of a scene, uint8 `[height, width, 3]`; north is up.

    Shelves are dark; docks and chutes are discs, the right one with a ring; the package is red, and
    a robot that carries it is green.
    """
    width, height = scene.size
    picture = np.full((round(height * SCALE), round(width * SCALE), 3), FLOOR, np.uint8)
    shape = picture.shape[:2]
    y, x = ((np.arange(length) + 0.5) / SCALE for length in shape)
    x, y = np.meshgrid(x, y)

    def disc(at: np.ndarray, radius: float, colour: tuple[int, int, int]) -> None:
        picture[(x - at[0]) ** 2 + (y - at[1]) ** 2 < radius**2] = colour

    pose, beams = scene.pose, len(scene.ranges)
    angles = pose[2] + np.arange(beams) * (2 * np.pi / beams)
    along = np.linspace(0.0, 1.0, 200)[:, None] * scene.ranges
    columns = ((pose[0] + along * np.cos(angles)) * SCALE).astype(int).clip(0, shape[1] - 1)
    rows = ((pose[1] + along * np.sin(angles)) * SCALE).astype(int).clip(0, shape[0] - 1)
    picture[rows, columns] = BEAM
    for x0, y0, x1, y1 in scene.shelves:
        picture[(x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)] = SHELF
    for index, target in enumerate(scene.targets):
        if (target == scene.target).all():
            disc(target, 0.3, PACKAGE)
        disc(target, 0.24, TARGETS[index])
    if scene.package is not None:
        disc(scene.package, 0.15, PACKAGE)
    disc(pose[:2], 0.2, LOADED if scene.package is None else ROBOT)
    disc(pose[:2] + 0.13 * np.array([np.cos(pose[2]), np.sin(pose[2])]), 0.06, FLOOR)
    return picture[::-1].copy()
