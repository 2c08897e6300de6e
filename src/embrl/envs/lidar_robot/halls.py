"""Halls of the lidar robot: rectangles of shelves, by layout or from a picture, and free places."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from embrl.core.errors import EmbrlError, require

WIDTH, HEIGHT = 8.0, 6.0
"""Size of a hall in metres; of a hall from a picture, the height follows from the picture's."""

CELL = 0.2
"""Side of the squares in metres whose centres are tried as places."""

MAX_SIDE = 64
"""Cells of a picture along its longer side; larger pictures are made coarser."""

MAX_SHELVES = 64
"""Rectangles of a hall at most: each is compared with each beam in each step."""

NEAR_SHELF = 0.45
"""Distance in metres from a shelf, beyond the robot's own clearance, within which it is served."""

LAYOUTS: dict[str, tuple[tuple[float, float, float, float], ...]] = {
    "rows": (
        (1.2, 1.9, 3.4, 2.4),
        (4.6, 1.9, 6.8, 2.4),
        (1.2, 3.6, 3.4, 4.1),
        (4.6, 3.6, 6.8, 4.1),
    ),
    "aisles": (
        (1.6, 1.6, 2.1, 4.4),
        (3.75, 1.6, 4.25, 4.4),
        (5.9, 1.6, 6.4, 4.4),
    ),
    "islands": (
        (1.4, 1.6, 2.2, 2.4),
        (3.6, 1.6, 4.4, 2.4),
        (5.8, 1.6, 6.6, 2.4),
        (2.5, 3.6, 3.3, 4.4),
        (4.7, 3.6, 5.5, 4.4),
    ),
    "corners": (
        (1.4, 1.7, 3.2, 2.2),
        (1.4, 2.2, 1.9, 3.6),
        (4.8, 3.8, 6.6, 4.3),
        (6.1, 2.4, 6.6, 3.8),
    ),
}
"""Shelves of each layout, x_min y_min x_max y_max in metres."""


@dataclasses.dataclass(frozen=True, eq=False)
class Hall:
    """Size of a hall, its shelves, and places where a robot can stand and reach all the others."""

    size: np.ndarray
    """Width and height in metres, float32 `[2]`."""
    shelves: np.ndarray
    """x_min y_min x_max y_max in metres, float32 `[R, 4]`."""
    places: np.ndarray
    """float32 `[P, 2]`."""
    served: np.ndarray
    """Those of them that are beside a shelf, float32 `[Q, 2]`."""

    def nearest(self, point: tuple[float, float]) -> np.ndarray:
        """Return the place nearest to a point, float32 `[2]`."""
        return self.places[((self.places - np.array(point)) ** 2).sum(-1).argmin()]


@dataclasses.dataclass(frozen=True)
class PictureFile:
    """The picture that a hall was made of, as `EnvironmentData`."""

    path: str

    def notes(self) -> tuple[str, ...]:
        """Return nothing: a picture needs no words."""
        return ()

    def to_json(self) -> dict[str, Any]:
        """Return the checksum (SHA-256) by path."""
        return {"files": {self.path: hashlib.sha256(Path(self.path).read_bytes()).hexdigest()}}


def hall_of(layout: str, picture: str, clearance: float) -> Hall:
    """Return a hall.

    Args:
        layout: a name in `LAYOUTS`, for halls without a picture.
        picture: path of a picture of the hall from above, or empty.
        clearance: distance from the centre of a place to whatever may be there, in metres.

    Raises:
        EmbrlError: the picture cannot be read, or has no shelves, too many, or no room between.
    """
    size, shelves = (WIDTH, HEIGHT), np.array(LAYOUTS[layout], np.float32)
    if picture:
        dark = read_picture(Path(picture))
        rows, columns = dark.shape
        size = (WIDTH, WIDTH * rows / columns)
        shelves = rectangles(dark) * np.float32(WIDTH / columns)
        if not 1 <= len(shelves) <= MAX_SHELVES:
            raise EmbrlError(
                f"env.picture must have 1 to {MAX_SHELVES} dark rectangles, got {len(shelves)} in "
                f"{picture}; draw straight shelves, dark on light"
            )
    places = _reachable(size, shelves, clearance)
    apart = _distance(places, shelves).min(1, initial=np.inf)
    served = places[apart < clearance + NEAR_SHELF]
    if len(places) < 8 or not len(served):
        raise EmbrlError(
            f"env.{'picture' if picture else 'jitter'} must leave aisles that the robot can pass, "
            f"got {len(places)} free places; leave {2 * clearance:.2g} m between shelves"
        )
    return Hall(np.array(size, np.float32), shelves, places, served)


