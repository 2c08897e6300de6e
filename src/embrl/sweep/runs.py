"""Sweep of one configuration over settings, all combinations or a search, and named grids.

Settings that are traced numbers in the compiled trainer vary in parallel with the seeds of one run
(`RunConfig.vary`). Each combination of the other settings has a run of its own.
"""

import contextlib
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
from embrl.core.errors import EmbrlError, SettingError, require
from embrl.core.registry import Registry
from embrl.core.statistics import area_under_curve
from embrl.embedding.methods import METHODS
from embrl.executors.tasks import Executor, TaskReport, check_complete, write_reports
from embrl.executors.tasks import missing as lost_tasks
from embrl.executors.train_task import run_task
from embrl.storage import files
from embrl.storage.lock import locked
from embrl.storage.run_folder import RunFolder
from embrl.sweep.search import Range, Search, propose, size
from embrl.training.loop import ProgressCallback, ignore_progress, train
from embrl.training.trainer import Trainer

By = Literal["auc", "final"]

REPLICAS = 80
"""Default maximum number of replicas (seeds of all points) in one run. It bounds the memory of a
run and the work lost by an interruption."""

REPORT_SEED = 0
"""Default seed of `embrl train`, which reports use."""

FILE = "sweep.json"

TRIALS = "trials.json"
"""File of a search: the points that were proposed together, in rounds."""

AGAIN = "the same with --resume tries them again"
"""Advice where points are missing."""


CHOICES = ("environment", "method", "algorithm")
"""Names in a grid that stand for whole configurations, as other defaults depend on them."""


@dataclasses.dataclass(frozen=True)
class SweepVariant:
    """Configuration of all points with the same method, algorithm and environment."""

    choice: Mapping[str, str]
    """Values of those of `CHOICES` that are in the grid."""
    config: RunConfig

    def has(self, point: Mapping[str, Any]) -> bool:
        """Return whether a point belongs to this variant."""
        return all(point[name] == value for name, value in self.choice.items())


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Definition of a sweep."""

    config: RunConfig
    """Configuration of every point; its `seeds` is the number of seeds of a point."""
    grid: Mapping[str, tuple[Any, ...]]
    """Values by dotted name of the setting; without a search, every combination is a point."""
    by: By = "auc"
    """Score of a point: `"auc"` for the mean return over training, `"final"` for the return of the
    last evaluation; means over seeds."""
    replicas: int = REPLICAS
    """Maximum number of replicas in one run, 1 or more; a single point may exceed it."""
    chosen: tuple[SweepVariant, ...] = ()
    """Configurations in place of `config`, if the grid has any of `CHOICES`: one for each
    combination of their values."""
    ranges: Mapping[str, Range] = dataclasses.field(default_factory=dict)
    """Ranges of settings by dotted name, for a search."""
    search: Search | None = None
    """Search for good points; None: every combination is a point."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all swept settings."""
        return (*self.grid, *self.ranges)

    @property
    def space(self) -> dict[str, tuple[Any, ...] | Range]:
        """Values and ranges of the settings, without `CHOICES`."""
        return {**self.settings_grid, **self.ranges}

    @property
    def variants(self) -> tuple[SweepVariant, ...]:
        """Configurations of the points: one, unless the grid has any of `CHOICES`."""
        return self.chosen or (SweepVariant({}, self.config),)

    @property
    def settings_grid(self) -> dict[str, tuple[Any, ...]]:
        """Values of the settings in the grid, without `CHOICES`."""
        return {name: values for name, values in self.grid.items() if name not in CHOICES}

    def variant(self, point: Mapping[str, Any]) -> SweepVariant:
        """Return the variant that a point belongs to."""
        return next(each for each in self.variants if each.has(point))


@dataclasses.dataclass(frozen=True)
class SweepRun:
    """One run of a sweep."""

    config: RunConfig
    points: tuple[Mapping[str, Any], ...]
    """All swept settings of each point of the grid in this run."""


