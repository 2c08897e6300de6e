"""Figure 3e: from 512 actions to 2,048."""

import dataclasses

from embrl.config.run import RunConfig, TransferConfig
from embrl.envs.gridworld import GridworldConfig
from embrl.experiments.panel import Claim, Group, Line, Options, Panel
from embrl.experiments.panels.common import NOT_STATED, published_line, tuned_lines
from embrl.experiments.panels.gridworld import WALLS

ACTUATORS, QUICK_ACTUATORS = (9, 11), (5, 6)
"""Of the old world and of the new."""
OURS_SOURCE = 300_000
"""Samples of our source run: it has long learned its world by then."""

TAKEN_OVER = TransferConfig(keep="states", policy=True)

DEVIATIONS = (
    WALLS,
    "The policy is taken over together with phi and T, which then stay as they are "
    f"(docs/transfer.md); its std begins with at least {TAKEN_OVER.min_std}. The paper says no more "
    "than that phi is initialised with the old weights, and calls the old policy a critical "
    "initialisation.",
    "The old environment's samples are not counted in the transferred curve.",
    *NOT_STATED,
)


def fig3e(options: Options) -> Panel:
    """From scratch and transferred; the old world's run comes before. Quick: as published alone."""
    environment = "gridworld"
    sizes = QUICK_ACTUATORS if options.quick else ACTUATORS
    envs = [GridworldConfig(actuators=actuators, walls="released") for actuators in sizes]
    old, new = (published_line(environment, env, "jsae", "vpg", options).config for env in envs)
    published = _three("published", "", old, new)
    old, new = (tuned_lines(environment, env, options)[-1].config for env in envs)
    old = dataclasses.replace(old, samples=OURS_SOURCE)
    ours = [] if options.quick else _three("ours", "ours, ", old, new)
    claims = [*_sooner(published), *_ours_above(ours, published)]
    return Panel(
        "fig3e",
        "Transfer from {:,} to {:,} actions, gridworld with discrete states".format(
            *(2**actuators for actuators in sizes)
        ),
        (*published, *ours),
        tuple(claims),
        DEVIATIONS,
    )


def _three(group: Group, prefix: str, old: RunConfig, new: RunConfig) -> list[Line]:
    source = f"{prefix}{2**old.env.actuators} actions"  # type: ignore[attr-defined]
    colour = "jsae" if group == "published" else "ours"
    moved = dataclasses.replace(new, transfer=TAKEN_OVER)
    return [
        Line(source, old, group, colour, drawn=False),
        Line(f"{prefix}from scratch", new, group, colour),
        Line(f"{prefix}transferred", moved, group, "transferred", source=source),
    ]


def _sooner(lines: list[Line]) -> list[Claim]:
    _, scratch, transferred = (line.label for line in lines)
    text = f"{transferred} above {scratch}, area under the curve"
    sooner = f"{transferred} sooner at half of the best than {scratch}, samples"
    return [
        Claim(text, transferred, scratch, "auc"),
        Claim(sooner, transferred, scratch, "samples_to_half", "below"),
    ]


def _ours_above(ours: list[Line], published: list[Line]) -> list[Claim]:
    if not ours:
        return []
    best, text = ours[-1].label, "area under the curve"
    return _sooner(ours) + [
        Claim(f"{best} above {other.label}, {text}", best, other.label, "auc")
        for other in published[1:]
    ]