def read_picture(path: Path) -> np.ndarray:
    """Return which cells of a picture are dark, bool `[rows, columns]`, from the bottom up.

    Args:
        path: an image, or a .npy file with an array `[h, w]` or `[h, w, colours]`, first row on
            top. What is darker than the mean of its darkest and lightest value is a shelf.

    Raises:
        EmbrlError: it cannot be read, or holds something else.
    """
    try:
        if path.suffix.lower() == ".npy":
            values = np.load(path, allow_pickle=False)
        else:
            with require("PIL.Image", "plot").open(path) as image:
                values = np.asarray(image.convert("L"))
    except (OSError, ValueError, EOFError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise EmbrlError(
            f"env.picture must be an image or an array in a .npy file, got {path} ({why})"
        ) from error
    numeric = values.dtype.kind in "buif"
    if numeric and values.ndim == 3:
        values = values[..., :3].mean(-1)
    if not numeric or values.ndim != 2 or min(values.shape) < 4 or not np.isfinite(values).all():
        raise EmbrlError(
            f"env.picture must be finite numbers [h, w], 4 x 4 or more, got {values.dtype}"
            f"{list(values.shape)} in {path}"
        )
    values = values.astype(np.float64)
    block = -(-max(values.shape) // MAX_SIDE)
    h, w = (length // block for length in values.shape)
    if not h or not w:
        raise EmbrlError(
            f"env.picture must be less than {MAX_SIDE} times as long as wide, got "
            f"{list(values.shape)} in {path}"
        )
    means = values[: h * block, : w * block].reshape(h, block, w, block).mean((1, 3))
    return (means < (values.min() + values.max()) / 2)[::-1]


def rectangles(dark: np.ndarray) -> np.ndarray:
    """Return rectangles that cover the dark cells and nothing else, float32 `[R, 4]`, in cells.

    The first cell that is left grows to the right, then upwards, as far as all is dark and left.
    """
    left, found = dark.copy(), []
    for row, column in np.argwhere(dark):
        if not left[row, column]:
            continue
        light = np.flatnonzero(~left[row, column:])
        end = column + (light[0] if len(light) else dark.shape[1] - column)
        rest = np.flatnonzero(~left[row:, column:end].all(axis=1))
        top = row + (rest[0] if len(rest) else dark.shape[0] - row)
        left[row:top, column:end] = False
        found.append((column, row, end, top))
    return np.array(found, np.float32).reshape(-1, 4)


def _distance(points: np.ndarray, shelves: np.ndarray) -> np.ndarray:
    """Return the distance from each point to each rectangle, `[P, R]`."""
    low, high = shelves[None, :, :2], shelves[None, :, 2:]
    beyond = np.maximum(np.maximum(low - points[:, None], points[:, None] - high), 0.0)
    return np.sqrt((beyond**2).sum(-1))


def _reachable(size: tuple[float, float], shelves: np.ndarray, clearance: float) -> np.ndarray:
    """Return the largest set of free places that are connected, float32 `[P, 2]`."""
    columns, rows = (max(1, int(length / CELL)) for length in size)
    x, y = (np.arange(count) + 0.5 for count in (columns, rows))
    grid = np.stack(np.meshgrid(x * size[0] / columns, y * size[1] / rows), -1)
    points = grid.reshape(-1, 2).astype(np.float32)
    free = _distance(points, shelves).min(1, initial=np.inf) > clearance
    free &= ((points > clearance) & (np.array(size) - points > clearance)).all(1)
    # The number of a component spreads to its neighbours until nothing changes.
    number = np.where(free, np.arange(1, len(points) + 1), 0).reshape(rows, columns)
    while True:
        wide = np.pad(number, 1)
        around = (
            wide[1:-1, 1:-1],
            wide[:-2, 1:-1],
            wide[2:, 1:-1],
            wide[1:-1, :-2],
            wide[1:-1, 2:],
        )
        spread = np.where(number > 0, np.max(around, 0), 0)
        if (spread == number).all():
            break
        number = spread
    counts = np.bincount(number.ravel())
    counts[0] = 0
    return points[(number.ravel() == counts.argmax()) & free]
