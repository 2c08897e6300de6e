"""Films of an environment while a policy acts in it, written as small GIFs."""

import dataclasses
import functools
import importlib.util
import io
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embrl.core.errors import EmbrlError, require, told
from embrl.storage import files

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_FRAMES = 300
COLOURS = 64
"""Number of colours of a frame."""
DEFAULT_RATE = 30.0
"""Steps of an environment per second if it does not state its `render_fps`."""
MIN_RATE, MAX_RATE = 0.01, 1e5
"""Least and greatest steps per second that are believed."""
MAX_FPS = 50.0
"""Frames per second; viewers slow down faster GIFs."""
HOLD = 1.0
"""Seconds for which the last frame is shown."""

VARIABLE = "MUJOCO_GL"
PROBE = """\
import mujoco
with mujoco.Renderer(mujoco.MjModel.from_xml_string("<mujoco/>"), 8, 8) as renderer:
    renderer.render()
"""
PROBE_TIMEOUT = 60
"""Seconds after which a trial rendering counts as failed."""


@dataclasses.dataclass(frozen=True)
class FilmConfig:
    """File, frame rate and size of a film."""

    path: Path
    """The GIF to write."""
    fps: float = 15.0
    """Maximum frames per second, above 0 and at most 50. Steps between frames are left out, so the
    film runs in real time."""
    width: int = 240
    """Maximum width in pixels, from 16 to 2000."""

    def __post_init__(self) -> None:
        if self.path.suffix.lower() != ".gif":
            raise EmbrlError(
                f"gif must be a file name that ends in .gif, got {self.path}; for example play.gif"
            )
        if not 0.0 < self.fps <= MAX_FPS:
            raise EmbrlError(f"fps must be above 0 and at most {MAX_FPS:g}, got {self.fps}")
        if not 16 <= self.width <= 2000:
            raise EmbrlError(f"width must be from 16 to 2000 pixels, got {self.width}")


class Film:
    """A film that grows frame by frame, up to `MAX_FRAMES`; later steps are not recorded."""

    def __init__(self, name: str, config: FilmConfig, rate: Any = None) -> None:
        """Start an empty film.

        Args:
            name: Name of the environment, for error messages.
            config: File, frame rate and size.
            rate: Steps of the environment per second, as it says itself; anything but a number
                from 0.01 to 100,000 counts as unknown.

        Raises:
            EmbrlError: Pillow is not installed.
        """
        self.name, self.config = name, config
        known = isinstance(rate, int | float) and MIN_RATE <= rate <= MAX_RATE
        self.rate = float(rate) if known else DEFAULT_RATE
        self.every = max(1, round(self.rate / config.fps))
        """Steps from one frame to the next."""
        self.images: list[Image] = []
        self._steps = 0
        self._pillow = require("PIL.Image", "plot")

    @property
    def seconds(self) -> float:
        """Duration in seconds, in the environment's time."""
        return len(self.images) * self.every / self.rate

    def look(self, render: Callable[[], Any]) -> None:
        """Record the current step, if a frame is due.

        Args:
            render: Returns the picture, uint8 `[height, width, 3]`; called only if a frame is due.

        Raises:
            EmbrlError: `render` failed or returned something else; the message quotes its error.
        """
        due = self._steps % self.every == 0 and len(self.images) < MAX_FRAMES
        self._steps += 1
        if not due:
            return
        try:
            picture = np.asarray(render())
        except EmbrlError:
            raise
        except (Exception, SystemExit) as error:  # whatever the environment's own code raises
            raise EmbrlError(f"{self.name} cannot be drawn: {told(error)}") from error
        form = (picture.dtype, picture.ndim, *picture.shape[2:])
        if form != (np.uint8, 3, 3) or not picture.size:
            raise EmbrlError(
                f"{self.name} cannot be drawn: its picture must be uint8[height, width, 3], got "
                f"{picture.dtype}{list(picture.shape)}"
            )
        image = self._pillow.fromarray(picture)
        if image.width > self.config.width:
            height = max(1, round(image.height * self.config.width / image.width))
            image = image.resize((self.config.width, height), self._pillow.Resampling.LANCZOS)
        self.images.append(image.quantize(COLOURS, dither=self._pillow.Dither.NONE))

    def write(self) -> Path:
        """Write the GIF and return its path.

        Raises:
            EmbrlError: The file cannot be written.
        """
        write_gif(self.config.path, self.images, self.every / self.rate)
        return self.config.path


def write_gif(path: str | Path, images: "Sequence[Image]", frame: float) -> None:
    """Write images with palettes as a GIF that repeats.

    Args:
        path: The file to write; missing parent folders are created.
        images: The frames.
        frame: Seconds for which each frame is shown, rounded to hundredths.

    Raises:
        EmbrlError: The file cannot be written.
    """
    stream = io.BytesIO()
    durations = [10 * max(1, round(100 * frame))] * (len(images) - 1) + [round(1000 * HOLD)]
    images[0].save(
        stream, "GIF", save_all=True, append_images=images[1:], loop=0, disposal=1,
        duration=durations,
    )  # fmt: skip
    path = Path(path)
    try:
        files.make_folder(path.parent)
        files.write_bytes(path, stream.getvalue())
    except OSError as error:
        raise EmbrlError(f"{path} cannot be written: {error.strerror}") from error


def prepare_mujoco() -> None:
    """Select a way of rendering without a screen that works here, if MuJoCo is in use.

    Sets the environment variable MUJOCO_GL, unless the user has. Each way is tried in a process of
    its own, because one that fails may end the process or leave it unable to try the next. If the
    user has set the variable, call this before MuJoCo is imported, as the import fails if that way
    does not work.

    Raises:
        EmbrlError: No way works, or the user's does not; the message says what to install.
    """
    chosen = os.environ.get(VARIABLE)
    used = "mujoco" in sys.modules or (chosen and importlib.util.find_spec("mujoco"))
    if not used or platform.system() != "Linux":
        return
    faults: dict[str, str] = {}
    for way in [chosen] if chosen else _ways():
        fault = _fault(way)
        if fault is None:
            os.environ[VARIABLE] = way
            return
        faults[way] = fault
    said = "; ".join(f"{VARIABLE}={way}: {fault}" for way, fault in faults.items())
    other = f"unset {VARIABLE}, or install" if chosen else "install"
    raise EmbrlError(
        f"MuJoCo cannot render on this machine ({said}); {other} EGL or OSMesa (Debian: libegl1 "
        f"or libosmesa6) and set {VARIABLE}=egl or {VARIABLE}=osmesa"
    )


def _ways() -> list[str]:
    """Return the values of MUJOCO_GL to try, in order of preference."""
    screen = "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    return ["egl", *(["glfw"] if screen else []), "osmesa"]


@functools.cache
def _fault(way: str) -> str | None:
    """Return the last line of the error if rendering by `way` fails, None if it works."""
    try:
        tried = subprocess.run(
            [sys.executable, "-c", PROBE],
            env={**os.environ, VARIABLE: way},
            capture_output=True,
            text=True,
            timeout=PROBE_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{type(error).__name__}"
    if tried.returncode == 0:
        return None
    lines = tried.stderr.strip().splitlines() or [f"ended with {tried.returncode}"]
    return next((line for line in reversed(lines) if "Error" in line), lines[-1])
