"""Collection of a population: train lineages, take agents along the way, evaluate, store."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cattrs
import jax
import numpy as np
from jaxtyping import Float, Int

from embrl.agents.episodes import survival
from embrl.agents.lineages import LineageConfig, Lineages
from embrl.agents.population import RECORD, Population, append, create, join
from embrl.core.errors import EmbrlError
from embrl.core.runtime import versions
from embrl.core.types import Key
from embrl.envs import ENVIRONMENTS
from embrl.executors.local import LocalExecutor
from embrl.executors.tasks import Executor, Task, check_complete, missing, write_reports
from embrl.storage import files
from embrl.storage.lock import locked
from embrl.training.loop import Progress

FILE = "collect.json"
"""File beside `population.json` with the settings of the collection."""

BLOCKS = "blocks"
"""Folder below it with a population for each block, where blocks were collected by tasks."""

EVALUATE = 2**32 - 1
"""Index folded into the seed's key for evaluation episodes; lineages have lower ones."""


LINEAGES, EPISODES, BLOCK = 2000, 100, 100
"""Defaults of a collection."""


@dataclasses.dataclass(frozen=True)
class CollectConfig:
    """Settings of a collection.

    The same settings, versions and kind of machine give the same population, bit for bit.
    """

    runs: LineageConfig
    lineages: int = LINEAGES
    """Number of training runs."""
    episodes: int = EPISODES
    """Episodes on which each agent is evaluated, with its most likely actions."""
    block: int = BLOCK
    """Lineages trained at once, which bounds what an interruption can cost.

    Best a multiple of the number of cores.
    """

    @property
    def agents(self) -> int:
        """Number of agents in the finished population."""
        return self.lineages * len(self.runs.checkpoints)


def collect(
    config: CollectConfig,
    out: str | Path,
    *,
    resume: bool = False,
    on_progress: Callable[[Progress], None] = lambda _: None,
    executor: Executor | None = None,
) -> Population:
    """Collect a population in the folder `out`, block by block.

    A lineage whose weights become non-finite is left out, with all its agents.

    Args:
        config: settings of the collection.
        out: folder of the population.
        resume: continue with what is in `out`; the result is the same, bit for bit, as without the
            interruption. If nothing is there yet, start.
        on_progress: called before the first block and after each.
        executor: what collects the blocks, each into a folder of its own below `out`/blocks; None:
            this process, one after another.

    Raises:
        EmbrlError: a setting is invalid, or `out` holds something else, which stays unchanged; or
            some blocks are missing, as they failed with an executor.
    """
    out = Path(out)
    _check(config)
    lineages = Lineages(config.runs, min(config.block, config.lineages))
    with locked(out):
        _open(config, lineages, out, resume)
        if executor is not None or (out / BLOCKS).exists():
            return _collect_apart(config, out, executor or LocalExecutor(0, None), on_progress)
        key = evaluation_key(config)
        first = _done(config, lineages, out)
        on_progress(_progress(config, out, min(first, config.lineages)))
        for start in range(first, config.lineages, lineages.block):
            numbers = np.arange(start, min(start + lineages.block, config.lineages))
            weights, table, lost = block_of_agents(config, lineages, numbers, key)
            append(out, weights, table, architecture=lineages.architecture)
            on_progress(_progress(config, out, int(numbers[-1]) + 1, lost))
    return Population(out)


def evaluation_key(config: CollectConfig) -> Key:
    """Return the key of the evaluation episodes, which start alike for all agents."""
    return jax.random.fold_in(jax.random.key(config.runs.seed), EVALUATE)


def planned(out: str | Path) -> CollectConfig:
    """Read the settings of the collection begun in the folder `out`.

    Raises:
        EmbrlError: there is none, or its file is damaged.
    """
    path = Path(out) / FILE
    if not path.exists():
        raise EmbrlError(f"{out} is not a collection: {FILE} is missing")
    return from_json(files.read_json(path), path)


def as_json(config: CollectConfig) -> dict[str, Any]:
    """Return the settings as plain values, as stored in `collect.json`."""
    return json.loads(json.dumps(dataclasses.asdict(config)))  # tuples become lists


def from_json(value: dict[str, Any], where: Path) -> CollectConfig:
    """Parse the result of `as_json`, read from the file `where`.

    Raises:
        EmbrlError: the file is damaged.
    """
    value = {name: part for name, part in value.items() if name != "versions"}
    converter = cattrs.Converter(forbid_extra_keys=True)
    try:
        # The type of the environment's settings depends on its name.
        runs = dict(value.pop("runs"))
        env = converter.structure(runs.pop("env"), ENVIRONMENTS[runs["environment"]])
        kinds = {field.name: field.type for field in dataclasses.fields(LineageConfig)}
        runs = {name: converter.structure(part, kinds[name]) for name, part in runs.items()}  # type: ignore[arg-type]
        plain = {name: converter.structure(part, int) for name, part in value.items()}
        return CollectConfig(LineageConfig(env=env, **runs), **plain)  # type: ignore[arg-type]
    except EmbrlError as error:
        raise EmbrlError(f"{where}: {error}") from error
    except Exception as error:  # cattrs raises groups of whatever a value's type raises
        reasons = "; ".join(cattrs.transform_error(error))
        raise EmbrlError(f"{where} is damaged: {reasons}") from error


