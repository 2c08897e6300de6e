"""Population folder: many agents of one architecture in one environment, with a table.

    POPULATION/population.json              architecture, environment, list of shards; written last
    POPULATION/agents-00000.safetensors     weights [n, size] and one tensor per column

Shards never change. An append writes new ones under temporary names, renames them, and only then
writes a new list: if it is interrupted, the old population is intact, and the next append removes
unlisted files. Any number of processes may read; one at a time may write, which a lock sees to.
"""

import dataclasses
import functools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import cattrs
import numpy as np
from jaxtyping import Float, Int
from safetensors.numpy import save

from embrl.agents.architecture import Architecture
from embrl.core.errors import EmbrlError
from embrl.core.runtime import versions
from embrl.envs import ENVIRONMENTS, EnvConfig
from embrl.storage import files
from embrl.storage.lock import locked

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
"""Columns of the table.

The lineage (training run) of an agent; the environment steps that this run had taken; its seed
(-1 if unknown); return and survival over the evaluation episodes.
"""

SHARD_BYTES = 2**28
"""Approximate maximum size of a shard, which `append` holds in memory beside its input."""
HEADER_BYTES = 2**20
"""Upper bound of the size of a shard's header."""

SHARD_FILE = r"(?:[A-Za-z0-9][\w-]*/){0,3}agents-\d{5,}\.safetensors"
"""Path of a shard, in the population's folder or below it."""

NAMES = {np.dtype(np.float32): "F32", np.dtype(np.int64): "I64"}
"""Names of dtypes in safetensors."""


_CONVERTER = cattrs.Converter(forbid_extra_keys=True)
"""Made once: a population may consist of thousands of others."""


@dataclasses.dataclass(frozen=True)
class Shard:
    """File of agents, as listed in `population.json`."""

    file: str
    count: int
    bytes: int


class Population:
    """Read-only view of a population as it was when opened.

    Weights are memory-mapped: only what is requested is read.
    """

    def __init__(self, path: str | Path) -> None:
        """Open the population in the folder `path`.

        Raises:
            EmbrlError: `path` holds no population, one of a newer format, or a damaged one; the
                message names the file.
        """
        self.path = Path(path)
        self._record = record = _read(self.path)
        where = self.path / RECORD
        self.architecture = _structured(record["architecture"], Architecture, where, "architecture")
        self.environment = _structured(record["environment"], str, where, "environment")
        """Registered name of the environment."""
        self.episodes = _structured(record["episodes"], int, where, "episodes")
        """Evaluation episodes of each agent."""
        shards = _structured(record["shards"], tuple[Shard, ...], where, "shards")
        if len({shard.file for shard in shards}) < len(shards):
            raise EmbrlError(f"{where} is damaged: a shard is listed twice")
        self._tensors = [_tensors(self.path, shard, self.architecture.size) for shard in shards]
        self._starts = np.cumsum([0, *(shard.count for shard in shards)])

    @property
    def count(self) -> int:
        """Number of agents."""
        return int(self._starts[-1])

    @functools.cached_property
    def env(self) -> EnvConfig:
        """Settings of the environment.

        Raises:
            EmbrlError: the environment is unknown here (perhaps a plugin's), or has other settings.
        """
        kind = ENVIRONMENTS[self.environment]
        return _structured(self._record["env"], kind, self.path / RECORD, "env")

    def weights(self, start: int = 0, stop: int | None = None) -> Float[np.ndarray, "n size"]:
        """Return the weights of agents `start` to `stop` (a slice), read-only.

        Raises:
            EmbrlError: the file is damaged: some weights are not finite.
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
        """Return the weights of the agents with these numbers, in this order.

        Raises:
            EmbrlError: there is no such agent, or some weights are not finite.
        """
        index = np.asarray(index, np.int64)
        if index.size and not (index.min() >= 0 and index.max() < self.count):
            raise EmbrlError(
                f"agents must be 0 to {self.count - 1} in {self.path}, got {index.min()} "
                f"to {index.max()}"
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
        """Return the table by column: those of `COLUMNS`, each `[count]`.

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
                raise EmbrlError(f"{self.path} is damaged: {name} of agent {agent} is not finite")
        return table

    def _shards(self) -> Iterator[tuple[int, dict[str, "_Tensor"]]]:
        return zip(map(int, self._starts), self._tensors, strict=False)

    def _check(self, weights: np.ndarray, numbers: Any) -> None:
        finite = np.isfinite(weights).all(-1)
        if not finite.all():
            agent = numbers[int(np.argmin(finite))]
            raise EmbrlError(f"{self.path}: weights of agent {agent} are not finite")


def create(
    path: str | Path,
    architecture: Architecture,
    environment: str,
    env: EnvConfig,
    episodes: int,
) -> Population:
    """Create an empty population.

    Args:
        path: folder to create.
        architecture: architecture of its agents.
        environment: registered name of the environment.
        env: settings of the environment.
        episodes: evaluation episodes of each agent.

    Raises:
        EmbrlError: the folder is not empty.
    """
    path = Path(path)
    check_free(path)
    record = {
        "format": FORMAT,
        "environment": environment,
        "env": dataclasses.asdict(env),
        "architecture": dataclasses.asdict(architecture),
        "episodes": episodes,
        "versions": versions(),
        "shards": [],
    }
    with locked(path):
        files.write_json(path / RECORD, record)
    return Population(path)


