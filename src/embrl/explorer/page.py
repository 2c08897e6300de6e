"""One self-contained HTML file: clouds of points with metadata, views of them, and what acts."""

import base64
import dataclasses
import html
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np
from jaxtyping import Float

SCRIPTS = ("data.js", "colours.js", "plot.js", "cloud.js", "policy.js", "agents.js", "main.js")
"""The page's program, in the order of its parts; they share one scope."""


@dataclasses.dataclass(frozen=True, eq=False)
class Cloud:
    """Points that may be seen in several views: states, actions or agents."""

    noun: str
    """What a point is called: `state`, `action` or `agent`."""
    ids: np.ndarray
    """Whole numbers `[n]`."""
    vectors: Float[np.ndarray, "n d"]
    """Where they are embedded; neighbours are nearest there."""
    columns: Mapping[str, np.ndarray]
    """Metadata `[n]` by name: numbers, flags or texts. A column `[n, 2]` is a place in the plane,
    with numbers from 0 to 1, and has two colours."""
    images: np.ndarray | None = None
    """Bytes `[n, h, w, c]` of a picture of each; None where there are none."""

    def to_json(self) -> dict[str, Any]:
        """Return what the page reads."""
        return {
            "noun": self.noun,
            "ids": packed(self.ids),
            "vectors": packed(self.vectors),
            "columns": [column(name, values) for name, values in self.columns.items()],
            "images": None if self.images is None else packed(self.images),
        }


@dataclasses.dataclass(frozen=True, eq=False)
class MapView:
    """A cloud in the plane."""

    key: str
    """A letter, by which the page finds it: S, X, A, E, or Z for agents."""
    title: str
    cloud: str
    """Name of the cloud."""
    points: Float[np.ndarray, "n 2"]
    axes: tuple[str, str]
    centre: np.ndarray | None = None
    """Centre `[d]` and axes `[2, d]` of a linear projection of the cloud's vectors; None: it is
    another one."""
    directions: np.ndarray | None = None
    boxes: tuple[tuple[str, list[float]], ...] = ()
    """Rectangles x0, y0, x1, y1 behind the points, with `obstacle` or `goal`."""

    def to_json(self) -> dict[str, Any]:
        """Return what the page reads."""
        linear = None
        if self.centre is not None and self.directions is not None:
            linear = {"centre": packed(self.centre), "axes": packed(self.directions)}
        return {
            "key": self.key,
            "title": self.title,
            "cloud": self.cloud,
            "points": packed(self.points),
            "axes": list(self.axes),
            "linear": linear,
            "boxes": [{"kind": kind, "corners": corners} for kind, corners in self.boxes],
        }


@dataclasses.dataclass(frozen=True, eq=False)
class Page:
    """Everything that a page shows."""

    title: str
    notes: tuple[str, ...]
    """Sentences under the title."""
    clouds: Mapping[str, Cloud]
    views: tuple[MapView, ...]
    policy: Mapping[str, Any] | None = None
    """What the policy does in each state (`embrl.explorer.policies`)."""
    walk: Mapping[str, Any] | None = None
    """A gridworld in which the policy walks."""
    agents: Mapping[str, Any] | None = None
    """Decoder and simulator of agents (`embrl.explorer.populations`)."""

    def to_json(self) -> dict[str, Any]:
        """Return what the page reads."""
        return {
            "title": self.title,
            "notes": list(self.notes),
            "clouds": {name: cloud.to_json() for name, cloud in self.clouds.items()},
            "views": [view.to_json() for view in self.views],
            "policy": _all_packed(self.policy),
            "walk": _all_packed(self.walk),
            "agents": _all_packed(self.agents),
        }

    def html(self) -> str:
        """Return the file, which asks for nothing from anywhere."""
        static = resources.files("embrl.explorer") / "static"
        # Read as they are: a text in the data might look like the place of another part.
        page, style = ((static / name).read_text("utf-8") for name in ("page.html", "page.css"))
        script = "\n".join((static / name).read_text("utf-8") for name in SCRIPTS)
        data = json.dumps(self.to_json(), allow_nan=False).replace("<", "\\u003c")
        parts = {"TITLE": html.escape(self.title), "STYLE": style, "DATA": data, "SCRIPT": script}
        pieces = page.split("@@")
        return "".join(parts[piece] if at % 2 else piece for at, piece in enumerate(pieces))


def spread(count: int, most: int) -> np.ndarray:
    """Return indices spread evenly over `count`, at most `most` of them."""
    return np.arange(0, count, max(1, -(-count // most)))


def packed(values: np.ndarray) -> dict[str, Any]:
    """Return an array as the page reads it: little-endian numbers of 4 bytes, or bytes."""
    kinds = {"f": "<f4", "i": "<i4", "u": "<i4", "b": "u1"}
    kind = np.dtype("u1") if values.dtype == np.uint8 else np.dtype(kinds[values.dtype.kind])
    data = np.ascontiguousarray(values, kind)
    text = base64.b64encode(data.tobytes()).decode("ascii")
    return {"type": kind.str[1:], "shape": list(values.shape), "data": text}


def column(name: str, values: np.ndarray) -> dict[str, Any]:
    """Return a column of metadata as the page reads it: numbers, or texts by their place."""
    if values.ndim == 2:
        return {"name": name, "kind": "place", "values": packed(values)}
    if values.dtype.kind in "iuf":
        whole = values.dtype.kind != "f"
        if whole and len(values) and np.abs(values).max() >= 2**31:
            values = values.astype(np.float32)
        return {"name": name, "kind": "number", "whole": whole, "values": packed(values)}
    texts = np.where(values, "true", "false") if values.dtype.kind == "b" else values.astype(str)
    labels, codes = np.unique(texts, return_inverse=True)
    return {"name": name, "kind": "text", "labels": labels.tolist(), "values": packed(codes)}


def _all_packed(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return packed(value)
    if isinstance(value, Mapping):
        return {name: _all_packed(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_all_packed(each) for each in value]
    return value
