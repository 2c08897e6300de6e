"""Collects a population: trains, takes agents along the way, evaluates, and keeps them."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cattrs
import jax
import numpy as np
from jaxtyping import Float, Int

from embrl.agents.lineages import LineageConfig, Lineages
from embrl.agents.population import RECORD, Population, append, create
from embrl.agents.survival import survival
from embrl.core.errors import EmbrlError
from embrl.core.types import Key
from embrl.envs import ENVIRONMENTS
from embrl.storage import files
from embrl.storage.versions import versions

FILE = "collect.json"
"""Beside `population.json`: what is, or was, to be collected."""

EVALUATE = 2**32 - 1
"""Folded into the seed's key where episodes of evaluation come from; lineages have lower ones."""


LINEAGES, EPISODES, BLOCK = 2000, 100, 100
"""When nothing else is said."""


@dataclasses.dataclass(frozen=True)
class CollectConfig:
    """A collection, to the last setting: with this, the same versions and the same kind of machine
    it comes out the same to the last bit.
    """

    runs: LineageConfig
    lineages: int = LINEAGES
    """Training runs."""
    episodes: int = EPISODES
    """That each agent is evaluated on, by its likeliest action."""
    block: int = BLOCK
    """Lineages that are trained at once, and what an interruption can cost. A multiple of the
    number of cores."""

    @property
    def agents(self) -> int:
        """How many there are to be."""
        return self.lineages * len(self.runs.checkpoints)


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a collection has come."""

    lineages: int
    """Trained and evaluated, or left out."""
    of: int
    agents: int
    """In the population."""
    value: float | None
    """Their mean, in steps."""
    news: tuple[str, ...] = ()
    """What a person should know: lineages that were left out."""


Watcher = Callable[[Progress], None]


def unwatched(progress: Progress) -> None:
    """Nobody looks."""
    del progress


def collect(
    config: CollectConfig,
    out: str | Path,
    *,
    resume: bool = False,
    watch: Watcher = unwatched,
) -> Population:
    """Makes a population in the folder `out`, block by block.

    A lineage whose weights stop being finite is left out, all agents of it.

    Arguments:
        resume: go on with what is in `out`; the result is the same, bit for bit, as without the
            interruption. If nothing is there yet, start.
        watch: called before the first block and after each.

    Raises:
        EmbrlError: a setting is wrong, or `out` holds something else; it stays as it is.
    """
    out = Path(out)
    _check(config)
    lineages = Lineages(config.runs, min(config.block, config.lineages))
    _open(config, lineages, out, resume)
    key = evaluation_key(config)
    first = _done(config, lineages, out)
    watch(_progress(config, out, min(first, config.lineages)))
    for start in range(first, config.lineages, lineages.block):
        numbers = np.arange(start, min(start + lineages.block, config.lineages))
        weights, table, lost = _block(config, lineages, numbers, key)
        append(out, weights, table, architecture=lineages.architecture)
        watch(_progress(config, out, int(numbers[-1]) + 1, lost))
    return Population(out)


def evaluation_key(config: CollectConfig) -> Key:
    """Where the episodes come from that each agent is evaluated on: they begin alike for all."""
    return jax.random.fold_in(jax.random.key(config.runs.seed), EVALUATE)


def planned(out: str | Path) -> CollectConfig:
    """The collection that was begun in the folder `out`.

    Raises:
        EmbrlError: there is none, or its file is damaged.
    """
    path = Path(out) / FILE
    if not path.exists():
        raise EmbrlError(f"{out} holds no collection: it has no {FILE}")
    return from_json(files.read_json(path), path)


def as_json(config: CollectConfig) -> dict[str, Any]:
    """Plain values, as they stand in `collect.json`."""
    return json.loads(json.dumps(dataclasses.asdict(config)))  # tuples become lists


def from_json(value: dict[str, Any], where: Path) -> CollectConfig:
    """What `as_json` wrote, read from the file `where`.

    Raises:
        EmbrlError: it says something else.
    """
    value = {name: part for name, part in value.items() if name != "versions"}
    converter = cattrs.Converter(forbid_extra_keys=True)
    try:
        # The kind of the settings depends on the environment's name.
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


def _block(
    config: CollectConfig, lineages: Lineages, numbers: Int[np.ndarray, " n"], key: Key
) -> tuple[Float[np.ndarray, "agents size"], dict[str, np.ndarray], list[int]]:
    """The agents of these lineages, their rows, and the lineages that are left out."""
    # The last block is as large as the others, so that one program serves.
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
    news = tuple(f"lineage {number} diverged: it is left out" for number in lost)
    return Progress(done, config.lineages, len(returns), mean, news)


def _check(config: CollectConfig) -> None:
    for name in ("lineages", "episodes", "block"):
        value = getattr(config, name)
        if value < 1:
            raise EmbrlError(f"{name} is {value}: choose 1 or more")
    if config.lineages >= EVALUATE:
        raise EmbrlError(f"lineages is {config.lineages}: choose fewer than {EVALUATE}")


def _open(config: CollectConfig, lineages: Lineages, out: Path, resume: bool) -> None:
    """Makes the folder ready for this collection, or sees that it is of it."""
    wanted = as_json(config)
    if not (out / RECORD).exists():
        runs = config.runs
        create(out, lineages.architecture, runs.environment, runs.env, config.episodes)
    elif not resume:
        raise EmbrlError(f"{out} already holds a population: choose another --out, or add --resume")
    elif (out / FILE).exists() or Population(out).count:
        found = _flat(as_json(planned(out)))
        for name, mine in _flat(wanted).items():
            if mine != (its := found.get(name)):
                raise EmbrlError(
                    f"{out} holds another collection: its {name} is {its}, this one's is {mine}"
                )
        return
    # Else it was stopped between the two.
    files.write_json(out / FILE, {"versions": versions(), **wanted})


def _flat(value: dict[str, Any]) -> dict[str, Any]:
    """By the names that people know them by."""
    runs = {name: part for name, part in value["runs"].items() if name != "env"}
    env = {f"env.{name}": part for name, part in value["runs"]["env"].items()}
    return {**runs, **env, **{name: part for name, part in value.items() if name != "runs"}}


def _done(config: CollectConfig, lineages: Lineages, out: Path) -> int:
    """Where to go on: blocks are appended whole and in order."""
    table = Population(out).table()
    found = table["lineage"]
    if not found.size:
        return 0
    if found.max() >= config.lineages or set(table["seed"].tolist()) != {config.runs.seed}:
        raise EmbrlError(
            f"{out} holds agents that are not of its collection: collect into another folder"
        )
    return (int(found.max()) // lineages.block + 1) * lineages.block
