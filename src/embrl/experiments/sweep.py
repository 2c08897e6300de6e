"""One configuration at every point of a grid.

Settings that are mere numbers in the compiled trainer vary beside the seeds of one run
(`RunConfig.vary`); a run is made for each combination of the others.
"""

import dataclasses
import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import cattrs
import numpy as np
from jaxtyping import Float

from embrl.config.run import RunConfig, as_json, from_json
from embrl.config.settings_by_name import replaced, settings, traceable, validate_name
from embrl.core.errors import EmbrlError
from embrl.core.statistics import area_under_curve
from embrl.storage import files
from embrl.storage.run_folder import RunFolder
from embrl.training.loop import ProgressCallback, ignore_progress, train
from embrl.training.trainer import Trainer

By = Literal["auc", "final"]

ROWS = 80
"""Rows of one run: they bound its memory, and what an interruption can cost."""

REPORTS = 0
"""The seed that `embrl train` takes, and reports with it."""

FILE = "sweep.json"


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What to try."""

    config: RunConfig
    """With as many seeds as each point is to have."""
    grid: Mapping[str, tuple[Any, ...]]
    """Values by dotted name: every combination is a point."""
    by: By = "auc"
    """What makes a point the best: the mean over seeds of the mean return over the training's
    samples, or of the last evaluation's return."""
    rows: int = ROWS
    """Rows of one run at most, but for the seeds of a single point."""


