"""Definition of a panel of a figure: the lines to run and the claims to test."""

import collections
import dataclasses
from collections.abc import Callable, Collection, Container, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from embrl.config.run import RunConfig
from embrl.core.errors import EmbrlError, UnknownNameError
from embrl.storage.run_folder import RunFolder

Group = Literal["published", "tuned", "ours"]
"""Origin of a line's settings: `published` for the paper's settings, `tuned` for baselines whose
settings were found by a search with JSAE's grid and budget, `ours` for JSAE with a single setting
for every environment."""

Measure = Literal["auc", "final_return", "timesteps_to_half"]

GROUPS: tuple[Group, ...] = get_args(Group)
SEEDS = 10
"""Number of seeds in the paper."""


@dataclasses.dataclass(frozen=True)
class ReproductionOptions:
    """Options of `embrl reproduce` that change a panel."""

    seeds: int = SEEDS
    """Number of independent runs of each line, 1 or more."""
    quick: bool = False
    """Make a small version of the panel: fewer lines, seeds and environment steps."""
    data: str | None = None
    """Purchase log for the recommender."""
    full_sac: bool = False
    """Update SAC once per environment step, as in the paper."""
    envpool: bool = False
    """Simulate robots in envpool's threads, with the same dynamics."""

    def __post_init__(self) -> None:
        if not self.seeds >= 1:
            raise EmbrlError(f"seeds must be 1 or more, got {self.seeds}")


@dataclasses.dataclass(frozen=True)
class PanelLine:
    """A run of a panel, and its style in the figure."""

    label: str
    config: RunConfig
    group: Group
    colour: str
    """Lines with the same value share a colour: a method."""
    dash: str = ""
    """Lines with the same value share a dash pattern: a size or an algorithm."""
    source: str = ""
    """Label of the line whose run `config.transfer` starts from; empty for none."""
    drawn: bool = True
    """False for runs that only serve as a source: they are reported, but have no curve."""


@dataclasses.dataclass(frozen=True)
class Claim:
    """Comparison of two lines by one measure."""

    text: str
    better: str
    """Label of the line that the claim is about."""
    worse: str
    """Label of the line that it is compared with."""
    measure: Measure
    kind: Literal["above", "below", "level"] = "above"
    """`above` (`below`) if the 95 % interval of the mean difference, `better` minus `worse`, must
    lie above (below) 0; `level` if it must lie within plus or minus `margin`."""
    margin: float = 0.0


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Results that a panel shows in place of learning curves."""

    claims: list[dict[str, Any]]
    """Tested claims, as `embrl.report.claims.judge` returns them."""
    pictures: list[str]
    """Names of the figures that were written."""
    text: str
    """Markdown text for README.md."""


Examine = Callable[["Panel", Mapping[str, RunFolder], Path], Evidence]
"""Function that examines the finished runs of a panel, by label, and writes figures to a folder."""


SHORTER = 20
"""Factor by which `--quick` reduces the environment steps."""
QUICK_SEEDS = 2
QUICK_PRETRAINING = 0.3
"""Maximum fraction of the budget spent on pre-training."""
QUICK_STEPS = 300
"""Maximum number of gradient steps of pre-training."""


def shorter(config: RunConfig) -> RunConfig:
    """Return the configuration with a twentieth of the environment steps."""
    fit, evaluation, epoch = config.pretrain, config.evaluation, config.rollout.steps_per_update
    timesteps = config.total_timesteps // SHORTER
    return dataclasses.replace(
        config,
        seeds=min(config.seeds, QUICK_SEEDS),
        total_timesteps=timesteps,
        pretrain=dataclasses.replace(
            fit,
            total_timesteps=min(pretrain.timesteps, int(QUICK_PRETRAINING * timesteps)),
            steps=min(pretrain.gradient_steps, QUICK_STEPS),
        ),
        evaluation=dataclasses.replace(
            evaluation,
            every=epoch * max(1, min(evaluation.every, timesteps // 6) // epoch),
            episodes=min(evaluation.episodes, 10),
            final_episodes=20,
        ),
    )


@dataclasses.dataclass(frozen=True)
class Panel:
    """Definition of a panel."""

    figure: str
    """Name of the figure, such as `fig3a`."""
    title: str
    lines: tuple[PanelLine, ...]
    claims: tuple[Claim, ...]
    deviations: tuple[str, ...] = ()
    """Sentences on what differs from the paper, or is not stated there."""
    examine: Examine | None = None
    """Replaces the figure of learning curves."""
    shorten: Callable[[RunConfig], RunConfig] = shorter
    """Makes a line's run short for `--quick`."""

    def __post_init__(self) -> None:
        times = collections.Counter(line.label for line in self.lines)
        assert max(times.values(), default=1) == 1, times  # labels name folders

    def only(self, labels: Container[str]) -> "Panel":
        """Return the panel with these lines alone, and the claims between them."""
        lines = tuple(line for line in self.lines if line.label in labels)
        claims = tuple(c for c in self.claims if c.better in labels and c.worse in labels)
        return dataclasses.replace(self, lines=lines, claims=claims)


def chosen(
    panel: Panel, groups: Collection[Group] = GROUPS, labels: Collection[str] = ()
) -> frozenset[str]:
    """Return the labels of the lines of some groups.

    Args:
        panel: The panel.
        groups: Groups to choose from.
        labels: Labels to choose from; empty for all.

    Raises:
        EmbrlError: A group or label is unknown, or no line is left.
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
    """Return the panel with short runs, for `--quick`."""
    return dataclasses.replace(
        panel,
        lines=tuple(
            dataclasses.replace(line, config=panel.shorten(line.config)) for line in panel.lines
        ),
        deviations=(
            *panel.deviations,
            f"--quick: 1/{SHORTER} of the environment steps, at most {QUICK_SEEDS} seeds, fewer "
            "lines and evaluations, smaller environments. This tests the code and says nothing "
            "about the claims.",
        ),
    )
