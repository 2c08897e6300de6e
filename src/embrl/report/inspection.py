"""Diagnosis of an embedding: its measures, and sentences that say what is wrong with it."""

import collections
import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embrl.core.errors import EmbrlError
from embrl.embedding import saved as fitted
from embrl.embedding.methods import METHODS
from embrl.embedding.monitor import MEASURES, embedding_warnings
from embrl.embedding.probing import LOST
from embrl.embedding.quality import PROBED_AGAIN
from embrl.report.drawing import short_count
from embrl.storage.run_folder import RunFolder

if TYPE_CHECKING:
    from rich.table import Table

NOTHING = "–"

MAX_NAMES = 8
"""Lost features that a sentence lists before it counts the others."""
SIDE_BY_SIDE = 4
"""Maximum number of seeds with a column each; for more, mean, minimum and maximum are shown."""

SMALL = 1e-5
"""Absolute value below which a measure is shown as 0."""

WRONGLY = 5e-3
"""Tolerated fraction of pairs that coincide although the environment tells them apart."""

MANY = 1e-2
"""Tolerated fraction of pairs that coincide if the environment does not say which should."""

MONITORING = {
    "surprise": ("surprise at new transitions", "0"),
    "surprise_fraction": ("surprising transitions", "0"),
    "fresh_loss": ("loss on new transitions", ""),
    "reference_loss": ("loss on pre-training transitions", "the same"),
    "unseen_fraction": ("unseen states", ""),
    "reference_unseen_fraction": ("unseen states in held-out data", "the same"),
    "phi_drift": ("drift of phi since pre-training", "0 if frozen"),
    "phi_rank": ("effective rank of phi", "1 to m"),
    "g_drift": ("drift of g since pre-training", "0 if frozen"),
    "g_rank": ("effective rank of g", "1 to d"),
    "dead_fraction": ("actions never chosen by f", "0"),
    "colliding_fraction": ("actions within 0.01 of another", "0 if none equal"),
}
"""Description and ideal value of each of `MEASURES`."""

PROBED = "state_feature_probing"
"""Name of the scores of features after pre-training."""

SeedMeasures = Mapping[str, Any]
"""Measures of one seed by name."""


@dataclasses.dataclass(frozen=True)
class MeasureRow:
    """One measure, with its value for every seed."""

    name: str
    values: tuple[float | None, ...]
    ideal: str


@dataclasses.dataclass(frozen=True)
class Inspection:
    """Measures of an embedding and findings about it."""

    title: str
    seeds: tuple[int, ...]
    quality: tuple[MeasureRow, ...]
    """Measures taken after pre-training."""
    monitoring: tuple[MeasureRow, ...]
    """Newest measures taken during training."""
    timesteps: int | None
    """Environment steps until the newest measures."""
    findings: tuple[str, ...]
    """What is wrong with the embedding."""
    notes: tuple[str, ...]
    """What could not be examined, and why."""
    after: str = "pre-training"
    """What the measures of quality were taken after: `"pre-training"` or `"the fit"`."""


def inspect(path: str | Path, seed: int | None = None) -> Inspection:
    """Examine the embedding of a run.

    Args:
        path: The run folder.
        seed: Index of a seed; None for all seeds.

    Raises:
        EmbrlError: There is no run, no such seed, nothing was measured yet, or a file is damaged.
    """
    folder = RunFolder.existing(path)
    config = folder.config()
    method, environment = str(config.get("method")), config.get("environment")
    title = f"{method} on {environment}, {path}"
    kind = METHODS.get(method)
    if kind is not None and not kind.embeds:
        return Inspection(title, (), (), (), None, (), (f"Method {method} has no embedding.",))
    reports = _quality(folder)
    timesteps, newest = _monitoring(folder)
    seeds = sorted(reports.keys() | newest.keys())
    if not seeds:
        raise EmbrlError(f"{path} has no measures yet; wait until pre-training is over")
    if seed is not None and seed not in seeds:
        raise EmbrlError(f"--seed must be from {seeds[0]} to {seeds[-1]} in {path}, got {seed}")
    seeds = seeds if seed is None else [seed]
    old = [reports.get(seed, {}) for seed in seeds]
    new = [newest.get(seed, {}) for seed in seeds]
    return Inspection(
        title=title,
        seeds=tuple(seeds),
        quality=tuple(_quality_lines(old)) if any(old) else (),
        monitoring=(
            *(
                MeasureRow(label, tuple(measures.get(name) for measures in new), ideal)
                for name, (label, ideal) in MONITORING.items()
                if any(name in measures for measures in new)
            ),
            *_probing_lines(old, PROBED_AGAIN),
        ),
        timesteps=timesteps,
        findings=tuple(_findings(seeds, old, new)),
        notes=tuple(_notes(old, new)),
    )