@dataclasses.dataclass(frozen=True, eq=False)
class PointResult:
    """Results of one point of the grid."""

    settings: Mapping[str, Any]
    final: Float[np.ndarray, " seeds"]
    """Return of the last evaluation; nan for a seed that diverged."""
    auc: Float[np.ndarray, " seeds"]
    """Mean return over training; nan for a seed that diverged."""

    @property
    def diverged(self) -> int:
        """Number of seeds that diverged."""
        return int(np.isnan(self.auc).sum())

    def score(self, by: By) -> float:
        """Return the mean over seeds of `final` or `auc`; -inf if a seed diverged."""
        return -np.inf if self.diverged else float(getattr(self, by).mean())


@dataclasses.dataclass(frozen=True)
class SweepResult:
    """Results of a complete sweep."""

    sweep: Sweep
    outcomes: tuple[PointResult, ...]
    """Results of all points, the best first."""
    wall_s: float
    """Duration of all runs in seconds, one after another."""
    missing: tuple[Mapping[str, Any], ...] = ()
    """Points without results, as their runs failed."""

    @property
    def best(self) -> PointResult:
        """Best point."""
        return self.outcomes[0]


def sweep_runs(sweep: Sweep) -> list[SweepRun]:
    """Return the runs of all combinations of a sweep's values, in the order of its grid.

    Raises:
        EmbrlError: A setting is unknown or has no value, or the seed is the one of reports.
    """
    _check(sweep)
    return _runs_of(sweep, _combinations(sweep, sweep.settings_grid))