def _collect_apart(
    config: CollectConfig, out: Path, executor: Executor, on_progress: Callable[[Progress], None]
) -> Population:
    """Collect the blocks that are missing, each into its own folder, and list them all.

    Raises:
        EmbrlError: some are still missing; the others are in the population.
    """
    there = set((Population(out).table()["lineage"] // config.block).tolist())
    steps = config.runs.steps_per_update * max(config.runs.checkpoints, default=0)
    tasks = []
    for number, start in enumerate(range(0, config.lineages, config.block)):
        folder = out / BLOCKS / f"{number:05d}"
        if number not in there and not (folder / RECORD).exists():
            count = min(config.block, config.lineages - start)
            spec = {"config": as_json(config), "start": start}
            tasks.append(Task(folder.name, "agents_block", spec, folder, float(count * steps)))
    on_progress(_progress(config, out, 0))
    files.make_folder(out / BLOCKS)
    try:
        reports = executor.run(tasks, f"agents of {config.runs.environment}")
    finally:  # after an interruption, too: what is complete can be read
        found = join(out, sorted(path.parent for path in (out / BLOCKS).glob(f"*/{RECORD}")))
    if reports:
        write_reports(reports, out)
    check_complete(missing(reports), len(tasks), "the same with --resume tries them again")
    on_progress(_progress(config, out, config.lineages))
    return found


def block_of_agents(
    config: CollectConfig, lineages: Lineages, numbers: Int[np.ndarray, " n"], key: Key
) -> tuple[Float[np.ndarray, "agents size"], dict[str, np.ndarray], list[int]]:
    """Return the agents of these lineages, their table, and the lineages left out."""
    # The last block is as large as the others, so that it is compiled once.
    weights = lineages.train(numbers[0] + np.arange(lineages.block))[: len(numbers)]
    kept = np.isfinite(weights).all((1, 2))
    weights = weights[kept].reshape(-1, weights.shape[-1])
    steps = lineages.steps
    played = survival(lineages.env, lineages.architecture, weights, key, config.episodes)
    returns = np.asarray(played.returns, np.float64)
    table = {
        "lineage": np.repeat(numbers[kept], len(steps)),
        "step": np.tile(steps, int(kept.sum())),
        "seed": np.full(len(weights), config.runs.seed),
        "return_mean": returns.mean(1),
        "return_std": returns.std(1),
        "survival_mean": np.asarray(played.lengths, np.float64).mean(1),
    }
    return weights, table, numbers[~kept].tolist()


def _progress(config: CollectConfig, out: Path, done: int, lost: Sequence[int] = ()) -> Progress:
    returns = Population(out).table()["return_mean"]
    mean = float(returns.mean(dtype=np.float64)) if returns.size else None
    news = tuple(f"lineage {number} diverged and is left out" for number in lost)
    return Progress("lineages", done, config.lineages, mean, news)


def _check(config: CollectConfig) -> None:
    for name in ("lineages", "episodes", "block"):
        value = getattr(config, name)
        if value < 1:
            raise EmbrlError(f"{name} must be 1 or more, got {value}")
    if config.lineages >= EVALUATE:
        raise EmbrlError(f"lineages must be fewer than {EVALUATE}, got {config.lineages}")


def _open(config: CollectConfig, lineages: Lineages, out: Path, resume: bool) -> None:
    """Prepare the folder for this collection, or check that it belongs to it."""
    wanted = as_json(config)
    if (out / RECORD).exists() and not resume and not Population(out).count:
        for left in (*out.glob("agents-*.safetensors"), out / FILE, out / RECORD):
            left.unlink(missing_ok=True)  # it ended before anything was saved
    if not (out / RECORD).exists():
        runs = config.runs
        create(out, lineages.architecture, runs.environment, runs.env, config.episodes)
    elif not resume:
        raise EmbrlError(
            f"{out} already holds a population; choose another --out, or add --resume to continue"
        )
    elif (out / FILE).exists() or Population(out).count:
        found = _flat(as_json(planned(out)))
        for name, mine in _flat(wanted).items():
            if mine != (its := found.get(name)):
                raise EmbrlError(
                    f"{name} must be {its} as in the collection in {out}, got {mine}; "
                    "choose another folder"
                )
        return
    # Otherwise it was stopped between the two files.
    files.write_json(out / FILE, {"versions": versions(), **wanted})


def _flat(value: dict[str, Any]) -> dict[str, Any]:
    """Flatten the settings to the names used in messages."""
    runs = {name: part for name, part in value["runs"].items() if name != "env"}
    env = {f"env.{name}": part for name, part in value["runs"]["env"].items()}
    return {**runs, **env, **{name: part for name, part in value.items() if name != "runs"}}


def _done(config: CollectConfig, lineages: Lineages, out: Path) -> int:
    """Return the first lineage to collect; blocks are appended whole and in order."""
    table = Population(out).table()
    found = table["lineage"]
    if not found.size:
        return 0
    if found.max() >= config.lineages or set(table["seed"].tolist()) != {config.runs.seed}:
        raise EmbrlError(f"{out} holds agents of another collection; choose another folder")
    return (int(found.max()) // lineages.block + 1) * lineages.block
