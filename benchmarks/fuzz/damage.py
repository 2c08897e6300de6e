"""Damage to files: bytes, JSON, CSV and arrays."""

import hashlib
import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy


def bytes_of(data: bytes, draw: random.Random) -> bytes:
    """Return damaged bytes."""
    if not data:
        return b"\x00"
    at, to = sorted((draw.randrange(len(data)), draw.randrange(len(data))))
    some = bytes(draw.randrange(256) for _ in range(draw.choice([1, 3, 30])))
    flipped = bytearray(data)
    for _ in range(draw.choice([1, 2, 20])):
        flipped[draw.randrange(len(data))] = draw.randrange(256)
    return draw.choice(
        [
            *(data[:at], data[at:], b"", some, data[:at] + some + data[at:], bytes(flipped)),
            *(
                data[:at] + data[to:],
                data + data,
                b"\xef\xbb\xbf" + data,
                data.replace(b"\n", b"\r"),
            ),
            *(data.replace(b",", b";"), data.replace(b"e", b"\xff"), data.upper(), data[::-1]),
        ]
    )


def any_json(draw: random.Random) -> Any:
    """Return some JSON value."""
    return draw.choice(
        [
            *(None, True, False, 0, 1, -1, 2, 7, 10**20, -(2**63), 0.5, 1e308, -1e-300, "", "x"),
            *(
                "../../etc",
                "object:",
                "os:system",
                "a" * 5000,
                "\ud800",
                "\x00",
                [],
                [None],
                [1, 2],
            ),
            *([[1], []], {}, {"a": 1}, {"": {}}, [1e9] * 3, "gridworld", "CartPole-v1", "none", 3),
        ]
    )


def json_of(text: str, draw: random.Random) -> str:
    """Return JSON with an entry changed, removed, added or renamed."""
    value = json.loads(text)
    where, at = _entry(value, draw)
    if where is None:
        return json.dumps(any_json(draw))
    how = draw.choice(["change", "change", "change", "remove", "add", "rename", "repeat"])
    if how == "change":
        where[at] = any_json(draw)
    elif how == "remove":
        del where[at]
    elif isinstance(where, dict):
        where[draw.choice(["x", "", "format", "é", "class"])] = where[at]
        if how == "rename":
            del where[at]
    else:
        where += [where[at]] * (1000 if how == "repeat" else 1)
    words = json.dumps(value)
    return words.replace("0.1", "NaN", 1) if draw.random() < 0.05 else words


def _entry(value: Any, draw: random.Random) -> tuple[Any, Any]:
    """Return a container in a value, and a key of it."""
    places: list[tuple[Any, Any]] = []

    def walk(part: Any) -> None:
        keys = (
            part if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ()
        )
        for key in keys:
            places.append((part, key))
            walk(part[key])

    walk(value)
    return draw.choice(places) if places else (None, None)


def csv_of(text: str, draw: random.Random) -> str:
    """Return a table with a cell, row or column changed."""
    rows = [line.split(",") for line in text.splitlines()]
    row = draw.choice(rows)
    column = draw.randrange(len(row))
    cell = draw.choice(
        ["", "nan", "inf", "-1", "1e999", "x", '"', "1,5", " 1", "1_000", "٣", "9" * 30]
    )
    how = draw.randrange(5)
    if how == 0:
        row[column] = cell
    elif how == 1:
        row.insert(column, cell)
    elif how == 2:
        del row[column]
    elif how == 3:
        rows = [each[:column] + each[column + 1 :] for each in rows]
    else:
        rows = rows[: draw.randrange(len(rows) + 1)]
    return "\n".join(",".join(row) for row in rows) + draw.choice(["\n", "", "\n\n"])


def arrays_of(arrays: dict[str, np.ndarray], draw: random.Random) -> dict[str, np.ndarray]:
    """Return arrays of which one has another shape, kind, value or name."""
    found = dict(arrays)
    name = draw.choice(sorted(found))
    value = found[name]
    how = draw.randrange(7)
    if how == 0:
        del found[name]
    elif how == 1:
        found[draw.choice(["x", "", name + "]"])] = value
    elif how == 2:
        with np.errstate(over="ignore", invalid="ignore"):
            found[name] = value.astype(draw.choice([np.float64, np.int32, np.float16, bool]))
    elif how == 3:
        found[name] = np.concatenate([value.ravel(), value.ravel()])
    elif how == 4:
        found[name] = value.reshape(-1)[:0]
    elif how == 5:
        found[name] = np.full_like(value, -1 if value.dtype.kind == "i" else 1)
    else:
        changed = np.array(value, np.float32)
        changed.reshape(-1)[:1] = draw.choice([np.nan, np.inf, 1e30])
        found[name] = changed.astype(value.dtype) if value.dtype.kind == "f" else value[None]
    return {key: np.ascontiguousarray(part) for key, part in found.items()}


def damage(path: Path, draw: random.Random, manifest: Path | None = None) -> str:
    """Damage a file in place; return how.

    Args:
        path: The file.
        draw: Random choices.
        manifest: The file beside it that has its checksum, which may be made to fit again.
    """
    how = draw.choice(["content"] * 6 + ["bytes"] * 3 + ["missing", "folder", "unreadable link"])
    if how == "missing":
        path.unlink()
    elif how == "folder":
        path.unlink()
        path.mkdir()
    elif how == "unreadable link":
        path.unlink()
        path.symlink_to(path)
    elif how == "content" and path.suffix == ".json":
        path.write_text(json_of(path.read_text(), draw))
    elif how == "content" and path.suffix == ".csv":
        path.write_text(csv_of(path.read_text(), draw))
    elif how == "content" and path.suffix in (".safetensors", ".npz"):
        if path.suffix == ".npz":
            data = io.BytesIO()
            np.savez(data, **arrays_of(dict(np.load(path)), draw))  # type: ignore[arg-type]
            path.write_bytes(data.getvalue())
        else:
            changed = arrays_of(safetensors.numpy.load(path.read_bytes()), draw)
            path.write_bytes(safetensors.numpy.save(changed))
        if manifest is not None and draw.random() < 0.9:
            said = json.loads(manifest.read_text())
            said["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
            manifest.write_text(json.dumps(said))
    else:
        path.write_bytes(bytes_of(path.read_bytes(), draw))
    return f"{how} of {path.name}"
