"""Log for TensorBoard: scalars of each seed, the configuration, and an embedding to project."""

import dataclasses
import json
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from embrl.config.run import as_json
from embrl.core.errors import require
from embrl.core.images import is_image
from embrl.core.spaces import factors, is_discrete
from embrl.embedding.encoders import StateEncoder
from embrl.embedding.methods import METHODS
from embrl.embedding.monitor import MEASURES
from embrl.envs import AnyEnvironment, Environment
from embrl.fitting.embedding import Embedding
from embrl.fitting.fit import embedding_of_run
from embrl.storage import files
from embrl.storage.run_folder import COLUMNS, COUNTS
from embrl.training.callbacks import TrainingEvent

FOLDER = "tensorboard"
"""Folder of the log in that of the run."""
MEAN = "mean"
"""Folder of the means over seeds in the log; each seed has one beside it."""
EVENTS = "events.out.tfevents."
"""Beginning of the names of event files, by which TensorBoard knows them."""
MAX_PROJECTED = 10_000
"""Maximum number of states and of actions in the projector, which shows no more of them."""
MAX_COORDINATES = 16
"""Maximum number of coordinates of an observation or action among the labels of a point."""


class TensorBoardLog:
    """Callback that writes event files into the folder `tensorboard` of a run.

    There is a TensorBoard run for each seed and one for the means, so that a chart has a curve for
    each. A run that is resumed goes on in new event files, which hold all evaluations up to then
    once, and the older ones are removed.
    """

    def __init__(self, seed: int = 0) -> None:
        """Create the log.

        Args:
            seed: index of the seed whose embedding the projector shows.

        Raises:
            EmbrlError: the package that knows TensorBoard's format is not installed.
        """
        self.seed = seed
        self._format = _EventFormat()
        self._files: dict[str, Path] = {}

    def on_start(self, event: TrainingEvent) -> None:
        """Begin the event files, with what earlier parts of the run measured."""
        past = _past(event)
        replicas = event.config.replicas
        folders = [MEAN, *(_seed_folder(replica) for replica in range(replicas))]
        for name in folders:
            self._begin(event, name, past)

    def on_evaluation(self, event: TrainingEvent) -> None:
        """Add the metrics of an evaluation."""
        now = time.time()
        for name, path in self._files.items():
            self._append(path, [self._scalars(name, event.timesteps, _metrics(event), now)])

    def on_end(self, event: TrainingEvent) -> None:
        """Write the embedding of one seed for the projector, unless training failed."""
        if event.status == "failed" or not event.metrics:
            return  # no checkpoint is of this moment
        if not METHODS[event.config.method].embeds or self.seed >= event.config.replicas:
            return
        embedding = embedding_of_run(event.folder.path, self.seed)
        clouds = [points_of_states(embedding, event.env), points_of_actions(embedding, event.env)]
        write_projector(
            event.folder.path / FOLDER / _seed_folder(self.seed),
            [points for points in clouds if points is not None],
        )

    def _begin(
        self, event: TrainingEvent, name: str, past: Sequence[tuple[int, Mapping[str, np.ndarray]]]
    ) -> None:
        folder = event.folder.path / FOLDER / name
        files.make_folder(folder)
        older = sorted(folder.glob(f"{EVENTS}*"))
        times = {
            found.step: found.wall_time
            for path in older
            for found in self._format.read(path.read_bytes())
            if found.HasField("summary")
        }
        now = time.time()
        records = [self._format.version(now)]
        if older:
            # To a TensorBoard that is open: forget what the older files said.
            records.append(self._format.restart(now))
        if name == MEAN:
            config = json.dumps(as_json(event.config), indent=2)
            text = "\n".join(f"    {line}" for line in config.splitlines())
            records.append(self._format.text("config", text, times.get(0, now)))
        for step, metrics in past:
            records.append(self._scalars(name, step, metrics, times.get(step, now)))
        path = folder / _file_name(older)
        files.write_bytes(path, b"".join(records))
        for each in older:
            each.unlink()
        self._files[name] = path

    def _scalars(
        self, name: str, step: int, metrics: Mapping[str, np.ndarray], now: float
    ) -> bytes:
        """Return the record of an evaluation in one event file; what is nan is left out."""
        if name == MEAN:
            means = {tag: values[np.isfinite(values)] for tag, values in metrics.items()}
            scalars = {tag: float(v.mean()) for tag, v in means.items() if v.size}
        else:
            replica = int(name.removeprefix(_seed_folder("")))
            one = {tag: float(values[replica]) for tag, values in metrics.items()}
            scalars = {tag: value for tag, value in one.items() if np.isfinite(value)}
        return self._format.scalars(scalars, step, now)

    def _append(self, path: Path, records: Sequence[bytes]) -> None:
        with path.open("ab") as file:
            file.write(b"".join(records))