@dataclasses.dataclass(frozen=True)
class Part:
    """One run of a sweep."""

    config: RunConfig
    points: tuple[Mapping[str, Any], ...]
    """The whole setting of each point of the grid in it."""


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What became of one point."""

    settings: Mapping[str, Any]
    final: Float[np.ndarray, " seeds"]
    """Return of the last evaluation; nan where a seed diverged."""
    auc: Float[np.ndarray, " seeds"]
    """Mean return over the samples of training; likewise."""

    @property
    def diverged(self) -> int:
        """How many seeds did."""
        return int(np.isnan(self.auc).sum())

    def score(self, by: By) -> float:
        """Mean over seeds; -inf if one of them diverged."""
        return -np.inf if self.diverged else float(getattr(self, by).mean())


@dataclasses.dataclass(frozen=True)
class Result:
    """A complete sweep."""

    sweep: Sweep
    outcomes: tuple[Outcome, ...]
    """The best first."""
    wall_s: float
    """Seconds of all runs."""

    @property
    def best(self) -> Outcome:
        """The point to choose."""
        return self.outcomes[0]


def parts(sweep: Sweep) -> list[Part]:
    """The runs that a sweep is made of, in the order of its grid.

    Raises:
        EmbrlError: a setting is unknown or has no value, or the seeds are those of reports.
    """
    config, grid = sweep.config, sweep.grid
    _check(sweep)
    traced = [name for name in grid if _is_traced(config, name, grid[name])]
    others = [name for name in grid if name not in traced]
    side_by_side = list(itertools.product(*(map(float, grid[name]) for name in traced)))
    count = -(-len(side_by_side) // max(1, sweep.rows // max(config.seeds, 1)))
    found = []
    for chosen in itertools.product(*(grid[name] for name in others)):
        fixed = dict(zip(others, chosen, strict=True))
        one = replaced(config, fixed)
        # Of nearly the same size: most of them are then the very same trainer.
        for chunk in np.array_split(np.arange(len(side_by_side)), count):
            values = [side_by_side[index] for index in chunk]
            vary = dict(zip(traced, zip(*values, strict=True), strict=True)) if traced else {}
            points = tuple(fixed | dict(zip(traced, point, strict=True)) for point in values)
            in_order = tuple({name: point[name] for name in grid} for point in points)
            found.append(Part(dataclasses.replace(one, vary=vary), in_order))
    return found


def run(
    sweep: Sweep,
    out: str | Path,
    *,
    resume: bool = False,
    train_flags: Sequence[str] = (),
    begin: Callable[[int, int], ProgressCallback] = lambda *_: ignore_progress,
    started: float | None = None,
) -> Result:
    """Trains every point of a grid, in run folders below `out`.

    Arguments:
        resume: go on where an interrupted sweep stopped. If nothing is there yet, start.
        train_flags: what `embrl train` is to be told of the configuration; it is written down.
        begin: called before each run with its number, from 1, and how many there are; returns who
            is to watch it.
        started: when the command began (`time.perf_counter`).

    Raises:
        EmbrlError: a setting is wrong, or `out` holds something else.
    """
    out, todo = Path(out), parts(sweep)
    started = time.perf_counter() if started is None else started
    _check_all(todo)
    _open(sweep, out, resume, train_flags)
    outcomes, wall = [], 0.0
    for number, part in enumerate(todo):
        folder = train(
            part.config,
            out / "runs" / f"{number:03d}",
            resume=True,
            on_progress=begin(number + 1, len(todo)),
            started=started,
            sweep=True,
        )
        outcomes += _outcomes(part, folder)
        wall += folder.summary()["wall_s"]
        started = time.perf_counter()
    # The sort is stable: of equals, the first in the grid.
    outcomes.sort(key=lambda outcome: outcome.score(sweep.by), reverse=True)
    return Result(sweep, tuple(outcomes), wall)


def planned(out: str | Path) -> Sweep:
    """The sweep that was begun in the folder `out`.

    Raises:
        EmbrlError: there is none, or its file is damaged.
    """
    path = Path(out) / FILE
    if not path.exists():
        raise EmbrlError(f"{out} holds no sweep: it has no {FILE}")
    found = files.read_json(path)
    try:
        plan = found["plan"]
        config = from_json(plan["config"], path)
        kinds = settings(config)
        grid = {
            name: tuple(cattrs.structure(value, kinds[name]) for value in values)
            for name, values in plan["grid"].items()
        }
        return Sweep(config, grid, plan["by"], plan["rows"])
    except (KeyError, TypeError, AttributeError, ValueError, cattrs.BaseValidationError) as error:
        raise EmbrlError(f"{path} is damaged: {error}") from error


def plan_json(sweep: Sweep) -> dict[str, Any]:
    """Plain values, as they stand in `sweep.json`."""
    plan = {
        "config": as_json(sweep.config),
        "grid": {name: list(values) for name, values in sweep.grid.items()},
        "by": sweep.by,
        "rows": sweep.rows,
    }
    return json.loads(json.dumps(plan))  # tuples become lists


def _check(sweep: Sweep) -> None:
    config, grid = sweep.config, sweep.grid
    if not grid:
        raise EmbrlError("there is nothing to sweep: give --over NAME VALUE VALUE ... or --grid")
    for name, values in grid.items():
        validate_name(config, name)
        if not values:
            raise EmbrlError(f"{name} has no values to try: give at least one")
        if len(set(values)) < len(values):
            raise EmbrlError(f"{name} has a value twice: {', '.join(map(str, values))}")
    if sweep.rows < 1:
        raise EmbrlError(f"rows is {sweep.rows}: choose 1 or more")
    if config.seed == REPORTS:
        raise EmbrlError(
            f"seed is {REPORTS}, which embrl train reports with: a point chosen on the same seeds "
            "looks better than it is; choose another, such as 1"
        )


def _check_all(todo: Sequence[Part]) -> None:
    """Now, not after hours of training the others."""
    env_config = env = None
    for part in todo:
        if env is None or part.config.env != env_config:
            env_config = part.config.env
            env = env_config.build()
        Trainer(part.config, env.observation_space, env.action_space).validate()


def _is_traced(config: RunConfig, name: str, values: Sequence[Any]) -> bool:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return numbers and name in traceable(config)


def _open(sweep: Sweep, out: Path, resume: bool, train_flags: Sequence[str]) -> None:
    path, plan = out / FILE, plan_json(sweep)
    if path.exists():
        if not resume:
            raise EmbrlError(f"{out} already holds a sweep: choose another --out, or add --resume")
        found = files.read_json(path).get("plan", {})
        for name in ("config", "grid", "rows"):  # what is best can be asked anew
            if found.get(name) != plan[name]:
                raise EmbrlError(f"{out} holds another sweep: its {name} differs from this one's")
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise EmbrlError(f"{out} is there and holds no sweep: choose an empty or new folder")
    out.mkdir(parents=True, exist_ok=True)
    files.write_json(path, {"train": list(train_flags), "plan": plan})


def _outcomes(part: Part, folder: RunFolder) -> list[Outcome]:
    seeds, metrics = part.config.seeds, folder.metrics()
    shape = (-1, len(part.points), seeds)
    returns = np.moveaxis(metrics["return_mean"].reshape(shape), 0, -1)
    samples = metrics["timesteps"].reshape(shape)[:, 0, 0]
    areas = area_under_curve(samples, returns)
    final = returns[..., -1]
    return [Outcome(settings, final[at], areas[at]) for at, settings in enumerate(part.points)]
