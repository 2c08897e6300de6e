"""Moving pictures as files."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from embrl.core.errors import EmbrlError
from embrl.storage import files

if TYPE_CHECKING:
    from PIL.Image import Image

HOLD = 1.0
"""Seconds that the last frame stands."""


def write_gif(path: str | Path, images: "Sequence[Image]", frame: float) -> None:
    """Writes images with palettes as a GIF that begins again at its end.

    Arguments:
        frame: seconds that each stands, rounded to hundredths.

    Raises:
        EmbrlError: there is no place for it.
    """
    stream = io.BytesIO()
    durations = [10 * max(1, round(100 * frame))] * (len(images) - 1) + [round(1000 * HOLD)]
    images[0].save(
        stream, "GIF", save_all=True, append_images=images[1:], loop=0, disposal=1,
        duration=durations,
    )  # fmt: skip
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(path, stream.getvalue())
    except OSError as error:
        raise EmbrlError(f"{path} cannot be written: {error.strerror}") from error
