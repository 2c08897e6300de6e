"""Images: their size, the kinds of layers that read them, and the space they come from."""

import dataclasses
from typing import Literal

import numpy as np
from gymnasium import spaces

from embrl.core.errors import SettingError

ImageLayers = Literal["auto", "small", "nature", "residual", "flat"]
"""Layers that read an image. small: one convolution of 16 filters of 3 x 3, as for MinAtar. nature:
the three convolutions of Mnih et al. (2015). residual: three strided convolutions of 3 x 3, each
with a residual one. flat: none, the pixels are one vector. auto: nature from 36 x 36 on, else small
(from 3 x 3 on)."""

NATURE_SIDE = 36
"""Least side of an image that the convolutions of Mnih et al. (2015) leave something of."""

MAX_PREDICTED = 4096
"""Numbers of an image that are predicted at most; of larger ones, means of square blocks are."""

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""

Filters = tuple[int, int, int, bool]
"""A convolution: filters, side, stride, and whether its output is added to its input."""

FILTERS: dict[str, tuple[Filters, ...]] = {
    "flat": (),
    "small": ((16, 3, 1, False),),
    "nature": ((32, 8, 4, False), (64, 4, 2, False), (64, 3, 1, False)),
    "residual": (
        (16, 3, 2, False),
        (16, 3, 1, True),
        (32, 3, 2, False),
        (32, 3, 1, True),
        (32, 3, 2, False),
        (32, 3, 1, True),
    ),
}
"""Convolutions by the name of the layers."""


@dataclasses.dataclass(frozen=True)
class Image:
    """Size of an image of bytes, and the layers that read it."""

    height: int
    width: int
    channels: int
    levels: int = 255
    """Largest value of a pixel; 1: planes of flags."""
    layers: str = "flat"
    """A name in `FILTERS`."""
    grey: bool = False
    """True if colours were made grey, which leaves a third of the channels."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self.height, self.width, self.channels

    @property
    def pixels(self) -> int:
        """Number of values of an image."""
        return self.height * self.width * self.channels

    @property
    def flags(self) -> bool:
        """True if pixels are 0 or 1."""
        return self.levels == 1

    @property
    def block(self) -> int:
        """Side of the blocks whose means are predicted; 1: each pixel is."""
        side = 1
        while self.pixels > MAX_PREDICTED * side * side:
            side += 1
        return side

    @property
    def predicted(self) -> int:
        """Number of values of an image that are predicted."""
        return (self.height // self.block) * (self.width // self.block) * self.channels


def is_image(space: spaces.Space) -> bool:
    """Return whether values of the space are images in embrl's form: bytes, channels last."""
    return isinstance(space, spaces.Box) and len(space.shape) == 3 and space.dtype == np.uint8


def image_of(space: spaces.Space, layers: str = "flat", grey: bool = False) -> Image | None:
    """Return the size of an image; None if values of the space are none.

    Args:
        space: observation space, in embrl's form.
        layers: of `ImageLayers`.
        grey: whether networks see the luminance of colours alone.

    Raises:
        SettingError: channels are no colours, or the layers need a larger image; the message says
            what would fit.
    """
    if not isinstance(space, spaces.Box) or not is_image(space):
        return None
    height, width, channels = (int(length) for length in space.shape)
    side = min(height, width)
    if layers == "auto":
        layers = "nature" if side >= NATURE_SIDE else "small" if side >= 3 else "flat"
    least = {"nature": NATURE_SIDE, "small": 3}.get(layers, 1)
    if side < least:
        raise SettingError(
            "embedding.image_layers",
            f"small, residual or flat for images of {height} x {width}"
            if side >= 3
            else f"flat for images of {height} x {width}",
            layers,
            f"{layers} needs {least} x {least}",
        )
    if grey and channels % 3:
        raise SettingError(
            "embedding.grey_scale", f"false for images with {channels} channels", "true"
        )
    channels = channels // 3 if grey else channels
    return Image(height, width, channels, int(space.high.max()), layers, grey)
