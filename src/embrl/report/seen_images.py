"""Observations that are images, for people to look at: in colours, and at the points of phi."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from embrl.core.errors import require
from embrl.report.drawing import MUTED, PALE, PALETTE, apart, figure
from embrl.report.embedding_figure import plane

SIDE = 10.0
"""Width and height of the figure in inches."""
THUMBNAIL = 0.6
"""Longer side of an image in the figure, in inches."""
BACKGROUND = 240
"""Grey, up to 255, of a pixel that no plane of flags covers."""


def in_colours(images: UInt8[np.ndarray, "N h w c"]) -> UInt8[np.ndarray, "N h w 3"]:
    """Return images in red, green and blue.

    Planes (two channels, or more than three, of which each pixel is 0 or the largest value) have a
    colour each, and later ones cover earlier ones. Of frames with three channels each the colours
    are averaged; other channels are averaged to grey, so that what moves is seen several times.

    Args:
        images: `uint8`, of one size; largest value 1 (flags) or 255.
    """
    channels = images.shape[-1]
    most = max(int(images.max(initial=0)), 1)
    if channels not in (1, 3) and ((images == 0) | (images == most)).all():
        to_rgb = require("PIL.ImageColor", "plot").getrgb
        found = np.full((*images.shape[:-1], 3), BACKGROUND, np.uint8)
        for plane_number in range(channels):
            found[images[..., plane_number] > 0] = to_rgb(PALETTE[plane_number % len(PALETTE)])
        return found
    scaled = images.astype(np.float32) * (255 if most == 1 else 1)
    if channels % 3 == 0:
        mean = scaled.reshape(*images.shape[:-1], channels // 3, 3).mean(-2)
    else:
        mean = np.repeat(scaled.mean(-1, keepdims=True), 3, axis=-1)
    return mean.round().astype(np.uint8)


def enlarged(image: UInt8[np.ndarray, "h w 3"], width: int) -> UInt8[np.ndarray, "H W 3"]:
    """Return an image whose pixels are squares, as large as they can be in this width."""
    times = max(1, width // image.shape[1])
    return image.repeat(times, axis=0).repeat(times, axis=1)


def plot_seen_images(
    path: str | Path,
    *,
    phi: Float[np.ndarray, "N m"],
    images: UInt8[np.ndarray, "N h w c"],
    title: str = "",
) -> None:
    """Draw observations at the points of their embedding, and write a PNG.

    As many are drawn as images as fit beside each other, the others as points.

    Args:
        path: the PNG file to write.
        phi: embedding of each observation. More than two dimensions are projected on the two
            principal components.
        images: the observations.
        title: heading of the figure; empty for none.
    """
    offset: Any = require("matplotlib.offsetbox", "plot")
    points, (across, up) = plane(np.asarray(phi, np.float64), "x")[:2]
    height, width = images.shape[1:3]
    with figure(path, SIDE, SIDE) as drawn:
        axes = drawn.add_subplot()
        axes.scatter(*points.T, s=6, c=PALE, linewidth=0)
        axes.margins(0.08)
        axes.set(xlabel=across, ylabel=up)
        axes.set_title(title, loc="left", fontsize=12)
        drawn.draw_without_rendering()  # so that places on the page are known
        at = axes.transData.transform(points)
        order = np.random.default_rng(0).permutation(len(points))
        zoom = THUMBNAIL * 72 / max(height, width)  # the longer side in points
        half = 0.56 * zoom * drawn.dpi / 72 * np.array([width, height])
        boxes = np.concatenate([at[order] - half, at[order] + half], 1)
        shown = order[apart(boxes, axes.bbox.extents)]
        for place, picture in zip(shown, in_colours(images[shown]), strict=True):
            thumbnail = offset.OffsetImage(picture, zoom=zoom, interpolation="nearest")
            axes.add_artist(
                offset.AnnotationBbox(
                    thumbnail,
                    tuple(points[place].tolist()),
                    pad=0.06,
                    bboxprops={"edgecolor": PALE, "linewidth": 0.6},
                )
            )
        count = f"{len(shown):,} of {len(points):,} observations are drawn"
        axes.annotate(count, (1, 1.005), xycoords="axes fraction", ha="right", color=MUTED)