def inspect_embedding(path: str | Path) -> Inspection:
    """Examine an embedding that `embrl fit` wrote to the folder `path`.

    Raises:
        EmbrlError: There is no embedding, or its `embedding.json` is damaged.
    """
    manifest = fitted.read_manifest(path)
    source, report = manifest["source"], manifest["quality"]
    seed, timesteps = (source.get(name) or 0 for name in ("seed", "timesteps"))
    for name, value in (("seed", seed), ("timesteps", timesteps)):
        if not isinstance(value, int):
            raise EmbrlError(
                f"{Path(path) / fitted.MANIFEST}: source.{name} must be a whole number, got "
                f"{value!r:.40}"
            )
    return Inspection(
        title=(
            f"{manifest['method']} on {source.get('name')}, {timesteps:,} transitions, "
            f"{_space(manifest['observation_space'])}, {_space(manifest['action_space'])}, {path}"
        ),
        seeds=(seed,),
        quality=tuple(_quality_lines([report])) if report else (),
        monitoring=(),
        timesteps=None,
        findings=tuple(_findings([seed], [report], [{}])),
        notes=() if report else ("There are no measures of quality, because the run took none.",),
        after="the fit",
    )


def _space(space: Mapping[str, Any]) -> str:
    """Return a short description of a space."""
    if space.get("kind") == "Box":
        return f"Box({len(space.get('low') or ())})"
    sizes = space.get("sizes") or space.get("shape") or ()
    return f"{space.get('kind')}({', '.join(map(str, sizes))})"


def _quality(folder: RunFolder) -> dict[int, SeedMeasures]:
    if not (folder.path / "quality.json").exists():
        return {}
    reports = folder.quality()
    try:
        return {int(report["seed"]): report for report in reports}
    except (KeyError, TypeError, ValueError) as error:
        raise EmbrlError(
            f"{folder.path / 'quality.json'} is damaged: a report has no seed"
        ) from error


def _monitoring(folder: RunFolder) -> tuple[int | None, dict[int, SeedMeasures]]:
    """Return the environment steps taken until the newest measures, and these for every seed."""
    if not (folder.path / "metrics.csv").exists():
        return None, {}
    columns = folder.seed_metrics()
    newest: dict[int, SeedMeasures] = {}
    timesteps = None
    for row, seed in enumerate(columns["seed"]):
        measures = {
            name: float(columns[name][row])
            for name in MEASURES
            if name in columns and not math.isnan(columns[name][row])
        }
        if measures:
            newest[int(seed)], timesteps = measures, int(columns["timesteps"][row])
    return timesteps, newest


def _quality_lines(reports: list[SeedMeasures]) -> Iterator[MeasureRow]:
    def line(name: str, label: str, ideal: str) -> Iterator[MeasureRow]:
        values = tuple(_number(report.get(name)) for report in reports)
        if any(value is not None for value in values):
            yield MeasureRow(label, values, ideal)

    def fraction(name: str, of: str, label: str, ideal: str) -> Iterator[MeasureRow]:
        values = tuple(_fraction(report, name, of) for report in reports)
        if any(value is not None for value in values):
            yield MeasureRow(label, values, ideal)

    yield from line("held_out_loss", "loss on held-out transitions", "low")
    yield from line("next_state_accuracy", "accuracy of predicted next states", "1")
    yield from line("next_state_r2", "explained variance of next states", "1")
    yield from fraction("states_visited", "states_total", "states visited", "1")
    yield from _probing_lines(reports, PROBED)
    for kind, space in (("state", "X"), ("action", "E")):
        of = f"{kind}_pairs_compared"
        yield from fraction(
            f"{kind}_pairs_coinciding", of, f"{kind} pairs that coincide", "if equal"
        )
        yield from fraction(f"{kind}_pairs_coinciding_wrongly", of, "fraction that should not", "0")
        if kind == "action":
            yield from line("action_distance_equal", "distance between equal actions", "0")
        yield from line(f"{kind}_distance_correlation", f"correlation of distances in {space}", "1")


def _probing_lines(reports: list[SeedMeasures], when: str) -> Iterator[MeasureRow]:
    """Yield how well each feature is recovered, from `PROBED` or `PROBED_AGAIN`."""
    names: dict[str, None] = {}
    for report in reports:
        names |= dict.fromkeys(report.get(when) or {})
    for name in names:
        recovered = tuple(_number((report.get(when) or {}).get(name)) for report in reports)
        # Values of a factor are told apart in pairs; see embrl.embedding.probing.
        how = "values told apart in" if name.startswith("factor ") else "recovered from"
        yield MeasureRow(f"{name} {how} X", recovered, "1")