def _combinations(sweep: Sweep, values: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return all points of each variant, of settings with these values."""
    return [
        {**variant.choice, **dict(zip(values, point, strict=True))}
        for variant in sweep.variants
        for point in itertools.product(*values.values())
    ]


def _runs_of(sweep: Sweep, points: Sequence[Mapping[str, Any]]) -> list[SweepRun]:
    """Return the runs of points: those that differ in plain numbers alone share one."""
    found = []
    for variant in sweep.variants:
        groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        traced = [n for n, values in sweep.space.items() if _is_traced(variant.config, n, values)]
        for point in filter(variant.has, points):
            in_order = {name: point[name] for name in sweep.names}
            in_order |= {name: float(point[name]) for name in traced}
            key = tuple(value for name, value in in_order.items() if name not in traced)
            groups.setdefault(key, []).append(in_order)
        for group in groups.values():
            found += _side_by_side(sweep, variant.config, group, traced)
    return found


def _side_by_side(
    sweep: Sweep, config: RunConfig, points: Sequence[dict[str, Any]], traced: Sequence[str]
) -> list[SweepRun]:
    fixed = {n: v for n, v in points[0].items() if n not in traced and n not in CHOICES}
    one = replaced(config, fixed)
    count = -(-len(points) // max(1, sweep.replicas // max(config.seeds, 1)))
    found = []
    # Chunks of nearly equal size, so that most of them share a compiled trainer.
    for chunk in np.array_split(np.arange(len(points)), count):
        here = tuple(points[index] for index in chunk)
        vary = {name: tuple(point[name] for point in here) for name in traced}
        found.append(SweepRun(dataclasses.replace(one, vary=vary), here))
    return found


def run(
    sweep: Sweep,
    out: str | Path,
    *,
    resume: bool = False,
    train_flags: Sequence[str] = (),
    begin: Callable[[int, int], ProgressCallback] = lambda *_: ignore_progress,
    started: float | None = None,
    executor: Executor | None = None,
) -> SweepResult:
    """Train every point of a grid, or of a search, in run folders below `out`.

    Args:
        sweep: The sweep.
        out: The folder to write to.
        resume: Continue an interrupted sweep. A folder without a sweep starts a new one.
        train_flags: Flags of `embrl train` that describe the configuration; they are saved.
        begin: Called before each run with its number, from 1, and the number of runs that are
            known, which of a search are those so far; returns the watcher of the run.
        started: Start of the command as returned by `time.perf_counter`.
        executor: What trains the runs; None: this process, one after another.

    Returns:
        The results of all points but those whose runs failed with an executor.

    Raises:
        EmbrlError: A setting is invalid, `out` holds something else, or no point has results.
    """
    out, started = Path(out), time.perf_counter() if started is None else started
    _check(sweep)
    check_configs([_config_at(sweep, point) for point in _corners(sweep)])
    outcomes, missing, wall, number = [], [], 0.0, 0
    lost: dict[str, str] = {}
    reports: list[TaskReport] = []
    with locked(out), _workers(executor, sweep):
        _open(sweep, out, resume, train_flags)
        for turn in itertools.count():
            todo = _runs_of(sweep, _next_points(sweep, out, turn, outcomes))
            if not todo:
                break
            known = number + len(todo)
            folders = [out / "runs" / f"{at:03d}" for at in range(number, known)]
            if executor is not None and (new := _execute(executor, todo, folders)):
                reports += new
                write_reports(reports, out)
                lost = lost_tasks(reports)
            for part, folder in zip(todo, folders, strict=True):
                number += 1
                if folder.name in lost:
                    missing += part.points
                    continue
                trained = train(
                    part.config,
                    folder,
                    resume=True,
                    on_progress=begin(number, known),
                    started=started,
                    sweep=True,
                )
                outcomes += _outcomes(part, trained)
                wall += trained.summary()["wall_s"]
                started = time.perf_counter()
    # The sort is stable: equal points stay in the order of the grid.
    outcomes.sort(key=lambda outcome: outcome.score(sweep.by), reverse=True)
    if not outcomes:
        check_complete(lost, number, AGAIN)
    return SweepResult(sweep, tuple(outcomes), wall, tuple(missing))


def _config_at(sweep: Sweep, point: Mapping[str, Any]) -> RunConfig:
    own = {name: value for name, value in point.items() if name not in CHOICES}
    return replaced(sweep.variant(point).config, own)


def _corners(sweep: Sweep) -> list[dict[str, Any]]:
    """Return all points of a grid; of a search, those with all ranges at the same end."""
    ends = [
        {name: (getattr(each, end),) for name, each in sweep.ranges.items()}
        for end in (("low", "high") if sweep.ranges else ("low",))
    ]
    return [point for end in ends for point in _combinations(sweep, sweep.settings_grid | end)]


def _next_points(
    sweep: Sweep, out: Path, turn: int, outcomes: Sequence[PointResult]
) -> list[dict[str, Any]]:
    """Return the points of a round, none after the last; those of a search are kept on disk.

    Args:
        sweep: The sweep.
        out: Its folder.
        turn: Number of the round, from 0.
        outcomes: Results of the points in the rounds before.
    """
    if sweep.search is None:
        return [] if turn else _combinations(sweep, sweep.settings_grid)
    rounds = _rounds(sweep, out)
    if turn < len(rounds):
        return rounds[turn]
    scores = {_key(each.settings): each.score(sweep.by) for each in outcomes}
    points = []
    for variant in sweep.variants:
        before = filter(variant.has, itertools.chain(*rounds))
        tried = [(point, scores.get(_key(point), np.nan)) for point in before]
        count = min(sweep.search.batch, sweep.search.trials - len(tried))
        found = propose(sweep.space, tried, count, sweep.config.seed) if count > 0 else []
        points += [{**variant.choice, **point} for point in found]
    if points:
        files.write_json(out / TRIALS, {"rounds": [*rounds, points]})
    return points


def _key(point: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(point.items()))


def _rounds(sweep: Sweep, out: Path) -> list[list[dict[str, Any]]]:
    """Read the points that were proposed so far.

    Raises:
        EmbrlError: The file is damaged.
    """
    path = out / TRIALS
    if not path.exists():
        return []
    kinds = _kinds(sweep.config, sweep.chosen)
    try:
        return [
            [
                {name: cattrs.structure(point[name], kinds[name]) for name in sweep.names}
                for point in points
            ]
            for points in files.read_json(path)["rounds"]
        ]
    except (KeyError, TypeError, AttributeError, ValueError, cattrs.BaseValidationError) as error:
        raise EmbrlError(f"{path} is damaged: {error}") from error


def _kinds(config: RunConfig, chosen: Sequence[SweepVariant]) -> dict[str, Any]:
    """Return the types of all settings of a sweep."""
    every = [settings(each.config) for each in chosen] or [settings(config)]
    return {name: kind for each in every for name, kind in each.items()} | dict.fromkeys(
        CHOICES, str
    )


def _workers(executor: Executor | None, sweep: Sweep) -> contextlib.AbstractContextManager[None]:
    """Return a block in which the rounds of a search share their workers."""
    if executor is None or sweep.search is None:
        return contextlib.nullcontext()
    return executor.kept(sweep.search.batch * len(sweep.variants))


def _execute(
    executor: Executor, todo: Sequence[SweepRun], folders: Sequence[Path]
) -> list[TaskReport]:
    """Train the runs that are not complete."""
    tasks = [
        run_task(folder.name, part.config, folder, sweep=True)
        for part, folder in zip(todo, folders, strict=True)
        if not RunFolder(folder).complete
    ]
    return executor.run(tasks, "sweep")


def planned(out: str | Path) -> Sweep:
    """Read the sweep that was started in the folder `out`.

    Raises:
        EmbrlError: There is no sweep, or its file is damaged.
    """
    path = Path(out) / FILE
    if not path.exists():
        raise EmbrlError(f"{out} holds no sweep: it has no {FILE}; name a folder of embrl sweep")
    found = files.read_json(path)
    try:
        plan = found["plan"]
        config = from_json(plan["config"], path)
        chosen = tuple(
            SweepVariant(dict(each["choice"]), from_json(each["config"], path))
            for each in plan.get("variants", ())
        )
        kinds = _kinds(config, chosen)
        grid = {
            name: tuple(cattrs.structure(value, kinds[name]) for value in values)
            for name, values in plan["grid"].items()
        }
        ranges = {name: Range(**each) for name, each in plan.get("ranges", {}).items()}
        search = Search(plan["trials"], plan["batch"]) if "trials" in plan else None
        return Sweep(config, grid, plan["by"], plan["replicas"], chosen, ranges, search)
    except (KeyError, TypeError, AttributeError, ValueError, cattrs.BaseValidationError) as error:
        raise EmbrlError(f"{path} is damaged: {error}") from error


def plan_json(sweep: Sweep) -> dict[str, Any]:
    """Return a sweep as plain values, as in `sweep.json`."""
    plan = {
        "config": as_json(sweep.config),
        "grid": {name: list(values) for name, values in sweep.grid.items()},
        "by": sweep.by,
        "replicas": sweep.replicas,
    }
    if sweep.chosen:
        plan["variants"] = [
            {"choice": dict(each.choice), "config": as_json(each.config)} for each in sweep.chosen
        ]
    if sweep.search is not None:
        plan |= dataclasses.asdict(sweep.search)
        plan["ranges"] = {name: dataclasses.asdict(each) for name, each in sweep.ranges.items()}
    return json.loads(json.dumps(plan))  # tuples become lists


def _check(sweep: Sweep) -> None:
    config, grid = sweep.config, sweep.grid
    if not sweep.names:
        raise EmbrlError(
            "there is nothing to sweep; add --over NAME VALUE VALUE ... or --grid NAME"
        )
    for name, each in sweep.ranges.items():
        for variant in sweep.variants:
            validate_name(variant.config, name)
        each.validate(f"--over {name}")
    for name, values in grid.items():
        if not (name in CHOICES and sweep.chosen):
            for variant in sweep.variants:
                validate_name(variant.config, name)
        if not values:
            raise EmbrlError(f"--over {name} must have at least one value, got none")
        if len(set(values)) < len(values):
            raise EmbrlError(
                f"--over {name} must have different values, got {', '.join(map(str, values))}"
            )
    if sweep.search is not None:
        require("optuna", "search")  # before the work, not in it
        sweep.search.validate()
        if sweep.search.trials > (most := size(sweep.space)):
            raise SettingError(
                "trials",
                f"at most {most:.0f}, the number of combinations",
                sweep.search.trials,
                "leave --search out to try them all",
            )
    elif sweep.ranges:
        raise EmbrlError(f"--over {next(iter(sweep.ranges))}: a range needs --search optuna")
    if sweep.replicas < 1:
        raise EmbrlError(f"replicas must be 1 or more, got {sweep.replicas}")
    if config.seed == REPORT_SEED:
        raise EmbrlError(
            f"seed must not be {REPORT_SEED}, which embrl train reports with; choose another, such "
            "as 1, because a point looks better than it is on the seeds it was chosen by"
        )


def check_configs(configs: Sequence[RunConfig]) -> None:
    """Check the settings of all runs before the first one is trained.

    Raises:
        EmbrlError: A setting is invalid.
    """
    env_config = env = None
    for config in configs:
        if env is None or config.env != env_config:
            env_config = config.env
            env = env_config.build()
        Trainer(config, env.observation_space, env.action_space).validate()


def _is_traced(config: RunConfig, name: str, values: Sequence[Any] | Range) -> bool:
    numbers = isinstance(values, Range) or all(
        isinstance(v, int | float) and not isinstance(v, bool) for v in values
    )
    return numbers and name in traceable(config)


def _open(sweep: Sweep, out: Path, resume: bool, train_flags: Sequence[str]) -> None:
    path, plan = out / FILE, plan_json(sweep)
    if path.exists():
        if not resume:
            raise EmbrlError(f"{out} already holds a sweep; choose another --out, or add --resume")
        found = files.read_json(path).get("plan", {})
        # `by` may change where no point depends on it, and a search may get more trials.
        also = () if sweep.search is None else ("by",)
        for name in ("config", "grid", "replicas", "variants", "ranges", "batch", *also):
            if found.get(name) != plan.get(name):
                raise EmbrlError(
                    f"{out} holds another sweep with a different {name}; choose another --out"
                )
        return
    if not files.is_free(out):
        raise EmbrlError(f"{out} exists and holds no sweep; choose an empty or new folder")
    files.make_folder(out)
    files.write_json(path, {"train": list(train_flags), "plan": plan})


def _outcomes(part: SweepRun, folder: RunFolder) -> list[PointResult]:
    seeds, metrics = part.config.seeds, folder.metrics()
    shape = (-1, len(part.points), seeds)
    returns = np.moveaxis(metrics["return_mean"].reshape(shape), 0, -1)
    timesteps = metrics["timesteps"].reshape(shape)[:, 0, 0]
    areas = area_under_curve(timesteps, returns)
    final = returns[..., -1]
    return [PointResult(settings, final[at], areas[at]) for at, settings in enumerate(part.points)]


GRIDS = Registry(
    "grid",
    {
        "paper": "embrl.sweep.runs:paper",
        "ours": "embrl.sweep.runs:ours",
    },
)
"""Function of a configuration that returns a grid, by name. To add one, add one line here."""

Grid = Mapping[str, tuple[Any, ...]]
"""Values to try, by dotted name of the setting."""


def paper(config: RunConfig) -> Grid:
    """Return the grid of Pritz et al. (2021), A.4.2.

    It has the learning rates, with an embedding the standard deviation, and SAC's own settings.
    """
    rates, algorithm = (1e-3, 3e-4, 1e-4), config.algorithm
    return _known(
        config,
        {
            f"{algorithm}.actor_lr": rates,
            f"{algorithm}.critic_lr": rates,
            **({"policy.std": (0.3, 0.6, 0.8, 1.0)} if METHODS[config.method].embeds else {}),
            f"{algorithm}.alpha": (0.1, 0.3),
            f"{algorithm}.batch_size": (256, 512),
        },
    )


def ours(config: RunConfig) -> Grid:
    """Return the grid in which our own best settings were found."""
    rates, algorithm = (1e-3, 3e-3, 1e-2), config.algorithm
    return _known(
        config,
        {
            f"{algorithm}.actor_lr": rates,
            f"{algorithm}.critic_lr": rates,
            f"{algorithm}.ent_coef": (0.0, -0.01, -0.04),
        },
    )


def _known(config: RunConfig, grid: Grid) -> Grid:
    """Return the part of a grid that the configuration's method and algorithm have."""
    known = settings(config)
    return {name: values for name, values in grid.items() if name in known}
