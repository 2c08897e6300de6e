"""Style of all figures: colours, fonts, number formats, room for labels, and how one is written."""

import contextlib
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from embrl.core.errors import require
from embrl.storage import files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colour-blind safe palette of Okabe and Ito (2008), without its yellow, which is too pale for a
line on white."""

INK = "#222222"
MUTED = "#767676"
FAINT = "#DDDDDD"
PALE = "#B0B0B0"

DPI = 150
PAD = 0.07
"""Padding around every panel, in inches."""
STYLE = {
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "lines.solid_capstyle": "round",
    "text.parse_math": False,  # a $ in the name of a run is one
}


@contextlib.contextmanager
def figure(path: str | Path, width: float, height: float) -> Iterator["Figure"]:
    """Create an empty figure of `width` x `height` inches and write it to `path` on exit.

    Args:
        path: The PNG file to write; missing parent folders are created.
        width: Width in inches.
        height: Height in inches.

    Raises:
        EmbrlError: matplotlib is not installed.
    """
    with blank(width, height) as drawn:
        yield drawn
        image = io.BytesIO()
        drawn.savefig(image, format="png")
    path = Path(path)
    files.make_folder(path.parent)
    files.write_bytes(path, image.getvalue())


@contextlib.contextmanager
def blank(width: float, height: float, dpi: int = DPI) -> Iterator["Figure"]:
    """Create an empty figure of `width` x `height` inches without writing it.

    The user's matplotlib settings are ignored inside the context, so that figures look the same on
    every machine. No window system is needed.

    Raises:
        EmbrlError: matplotlib is not installed.
    """
    matplotlib = require("matplotlib", "plot")
    make = require("matplotlib.figure", "plot").Figure
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        drawn = make(figsize=(width, height), dpi=dpi, layout="constrained")
        drawn.get_layout_engine().set(w_pad=PAD, h_pad=PAD)
        yield drawn


def apart(
    boxes: Float[np.ndarray, "n 4"], inside: Float[np.ndarray, " 4"] | Sequence[float]
) -> list[int]:
    """Return indices of boxes that overlap none before them and lie inside another, in order.

    Args:
        boxes: left, bottom, right and top of each.
        inside: the same of the box in which they must lie.
    """
    left, bottom, right, top = inside
    fit = (boxes[:, 0] >= left) & (boxes[:, 1] >= bottom)
    fit &= (boxes[:, 2] <= right) & (boxes[:, 3] <= top)
    chosen: list[int] = []
    for index in np.flatnonzero(fit).tolist():
        kept, box = boxes[chosen], boxes[index]
        beside = (kept[:, 2] <= box[0]) | (kept[:, 0] >= box[2])
        beside |= (kept[:, 3] <= box[1]) | (kept[:, 1] >= box[3])
        if beside.all():
            chosen.append(index)
    return chosen


def short_count(value: float) -> str:
    """Format a count with at most four digits and the suffix k, M or G: 500, 30k, 1.5M."""
    for factor, unit in [(1e9, "G"), (1e6, "M"), (1e3, "k")]:
        # Values that round to 1 of the larger unit take that unit: 999,960 is 1M.
        if abs(value) >= 0.99995 * factor:
            return f"{value / factor:.4g}{unit}"
    return f"{value:.4g}"


def decimals(*values: float) -> int:
    """Return how many decimals show about four digits of the largest of `values`, at most 3."""
    largest = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    return 3 if largest < 10 else max(0, 3 - int(math.log10(largest)))