def _seed_folder(seed: int | str) -> str:
    return f"seed_{seed}"


def _file_name(older: Sequence[Path]) -> str:
    """Return the name of a new event file, after the older ones in the order of names."""
    stamps = [path.name.removeprefix(EVENTS).partition(".")[0] for path in older]
    latest = max((int(stamp) for stamp in stamps if stamp.isdecimal()), default=0)
    return f"{EVENTS}{max(int(time.time()), latest + 1):010d}.embrl"


def _tag(column: str) -> str:
    """Return the tag of a column of metrics.csv; TensorBoard shows those of a group together."""
    group = "evaluation" if column in COLUMNS else "embedding" if column in MEASURES else "learning"
    return f"{group}/{column}"


def _metrics(event: TrainingEvent) -> dict[str, np.ndarray]:
    return {_tag(name): values for name, values in event.metrics.items()}


def _past(event: TrainingEvent) -> list[tuple[int, dict[str, np.ndarray]]]:
    """Return the evaluations that a resumed run begins with: timesteps, and metrics by tag.

    metrics.csv can hold later ones, too, which are no longer valid: training takes them again.
    """
    if not event.metrics:
        return []
    columns = {
        name: values.reshape(-1, event.config.replicas)
        for name, values in event.folder.metrics().items()
    }
    return [
        (int(steps), {_tag(name): v[at] for name, v in columns.items() if name not in COUNTS})
        for at, steps in enumerate(columns["timesteps"][:, 0])
        if steps <= event.timesteps
    ]


class _EventFormat:
    """Records of an event file, from and to bytes.

    tensorboardX has the messages. Its writers are not used: each has a thread, and there is a file
    for each seed.
    """

    def __init__(self) -> None:
        require("tensorboardX", "tensorboard")
        # By attribute once imported: the package is optional, and its messages are made at import.
        self.messages: Any = require("tensorboardX.proto.event_pb2", "tensorboard")
        self.summary: Any = require("tensorboardX.summary", "tensorboard")
        self.crc: Any = require("tensorboardX.crc32c", "tensorboard").crc32c

    def version(self, now: float) -> bytes:
        """Return the first record of a file."""
        return self._record(self.messages.Event(wall_time=now, file_version="brain.Event:2"))

    def restart(self, now: float) -> bytes:
        """Return the record that takes back all earlier ones of the folder."""
        log = self.messages.SessionLog(status=self.messages.SessionLog.START)
        return self._record(self.messages.Event(wall_time=now, step=0, session_log=log))

    def text(self, tag: str, text: str, now: float) -> bytes:
        """Return the record of a text in Markdown."""
        summary = self.summary.text(tag, text)
        return self._record(self.messages.Event(wall_time=now, step=0, summary=summary))

    def scalars(self, values: Mapping[str, float], step: int, now: float) -> bytes:
        """Return the record of all scalars of a step."""
        event = self.messages.Event(wall_time=now, step=step)
        for tag, value in values.items():
            event.summary.value.add(tag=tag, simple_value=value)
        return self._record(event)

    def read(self, data: bytes) -> Iterator[Any]:
        """Yield the events of a file, up to a record that is damaged or cut off."""
        at = 0
        while at + 12 <= len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            end = at + 12 + length
            if end + 4 > len(data) or data[at : end + 4] != self._framed(data[at + 12 : end]):
                return
            yield self.messages.Event.FromString(data[at + 12 : end])
            at = end + 4

    def _record(self, event: Any) -> bytes:
        return self._framed(event.SerializeToString())

    def _framed(self, data: bytes) -> bytes:
        """Return a record: length, its checksum, data, their checksum (TFRecord)."""
        length = struct.pack("<Q", len(data))
        return length + self._checksum(length) + data + self._checksum(data)

    def _checksum(self, data: bytes) -> bytes:
        crc = self.crc(data)
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