def _findings(
    seeds: list[int], reports: list[SeedMeasures], newest: list[SeedMeasures]
) -> Iterator[str]:
    """Yield each finding once, with the seeds that it applies to."""
    who = collections.defaultdict(list)
    for at, report in enumerate(reports):
        for finding in (*_wrong(report), *(report.get("notes") or ())):
            who[finding].append(at)
    for finding, where in (who | embedding_warnings(newest)).items():
        if len(seeds) == 1:
            yield finding
        elif len(where) == len(seeds):
            yield f"in all seeds, {finding}"
        else:
            yield f"in seed {_list(str(seeds[at]) for at in where)}, {finding}"


def _wrong(report: SeedMeasures) -> Iterator[str]:
    lost, again = report.get("state_features_lost") or [], report.get(PROBED_AGAIN) or {}
    back = [name for name in lost if (_number(again.get(name)) or 0.0) >= LOST]
    found = f"less than {LOST} of it can be recovered from X"
    if left := [name for name in lost if name not in back]:
        yield f"the state embedding has lost {_some(left)}: {found}"
    if back:
        yield f"the state embedding had lost {_some(back)}; online updates have brought it back"
    if new := [name for name, score in again.items() if score < LOST and name not in lost]:
        yield f"online updates have lost {_some(new)}: {found}"
    for kind in ("state", "action"):
        compared = f"{kind}_pairs_compared"
        wrongly = _fraction(report, f"{kind}_pairs_coinciding_wrongly", compared)
        coinciding = _fraction(report, f"{kind}_pairs_coinciding", compared)
        if wrongly is not None and wrongly > WRONGLY:
            yield f"many different {kind}s coincide (distance below 0.01)"
        elif wrongly is None and coinciding is not None and coinciding > MANY:
            yield (
                f"many {kind}s coincide (distance below 0.01), and the environment does not say "
                "if they should"
            )


def _notes(reports: list[SeedMeasures], newest: list[SeedMeasures]) -> Iterator[str]:
    if not any(reports):
        yield "There is no quality.json, because this run had no pre-training of its own."
    elif not any(PROBED in report for report in reports):
        yield "The quality report is from an older version, which did not test for lost features."
    if not any(newest):
        yield "There is no monitoring: the run has just begun, or is from an older version."


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _fraction(report: SeedMeasures, name: str, of: str) -> float | None:
    part, whole = _number(report.get(name)), _number(report.get(of))
    return None if part is None or not whole else part / whole


def _some(names: list[str]) -> str:
    """Return names as a list in words, which counts those beyond `MAX_NAMES`."""
    left = len(names) - MAX_NAMES
    return _list(names if left < 2 else [*names[:MAX_NAMES], f"{left} others"])


def _list(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


# Text for the terminal


def to_rich(inspection: Inspection) -> "list[Table]":
    """Return the tables; they fit 80 columns."""
    tables = []
    if inspection.quality:
        tables.append(_table(f"After {inspection.after}", inspection.seeds, inspection.quality))
    if inspection.monitoring:
        heading = f"Now, after {short_count(inspection.timesteps or 0)} environment steps"
        tables.append(_table(heading, inspection.seeds, inspection.monitoring))
    return tables


def sentences(inspection: Inspection) -> list[str]:
    """Return the findings, or a sentence that there are none, and the notes."""
    found = [f"{finding[:1].upper()}{finding[1:]}." for finding in inspection.findings]
    if not found and inspection.seeds:
        found = ["No problems found."]
    return [*found, *inspection.notes]


def _table(heading: str, seeds: tuple[int, ...], lines: tuple[MeasureRow, ...]) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title=heading, title_justify="left")
    table.add_column("")
    each = len(seeds) <= SIDE_BY_SIDE
    names = [f"seed {seed}" for seed in seeds] if each else ["mean", "lowest", "highest"]
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("ideal", no_wrap=True)
    for line in lines:
        values = line.values if each else _ends(line.values)
        table.add_row(*map(Text, (line.name, *map(_text, values), line.ideal)))
    return table


def _ends(values: tuple[float | None, ...]) -> tuple[float | None, ...]:
    known = [value for value in values if value is not None]
    return (float(np.mean(known)), min(known), max(known)) if known else (None,) * 3


def _text(value: float | None) -> str:
    if value is None:
        return NOTHING
    if abs(value) < SMALL:
        return "0"
    return f"{value:.3g}" if abs(value) < 1000 else short_count(value)
