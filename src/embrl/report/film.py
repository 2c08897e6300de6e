"""Pictures of an environment while a policy plays in it, as a small GIF."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embrl.core.errors import EmbrlError, require
from embrl.report.gif import write_gif

if TYPE_CHECKING:
    from PIL.Image import Image

MOST = 300
"""Frames."""
COLOURS = 64
"""Of a frame."""
PACE = 30.0
"""Steps of an environment to a second, where it says nothing of it."""
FASTEST = 50.0
"""Frames a second: viewers slow down what is faster."""


@dataclasses.dataclass(frozen=True)
class FilmConfig:
    """What a film is to look like."""

    path: Path
    """The GIF to write."""
    fps: float = 15.0
    """Frames a second, at most; steps between them are left out, and time is real."""
    width: int = 240
    """Pixels, at most."""

    def __post_init__(self) -> None:
        """
        Raises:
            EmbrlError: a value is out of its range.
        """
        if self.path.suffix.lower() != ".gif":
            raise EmbrlError(f"gif is {self.path}: what is written is a GIF, name it so: play.gif")
        if not 0.0 < self.fps <= FASTEST:
            raise EmbrlError(f"fps is {self.fps}: choose above 0, to {FASTEST:g}")
        if not 16 <= self.width <= 2000:
            raise EmbrlError(f"width is {self.width}: choose 16 to 2000 pixels")


class Film:
    """Grows frame by frame, up to `MOST` frames; what follows is not filmed."""

    def __init__(self, name: str, config: FilmConfig, pace: float | None = None) -> None:
        """
        Arguments:
            name: of the environment, for messages.
            pace: its steps in a second; None: nothing is known of that.

        Raises:
            EmbrlError: Pillow is not installed.
        """
        self.name, self.config, self.pace = name, config, pace or PACE
        self.every = max(1, round(self.pace / config.fps))
        """Steps from one frame to the next."""
        self.images: list[Image] = []
        self._steps = 0
        self._pillow = require("PIL.Image", "plot")

    @property
    def seconds(self) -> float:
        """What it shows, in the environment's time."""
        return len(self.images) * self.every / self.pace

    def look(self, render: Callable[[], Any]) -> None:
        """A step later.

        Raises:
            EmbrlError: there is no picture; the message says what the environment says.
        """
        due = self._steps % self.every == 0 and len(self.images) < MOST
        self._steps += 1
        if not due:
            return
        try:
            picture = np.asarray(render())
        except EmbrlError:
            raise
        except Exception as error:  # whatever the environment's own code raises
            raise EmbrlError(
                f"{self.name} cannot be drawn: {type(error).__name__}: {error}"
            ) from error
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] != 3:
            raise EmbrlError(
                f"{self.name} cannot be drawn: its picture is {picture.dtype}"
                f"{list(picture.shape)}, not uint8[height, width, 3]"
            )
        image = self._pillow.fromarray(picture)
        if image.width > self.config.width:
            height = max(1, round(image.height * self.config.width / image.width))
            image = image.resize((self.config.width, height), self._pillow.Resampling.LANCZOS)
        self.images.append(image.quantize(COLOURS, dither=self._pillow.Dither.NONE))

    def write(self) -> Path:
        """The file that was asked for.

        Raises:
            EmbrlError: there is no place for it.
        """
        write_gif(self.config.path, self.images, self.every / self.pace)
        return self.config.path
