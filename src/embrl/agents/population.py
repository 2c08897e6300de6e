"""A population on disk: many agents of one architecture in one environment, and a table of them.

    POPULATION/population.json              what they are, and the list of shards; written last
    POPULATION/agents-00000.safetensors     weights [n, size] and a tensor for each column

Shards never change. An append writes new ones under temporary names, renames them, and only then
writes a new list: whatever stops it, the old population is whole, and the next append clears up
what is in no list. Any number may read; one at a time may write (there is no lock).
"""

import dataclasses
import functools
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import cattrs
import numpy as np
from jaxtyping import Float, Int
from safetensors.numpy import save

from embrl.agents.architecture import Architecture
from embrl.core.errors import EmbrlError
from embrl.envs import ENVIRONMENTS, EnvConfig
from embrl.storage import files
from embrl.storage.versions import versions

T = TypeVar("T")

FORMAT = 1
RECORD = "population.json"

COLUMNS: dict[str, type[np.generic]] = {
    "lineage": np.int64,
    "step": np.int64,
    "seed": np.int64,
    "return_mean": np.float32,
    "return_std": np.float32,
    "survival_mean": np.float32,
}
"""Of the table: the training run an agent was taken from; the samples that run had taken; its
seed (-1: not known); return and survival over the evaluation's episodes."""

SHARD_BYTES = 2**28
"""About as large as a shard becomes: what `append` holds in memory beside what it was given."""
HEADER_BYTES = 2**20
"""More than any shard's header has."""

NAMES = {np.dtype(np.float32): "F32", np.dtype(np.int64): "I64"}
"""What safetensors call them."""


@dataclasses.dataclass(frozen=True)
class Shard:
    """A file of agents, as `population.json` lists it."""

    file: str
    count: int
    bytes: int


