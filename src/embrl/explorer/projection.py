"""Projection of points on the plane: principal components, or UMAP."""

from typing import Any

import numpy as np
from jaxtyping import Float

from embrl.core.errors import SettingError, require
from embrl.report.embedding_figure import Plane, plane

PROJECTIONS = ("pca", "umap")
NEIGHBOURS = 15
"""Neighbours of a point that UMAP keeps near, its own default."""


def projected(values: Float[np.ndarray, "n d"], symbol: str, kind: str) -> tuple[Plane, bool]:
    """Return points in the plane, and whether the projection is linear.

    Args:
        values: the points; two dimensions are shown as they are.
        symbol: letter of a point.
        kind: `pca` or `umap`.

    Raises:
        EmbrlError: there is no such projection, or umap-learn is not installed.
    """
    if kind not in PROJECTIONS:
        raise SettingError("projection", f"one of {', '.join(PROJECTIONS)}", kind)
    umap: Any = None if kind == "pca" else require("umap", "explore")
    linear = plane(np.asarray(values, np.float64), symbol)
    if umap is None or values.shape[1] <= 2 or len(values) <= NEIGHBOURS:
        return linear, True
    found = umap.UMAP(n_neighbors=NEIGHBOURS, random_state=0, n_jobs=1).fit_transform(values)
    names = (f"UMAP of {symbol}, first", f"UMAP of {symbol}, second")
    return linear._replace(points=np.asarray(found, np.float64), names=names), False