@dataclasses.dataclass(frozen=True, eq=False)
class ProjectedPoints:
    """Points for TensorBoard's projector, with their labels."""

    name: str
    points: Float[np.ndarray, "N k"]
    labels: Mapping[str, np.ndarray]
    """Columns of labels, `[N]`, by name."""


def points_of_states(embedding: Embedding, env: AnyEnvironment) -> ProjectedPoints | None:
    """Return embedded states with their coordinates, None if states are not embedded.

    All states of a discrete space; for several factors, such as the last items bought, the values
    of the last one; held-out states of pre-training where states are continuous.
    """
    phi, space = embedding.model.phi, embedding.observation_space
    if not isinstance(phi, StateEncoder):
        return None
    if not is_discrete(space):
        if embedding.reference is None:
            return None
        observations = np.asarray(embedding.reference.held_out.observation)[:MAX_PROJECTED]
        # Pixels say nothing as labels.
        labels = {} if is_image(space) else _columns("o", observations)
        labels |= _coordinates(env, observations)
        return ProjectedPoints("states", embedding.phi(observations), labels)
    if len(factors(space)) > 1:
        points = np.asarray(phi.points[-1])
        chosen = _spread(len(points))
        return ProjectedPoints("states", points[chosen], {"value": chosen})
    chosen = _spread(factors(space)[0]).astype(np.int32)
    labels = {"state": chosen, **_coordinates(env, chosen)}
    return ProjectedPoints("states", embedding.phi(chosen), labels)


def points_of_actions(embedding: Embedding, env: AnyEnvironment) -> ProjectedPoints | None:
    """Return embedded actions with their effects, where the environment knows them.

    Discrete actions, or continuous ones of pre-training's held-out transitions.
    """
    if embedding.table is not None:
        chosen = _spread(len(embedding.table))
        effects = env.action_effects() if isinstance(env, Environment) else None
        known = {} if effects is None else _columns("effect", np.asarray(effects)[chosen])
        return ProjectedPoints("actions", embedding.table[chosen], {"action": chosen, **known})
    if embedding.reference is None:
        return None
    actions = np.asarray(embedding.reference.held_out.action)[:MAX_PROJECTED]
    return ProjectedPoints("actions", embedding.g(actions), _columns("a", actions))


def _spread(count: int) -> np.ndarray:
    """Return indices spread evenly over `count`, at most `MAX_PROJECTED` of them."""
    return np.arange(0, count, max(1, -(-count // MAX_PROJECTED)))


def _columns(
    symbol: str, values: np.ndarray, names: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    names = names or [f"{symbol}_{index + 1}" for index in range(values.shape[1])]
    return dict(list(zip(names, values.T, strict=True))[:MAX_COORDINATES])


def _coordinates(env: AnyEnvironment, observations: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the environment knows of the place of states."""
    if not isinstance(env, Environment):
        return {}
    known = env.state_coordinates(jnp.asarray(observations))
    return {} if known is None else _columns("c", np.asarray(known), env.coordinate_names)


def write_projector(folder: Path, clouds: Sequence[ProjectedPoints]) -> None:
    """Write points for TensorBoard's projector into the folder of event files."""
    entries = []
    for cloud in clouds:
        tensors, labels = f"{cloud.name}.tsv", f"{cloud.name}-labels.tsv"
        files.write_text(folder / tensors, _table(cloud.points))
        names, columns = list(cloud.labels), [_texts(v) for v in cloud.labels.values()]
        # With a single column TensorBoard takes a header for a label.
        rows = [names] * (len(names) > 1) + [list(row) for row in zip(*columns, strict=True)]
        files.write_text(folder / labels, "".join("\t".join(row) + "\n" for row in rows))
        entries.append(
            f'embeddings {{\n  tensor_name: "{cloud.name}"\n  tensor_path: "{tensors}"\n'
            f'  metadata_path: "{labels}"\n}}\n'
        )
    files.write_text(folder / "projector_config.pbtxt", "".join(entries))


def _table(values: np.ndarray) -> str:
    return "".join("\t".join(_texts(row)) + "\n" for row in values)


def _texts(values: np.ndarray) -> list[str]:
    return [
        " ".join(value.split()) if isinstance(value, str) else f"{value:.7g}"
        for value in values.tolist()
    ]
