"""What a panel of a figure is made of: lines to run, claims to hold against them."""

import collections
import dataclasses
from collections.abc import Callable, Collection, Container, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from embrl.config.run import RunConfig
from embrl.core.errors import EmbrlError, UnknownNameError
from embrl.storage.run_folder import RunFolder

Group = Literal["published", "tuned", "ours"]
"""published: the paper's settings. tuned: baselines with settings of a search with JSAE's grid and
budget. ours: one setting of ours, the same for every environment."""

Measure = Literal["auc", "final_return", "samples_to_half"]

GROUPS: tuple[Group, ...] = get_args(Group)
SEEDS = 10
"""The paper's."""


@dataclasses.dataclass(frozen=True)
class Options:
    """How to reproduce a figure."""

    seeds: int = SEEDS
    quick: bool = False
    """A small version of the same: fewer lines, seeds and samples."""
    data: str | None = None
    """The purchase log, for the recommender."""
    full_sac: bool = False
    """An update of SAC for every sample, as in the paper."""
    envpool: bool = False
    """Robots in envpool's threads, of the same dynamics."""

    def __post_init__(self) -> None:
        if not self.seeds >= 1:
            raise EmbrlError(f"seeds is {self.seeds}: choose 1 or more")


@dataclasses.dataclass(frozen=True)
class Line:
    """A run, and how it is drawn."""

    label: str
    config: RunConfig
    group: Group
    colour: str
    """What shares a colour: a method."""
    dash: str = ""
    """What shares a pattern of dashes: a size, an algorithm."""
    source: str = ""
    """The label of the line whose run `config.transfer` begins with."""
    drawn: bool = True
    """False for runs that others begin with: their samples are reported, and no curve."""


@dataclasses.dataclass(frozen=True)
class Claim:
    """One line against another."""

    text: str
    better: str
    """A label."""
    worse: str
    measure: Measure
    kind: Literal["above", "below", "level"] = "above"
    """above, below: the 95 % interval of better's mean less worse's lies above (below) 0. level: it
    lies within +- `margin`."""
    margin: float = 0.0


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What a panel shows beside learning curves."""

    claims: list[dict[str, Any]]
    """As `embrl.experiments.summary.judge` makes them."""
    pictures: list[str]
    """Names of files that were written."""
    text: str
    """Markdown, for README.md."""


Look = Callable[["Panel", Mapping[str, RunFolder], Path], Evidence]
"""Looks at the panel's finished runs (by label) and writes pictures into a folder."""


SHORTER = 20
QUICK_SEEDS = 2
QUICK_PRETRAINING = 0.3
"""Share of the budget, at most."""
QUICK_STEPS = 300


def shorter(config: RunConfig) -> RunConfig:
    """A twentieth of the samples."""
    fit, evaluation, epoch = config.pretrain, config.evaluation, config.rollout.steps_per_update
    samples = config.total_timesteps // SHORTER
    return dataclasses.replace(
        config,
        seeds=min(config.seeds, QUICK_SEEDS),
        total_timesteps=samples,
        pretrain=dataclasses.replace(
            fit,
            total_timesteps=min(pretrain.timesteps, int(QUICK_PRETRAINING * samples)),
            steps=min(pretrain.gradient_steps, QUICK_STEPS),
        ),
        evaluation=dataclasses.replace(
            evaluation,
            every=epoch * max(1, min(evaluation.every, samples // 6) // epoch),
            episodes=min(evaluation.episodes, 10),
            final_episodes=20,
        ),
    )


@dataclasses.dataclass(frozen=True)
class Panel:
    """Everything that a figure takes."""

    figure: str
    title: str
    lines: tuple[Line, ...]
    claims: tuple[Claim, ...]
    deviations: tuple[str, ...] = ()
    """Where this is not what the paper did, or did not say."""
    look: Look | None = None
    """In place of the picture of learning curves."""
    brief: Callable[[RunConfig], RunConfig] = shorter
    """How `--quick` makes a line small."""

    def __post_init__(self) -> None:
        times = collections.Counter(line.label for line in self.lines)
        assert max(times.values(), default=1) == 1, times  # labels name folders

    def only(self, labels: Container[str]) -> "Panel":
        """The panel with these lines alone, and the claims that they can say something about."""
        lines = tuple(line for line in self.lines if line.label in labels)
        claims = tuple(c for c in self.claims if c.better in labels and c.worse in labels)
        return dataclasses.replace(self, lines=lines, claims=claims)


def chosen(
    panel: Panel, groups: Collection[Group] = GROUPS, labels: Collection[str] = ()
) -> frozenset[str]:
    """Labels of the lines that are of these groups, and among `labels` if there are any.

    Raises:
        EmbrlError: there is no such group, no such line, or none is left.
    """
    for group in groups:
        if group not in GROUPS:
            raise UnknownNameError("group", group, GROUPS)
    known = {line.label: line.group for line in panel.lines}
    for label in labels:
        if label not in known:
            raise UnknownNameError(f"line of {panel.figure}", label, known)
    found = frozenset(label for label in labels or known if known[label] in groups)
    if not found:
        what = f"{'such ' if labels else ''}lines of the groups {', '.join(groups)}"
        raise EmbrlError(f"{panel.figure} has no {what}")
    return found


def small(panel: Panel) -> Panel:
    """The same panel for `--quick`."""
    return dataclasses.replace(
        panel,
        lines=tuple(
            dataclasses.replace(line, config=panel.brief(line.config)) for line in panel.lines
        ),
        deviations=(
            *panel.deviations,
            f"--quick: 1/{SHORTER} of the samples, at most {QUICK_SEEDS} seeds, fewer lines and "
            "evaluations, smaller worlds. It shows that the code works, and says nothing about "
            "the claims.",
        ),
    )
