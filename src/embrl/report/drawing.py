"""The look of every figure, and how one is made and written without a screen."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from embrl.core.errors import require
from embrl.storage import files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito (2008), told apart by colour-blind readers; without its yellow, which is too
pale for a line on white."""

INK = "#222222"
MUTED = "#767676"
FAINT = "#DDDDDD"
PALE = "#B0B0B0"

DPI = 150
PAD = 0.07
"""Inches around every panel."""
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
}


@contextlib.contextmanager
def figure(path: str | Path, width: float, height: float) -> Iterator["Figure"]:
    """An empty figure of `width` x `height` inches; it is written to `path` (PNG) at the end.

    Raises:
        EmbrlError: matplotlib is not installed.
    """
    with blank(width, height) as drawn:
        yield drawn
        image = io.BytesIO()
        drawn.savefig(image, format="png")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_bytes(path, image.getvalue())


@contextlib.contextmanager
def blank(width: float, height: float, dpi: int = DPI) -> Iterator["Figure"]:
    """An empty figure that is not written.

    The user's matplotlib settings are put aside, so that figures look the same everywhere; no
    window system is touched.

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