class Population:
    """A population as it was when it was opened, to read from.

    Weights are mapped into memory: what is not asked for is not read.
    """

    def __init__(self, path: str | Path) -> None:
        """
        Raises:
            EmbrlError: `path` holds no population, one of a newer format, or a damaged one; the
                message names the file.
        """
        self.path = Path(path)
        self._record = record = _read(self.path)
        where = self.path / RECORD
        self.architecture = _structured(record["architecture"], Architecture, where, "architecture")
        self.environment = _structured(record["environment"], str, where, "environment")
        """Its registered name."""
        self.episodes = _structured(record["episodes"], int, where, "episodes")
        """That each agent was evaluated on."""
        shards = _structured(record["shards"], tuple[Shard, ...], where, "shards")
        if len({shard.file for shard in shards}) < len(shards):
            raise EmbrlError(f"{where} is damaged: it lists a shard twice")
        self._tensors = [_tensors(self.path, shard, self.architecture.size) for shard in shards]
        self._starts = np.cumsum([0, *(shard.count for shard in shards)])

    @property
    def count(self) -> int:
        """Of all agents."""
        return int(self._starts[-1])

    @functools.cached_property
    def env(self) -> EnvConfig:
        """The environment's settings.

        Raises:
            EmbrlError: the environment is not known here (a plugin's, perhaps), or has other
                settings.
        """
        kind = ENVIRONMENTS[self.environment]
        return _structured(self._record["env"], kind, self.path / RECORD, "env")

    def weights(self, start: int = 0, stop: int | None = None) -> Float[np.ndarray, "n size"]:
        """Weights of agents `start` up to `stop`, as slices count, not to be written to.

        Raises:
            EmbrlError: the file is damaged: some of these are not finite.
        """
        first, last, _ = slice(start, stop).indices(self.count)
        parts = [np.empty((0, self.architecture.size), np.float32)]
        for begin, tensors in self._shards():
            part = tensors["weights"].mapped()[max(first - begin, 0) : max(last - begin, 0)]
            if len(part):
                self._check(part, range(max(first, begin), last))
                parts.append(part)
        return parts[1] if len(parts) == 2 else np.concatenate(parts)

    def rows(self, index: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n size"]:
        """Weights of the agents of these numbers, in this order.

        Raises:
            EmbrlError: there is no such agent, or some of these weights are not finite.
        """
        index = np.asarray(index, np.int64)
        if index.size and not (index.min() >= 0 and index.max() < self.count):
            raise EmbrlError(
                f"{self.path} has agents 0 to {self.count - 1}: {index.min()} to {index.max()} "
                "were asked for"
            )
        found = np.empty((len(index), self.architecture.size), np.float32)
        for begin, tensors in self._shards():
            weights = tensors["weights"]
            mine = (index >= begin) & (index < begin + weights.shape[0])
            if mine.any():
                found[mine] = weights.mapped()[index[mine] - begin]
        self._check(found, index)
        return found

    def table(self) -> dict[str, np.ndarray]:
        """Every agent's row, by column: those of `COLUMNS`, each `[count]`.

        Raises:
            EmbrlError: the file is damaged: a number is not finite.
        """
        table = {
            name: np.concatenate(
                [np.empty(0, kind), *(tensors[name].mapped() for _, tensors in self._shards())]
            )
            for name, kind in COLUMNS.items()
        }
        for name, values in table.items():
            if not np.isfinite(values).all():
                agent = int(np.argmin(np.isfinite(values)))
                raise EmbrlError(f"{self.path}: agent {agent}'s {name} is not a finite number")
        return table

    def _shards(self) -> Iterator[tuple[int, dict[str, "_Tensor"]]]:
        return zip(map(int, self._starts), self._tensors, strict=False)

    def _check(self, weights: np.ndarray, numbers: Any) -> None:
        finite = np.isfinite(weights).all(-1)
        if not finite.all():
            agent = numbers[int(np.argmin(finite))]
            raise EmbrlError(f"{self.path}: agent {agent} has weights that are not finite numbers")


def create(
    path: str | Path,
    architecture: Architecture,
    environment: str,
    env: EnvConfig,
    episodes: int,
) -> Population:
    """Makes a population without agents.

    Arguments:
        environment: its registered name.
        env: its settings.
        episodes: that each agent is evaluated on.

    Raises:
        EmbrlError: something is there already.
    """
    path = Path(path)
    if (path / RECORD).exists():
        raise EmbrlError(f"{path} holds a population already: append to it, or choose another")
    # Its own leftovers are hidden files: anything else is somebody's.
    if path.exists() and (not path.is_dir() or any(path.glob("[!.]*"))):
        raise EmbrlError(f"{path} is there and holds no population: choose an empty or new folder")
    path.mkdir(parents=True, exist_ok=True)
    record = {
        "format": FORMAT,
        "environment": environment,
        "env": dataclasses.asdict(env),
        "architecture": dataclasses.asdict(architecture),
        "episodes": episodes,
        "versions": versions(),
        "shards": [],
    }
    files.write_json(path / RECORD, record)
    return Population(path)


def append(
    path: str | Path,
    weights: Float[np.ndarray, "n size"],
    table: Mapping[str, np.ndarray],
    *,
    architecture: Architecture | None = None,
) -> None:
    """Adds agents to a population, all of them or, if it is interrupted, none.

    Arguments:
        table: the columns of `COLUMNS`, `[n]` each.
        architecture: theirs, to be compared with the population's; else only the number of
            weights is.

    Raises:
        EmbrlError: the population is damaged, or these agents do not belong in it; it stays as
            it is.
    """
    population = Population(path)
    path, mine = population.path, population.architecture
    if architecture is not None and architecture != mine:
        raise EmbrlError(f"{path} is of agents {mine}, not {architecture}: make another population")
    with np.errstate(over="ignore"):  # what is too large is refused below
        weights = np.asarray(weights).astype(np.float32, copy=False)
    if weights.ndim != 2 or weights.shape[1] != mine.size:
        raise EmbrlError(
            f"{path} is of agents {mine}, [n, {mine.size}] weights: these are {list(weights.shape)}"
        )
    population._check(weights, range(len(weights)))
    columns = _columns(table, len(weights), path)
    if not len(weights):
        return
    listed = list(population._record["shards"])
    _clear(path, {shard["file"] for shard in listed})
    step = max(1, SHARD_BYTES // (4 * mine.size))
    for start in range(0, len(weights), step):
        part = {"weights": weights[start : start + step]}
        part |= {name: values[start : start + step] for name, values in columns.items()}
        data = save({name: np.ascontiguousarray(values) for name, values in part.items()})
        shard = Shard(f"agents-{len(listed):05d}.safetensors", len(part["weights"]), len(data))
        files.write_bytes(path / shard.file, data)
        listed.append(dataclasses.asdict(shard))
    files.write_json(path / RECORD, {**population._record, "shards": listed})


def _columns(table: Mapping[str, np.ndarray], count: int, path: Path) -> dict[str, np.ndarray]:
    if table.keys() != COLUMNS.keys():
        wrong = ", ".join(sorted(table.keys() ^ COLUMNS.keys()))
        raise EmbrlError(f"{path}: a table has the columns {', '.join(COLUMNS)}; see {wrong}")
    columns = {}
    for name, kind in COLUMNS.items():
        values = np.asarray(table[name])
        if values.shape != (count,):
            raise EmbrlError(
                f"{path}: column {name} is {list(values.shape)} for {count} agents: "
                "each has one number"
            )
        if issubclass(kind, np.integer) and values.dtype.kind not in "iu":
            raise EmbrlError(f"{path}: column {name} is {values.dtype}: it has whole numbers")
        columns[name] = values.astype(kind)
        if not np.isfinite(columns[name]).all():
            raise EmbrlError(f"{path}: column {name} has numbers that are not finite")
    return columns


def _clear(path: Path, listed: set[str]) -> None:
    """Removes what an append that was interrupted has left."""
    for pattern in (".agents-*.tmp", f".{RECORD}.*.tmp"):
        for leftover in path.glob(pattern):
            leftover.unlink(missing_ok=True)
    for shard in path.glob("agents-*.safetensors"):
        if shard.name not in listed:
            shard.unlink()


def _read(path: Path) -> dict[str, Any]:
    where = path / RECORD
    if not where.is_file():
        raise EmbrlError(f"{path} holds no population: it has no {RECORD}")
    record = files.read_json(where)
    if record.get("format") != FORMAT:
        raise EmbrlError(
            f"{where} has format {record.get('format')!r}, this version of embrl reads {FORMAT}"
        )
    known = ("environment", "env", "architecture", "episodes", "shards")
    if missing := [name for name in known if name not in record]:
        raise EmbrlError(f"{where} is damaged: it lacks {', '.join(missing)}")
    return record


def _structured(value: Any, kind: type[T], where: Path, name: str) -> T:
    try:
        return cattrs.Converter(forbid_extra_keys=True).structure(value, kind)
    except Exception as error:  # cattrs raises groups of whatever a value's type raises
        if isinstance(error, EmbrlError):
            reasons = str(error)
        else:
            reasons = "; ".join(cattrs.transform_error(error))
        raise EmbrlError(f"{where}: {name} is damaged: {reasons}") from error


class _Tensor(NamedTuple):
    """Where a tensor lies. It is mapped when it is asked for: a map holds a file open."""

    path: Path
    kind: np.dtype
    shape: tuple[int, ...]
    offset: int

    def mapped(self) -> np.ndarray:
        try:
            return np.memmap(self.path, self.kind, "r", self.offset, self.shape)
        except (OSError, ValueError) as error:
            raise EmbrlError(f"{self.path} is missing or damaged: {error}") from error


def _tensors(folder: Path, shard: Shard, size: int) -> dict[str, _Tensor]:
    path = folder / shard.file
    if not re.fullmatch(r"agents-\d{5,}\.safetensors", shard.file) or shard.count < 1:
        raise EmbrlError(f"{folder / RECORD} is damaged: {shard} is no shard")
    try:
        with path.open("rb") as file:
            found = path.stat().st_size
            if found != shard.bytes:
                raise EmbrlError(
                    f"{path} is damaged: it has {found} bytes, {RECORD} says {shard.bytes}"
                )
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length <= HEADER_BYTES else None
    except OSError as error:
        raise EmbrlError(f"{path} is missing or unreadable: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise EmbrlError(f"{path} is damaged: its header is no JSON") from error
    wanted = {"weights": (np.float32, (shard.count, size))}
    wanted |= {name: (kind, (shard.count,)) for name, kind in COLUMNS.items()}
    return {
        name: _tensor(path, header, name, np.dtype(kind), shape, 8 + length, shard.bytes)
        for name, (kind, shape) in wanted.items()
    }


def _tensor(
    path: Path,
    header: Any,
    name: str,
    kind: np.dtype,
    shape: tuple[int, ...],
    start: int,
    end: int,
) -> _Tensor:
    try:
        entry = header[name]
        first, last = entry["data_offsets"]
        right = entry["dtype"] == NAMES[kind] and tuple(entry["shape"]) == shape
        right = right and last - first == kind.itemsize * math.prod(shape)
        right = right and first >= 0 and start + last <= end
    except (KeyError, TypeError, ValueError):
        right, first = False, 0
    if not right:
        raise EmbrlError(f"{path} is damaged: expected {name} to be {kind}{list(shape)}")
    return _Tensor(path, kind, shape, start + first)