def check_free(path: Path) -> None:
    """Check that a population can be created in a folder.

    Raises:
        EmbrlError: the path exists and is not an empty folder.
    """
    if (path / RECORD).exists():
        raise EmbrlError(f"{path} already holds a population; append to it or choose a new folder")
    if not files.is_free(path):
        raise EmbrlError(f"{path} exists and is not a population; choose an empty or new folder")


def append(
    path: str | Path,
    weights: Float[np.ndarray, "n size"],
    table: Mapping[str, np.ndarray],
    *,
    architecture: Architecture | None = None,
) -> None:
    """Append agents to a population, atomically.

    Args:
        path: folder of the population.
        weights: weights `[n, size]`.
        table: the columns of `COLUMNS`, `[n]` each.
        architecture: architecture of these agents, compared with the population's; None: only the
            number of weights is.

    Raises:
        EmbrlError: the population is damaged, or these agents do not belong in it; it stays
            unchanged.
    """
    population = Population(path)
    path, mine = population.path, population.architecture
    if architecture is not None and architecture != mine:
        raise EmbrlError(
            f"agents must be {mine} as in {path}, got {architecture}; use another population"
        )
    with np.errstate(over="ignore"):  # what is too large is refused below
        weights = np.asarray(weights).astype(np.float32, copy=False)
    if weights.ndim != 2 or weights.shape[1] != mine.size:
        raise EmbrlError(
            f"weights must be [n, {mine.size}] for agents {mine} of {path}, "
            f"got {list(weights.shape)}"
        )
    population._check(weights, range(len(weights)))
    columns = _columns(table, len(weights), path)
    if not len(weights):
        return
    with locked(path):
        population = Population(path)  # nobody else appends from here on
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


def join(path: str | Path, parts: Sequence[Path]) -> Population:
    """List the agents of other populations, whose folders lie below this one, as this one's.

    Nothing is copied: a population may have as many shards as there were processes to write them,
    and is read as one. Agents that are in the population itself come first, then those of the parts
    in their order; what was listed of parts before is listed anew.

    Args:
        path: folder of the population.
        parts: folders of populations of the same agents, below `path`.

    Raises:
        EmbrlError: a part is no such population; this one stays unchanged.
    """
    path = Path(path)
    with locked(path):
        record = _read(path)
        listed = [shard for shard in record["shards"] if "/" not in shard["file"]]
        for part in parts:
            other = Population(part)._record
            for name in ("environment", "env", "architecture", "episodes"):
                if other[name] != record[name]:
                    raise EmbrlError(
                        f"{name} of {part} must be {record[name]} as in {path}, got {other[name]}"
                    )
            below = part.relative_to(path).as_posix()
            listed += [{**shard, "file": f"{below}/{shard['file']}"} for shard in other["shards"]]
        files.write_json(path / RECORD, {**record, "shards": listed})
    return Population(path)


def _columns(table: Mapping[str, np.ndarray], count: int, path: Path) -> dict[str, np.ndarray]:
    if table.keys() != COLUMNS.keys():
        wrong = ", ".join(sorted(table.keys() ^ COLUMNS.keys()))
        raise EmbrlError(f"{path}: columns must be {', '.join(COLUMNS)}; check {wrong}")
    columns = {}
    for name, kind in COLUMNS.items():
        values = np.asarray(table[name])
        if values.shape != (count,):
            raise EmbrlError(f"{path}: column {name} must be [{count}], got {list(values.shape)}")
        if issubclass(kind, np.integer) and values.dtype.kind not in "iu":
            raise EmbrlError(f"{path}: column {name} must be integers, got {values.dtype}")
        columns[name] = values.astype(kind)
        if not np.isfinite(columns[name]).all():
            raise EmbrlError(f"{path}: column {name} must be finite")
    return columns


def _clear(path: Path, listed: set[str]) -> None:
    """Remove the shards of an interrupted append."""
    for shard in path.glob("agents-*.safetensors"):
        if shard.name not in listed:
            shard.unlink()


def _read(path: Path) -> dict[str, Any]:
    where = path / RECORD
    if not where.is_file():
        raise EmbrlError(f"{path} is not a population: {RECORD} is missing")
    record = files.read_json(where)
    if record.get("format") != FORMAT:
        raise EmbrlError(
            f"{where} has format {record.get('format')!r}; this version of embrl reads {FORMAT}"
        )
    known = ("environment", "env", "architecture", "episodes", "shards")
    if missing := [name for name in known if name not in record]:
        raise EmbrlError(f"{where} is damaged: {', '.join(missing)} missing")
    return record


def _structured(value: Any, kind: type[T], where: Path, name: str) -> T:
    try:
        return _CONVERTER.structure(value, kind)
    except Exception as error:  # cattrs raises groups of whatever a value's type raises
        if isinstance(error, EmbrlError):
            reasons = str(error)
        else:
            reasons = "; ".join(cattrs.transform_error(error))
        raise EmbrlError(f"{where}: {name} is damaged: {reasons}") from error


class _Tensor(NamedTuple):
    """Location of a tensor; mapped on request, as a map holds a file open."""

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
    if not re.fullmatch(SHARD_FILE, shard.file) or shard.count < 1:
        raise EmbrlError(f"{folder / RECORD} is damaged: {shard} is not a shard")
    try:
        with path.open("rb") as file:
            found = path.stat().st_size
            if found != shard.bytes:
                raise EmbrlError(f"{path} is damaged: expected {shard.bytes} bytes, got {found}")
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length <= HEADER_BYTES else None
    except OSError as error:
        raise EmbrlError(f"{path} is missing or unreadable: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise EmbrlError(f"{path} is damaged: its header is not JSON") from error
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
