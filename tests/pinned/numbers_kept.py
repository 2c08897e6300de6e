"""Extraction and comparison of the numbers that a run produced."""

import csv
import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from names import COLUMNS, FILES, UNCOUNTED_FILES, UNCOUNTED_KEYS
from safetensors.numpy import load_file

Kept = dict[str, Any]


def kept(out: Path) -> Kept:
    """Return the numbers in a run's folder, in a form that does not depend on names."""
    metrics, numbers, arrays = [], {}, []
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        if path.name == "metrics.csv":
            metrics.append(_columns(path))
        elif path.suffix == ".json" and path.name not in UNCOUNTED_FILES:
            name = FILES.get(path.name, path.name)
            numbers.setdefault(name, []).extend(_numbers(json.loads(path.read_text())))
        elif path.suffix == ".safetensors":
            arrays += [_array(array) for array in load_file(path).values()]
        elif path.suffix == ".npy":
            arrays.append(_array(np.load(path)))
    return {
        "metrics": metrics,
        "numbers": {name: sorted(values) for name, values in numbers.items()},
        "arrays": sorted(arrays),
    }


def _columns(path: Path) -> dict[str, list[float | None]]:
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    names = [COLUMNS.get(name, name) for name in header]
    columns = {
        name: [float(value) if value else None for value in values]
        for name, values in zip(names, zip(*rows, strict=True), strict=True)
    }
    return dict(sorted(columns.items()))


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            if not UNCOUNTED_KEYS.search(str(key)):
                yield from _numbers(part)
    elif isinstance(value, list):
        for part in value:
            yield from _numbers(part)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)


def _array(array: np.ndarray) -> tuple[str, str, float, float]:
    """Return an array's dtype and shape, a hash, its norm, and a position-weighted sum.

    Norm and sum measure how far two arrays with different hashes are apart.
    """
    flat = array.astype(np.float64).ravel()
    weights = np.cos(np.arange(flat.size))
    return (
        f"{array.dtype}{list(array.shape)}",
        hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16],
        float(np.linalg.norm(flat)),
        float(flat @ weights),
    )


SMALL = 1e-3
"""Lower bound of the scale in relative differences."""


class Difference:
    """Largest absolute and relative difference of two lists of numbers.

    The relative difference refers to the largest number in `before`, or with `each` to every
    number on its own (for lists that mix quantities).
    """

    def __init__(
        self, before: Sequence[float | None], now: Sequence[float | None], each: bool = False
    ) -> None:
        self.places = [
            index
            for index, (one, other) in enumerate(zip(before, now, strict=True))
            if one != other and not (_is_nan(one) and _is_nan(other))
        ]
        pairs = [(before[index], now[index]) for index in self.places]
        self.absolute = max((_distance(*pair) for pair in pairs), default=0.0)
        scales = [max(abs(value or 0.0), SMALL) for value in before]
        self.relative = max(
            (
                _ratio(_distance(before[index], now[index]), scales[index] if each else max(scales))
                for index in self.places
            ),
            default=0.0,
        )


def _ratio(distance: float, scale: float) -> float:
    return math.inf if math.isnan(scale) else distance / scale


def _is_nan(value: float | None) -> bool:
    return value is not None and math.isnan(value)


def _distance(one: float | None, other: float | None) -> float:
    if one is None or other is None:
        return math.inf
    return math.inf if math.isnan(one - other) else abs(one - other)


class Comparison:
    """Comparison of a run's numbers with the recorded ones."""

    def __init__(self, before: Kept, now: Kept) -> None:
        self.words: list[str] = []
        self.worst = 0.0
        self._metrics(before["metrics"], now["metrics"])
        names = [*dict.fromkeys([*before["numbers"], *now["numbers"]])]
        for name in names:
            self._lists(name, before["numbers"].get(name, []), now["numbers"].get(name, []))
        self._arrays(before["arrays"], now["arrays"])

    def said(self, most: int) -> str:
        """Return "identical" or a description of at most `most` differences."""
        if not self.words:
            return "identical"
        rest = len(self.words) - most
        return "; ".join(
            [
                f"DIFFERS: {self.words[0]}",
                *self.words[1:most],
                *([f"and {rest} more"] if rest > 0 else []),
            ]
        )

    def _differs(self, words: str, by: float = math.inf) -> None:
        self.words.append(words)
        self.worst = max(self.worst, by)

    def _metrics(self, before: list[Any], now: list[Any]) -> None:
        if len(before) != len(now):
            self._differs(f"{len(before)} files of metrics, now {len(now)}")
        for index, (one, other) in enumerate(zip(before, now, strict=False)):
            where = f"part {index} " if len(before) > 1 else ""
            for name in [*dict.fromkeys([*one, *other])]:
                if name not in one or name not in other:
                    self._differs(f"{where}{name}: only {'before' if name in one else 'now'}")
                else:
                    self._lists(where + name, one[name], other[name], one.get("samples"))

    def _lists(
        self, name: str, before: list[Any], now: list[Any], samples: list[Any] | None = None
    ) -> None:
        if len(before) != len(now):
            self._differs(f"{name}: {len(before)} numbers, now {len(now)}")
            return
        found = Difference(before, now, each=samples is None)
        if found.places:
            first = f", from {samples[found.places[0]]:.0f} samples on" if samples else ""
            self._differs(
                f"{name}: {found.absolute:.2g} (relative {found.relative:.2g}{first})",
                found.relative,
            )

    def _arrays(self, before: list[Any], now: list[Any]) -> None:
        groups: tuple[dict, dict] = (defaultdict(list), defaultdict(list))
        for group, arrays in zip(groups, (before, now), strict=True):
            for kind, *rest in arrays:
                group[kind].append(tuple(rest))
        changed = 0
        relative = 0.0
        for kind in [*dict.fromkeys([*groups[0], *groups[1]])]:
            ones, others = (Counter(group.get(kind, [])) for group in groups)
            left, right = sorted((ones - others).elements()), sorted((others - ones).elements())
            if len(left) != len(right):
                self._differs(f"arrays {kind}: {sum(ones.values())}, now {sum(others.values())}")
                continue
            changed += len(left)
            for one, other in _paired(left, right):
                relative = max(relative, Difference(one[1:], other[1:]).relative)
        if changed:
            words = f"{changed} of {len(before)} arrays (relative {relative:.2g})"
            self._differs(words, relative)


def _paired(left: list[Any], right: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Pair arrays of one shape greedily by similarity."""
    right = list(right)
    for one in left:
        nearest = min(right, key=lambda other: Difference(one[1:], other[1:]).absolute)
        right.remove(nearest)
        yield one, nearest
