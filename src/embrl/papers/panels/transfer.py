"""Figure 3e: transfer from 512 actions to 2,048."""

import dataclasses

from embrl.config.run import RunConfig, TransferConfig
from embrl.envs.gridworld import GridworldConfig
from embrl.papers.panel import Claim, Group, Panel, PanelLine, ReproductionOptions
from embrl.papers.panels.common import NOT_STATED, published_line, tuned_lines
from embrl.papers.panels.gridworld_and_slots import WALLS

ACTUATORS, QUICK_ACTUATORS = (9, 11), (5, 6)
"""Actuators of the source environment and of the target environment."""
OURS_SOURCE = 300_000
"""Environment steps of our source run, which has long converged by then."""

TAKEN_OVER = TransferConfig(keep="states", policy=True)

DEVIATIONS = (
    WALLS,
    "The policy is transferred together with phi and T, which are then frozen "
    f"(docs/transfer.md); its standard deviation starts at {TAKEN_OVER.min_std} or more. The paper "
    "only says that phi is initialised with the old weights, and calls the old policy a critical "
    "initialisation.",
    "The environment steps of the source run are not counted in the transferred curve.",
    *NOT_STATED,
)


def fig3e(options: ReproductionOptions) -> Panel:
    """Return the panel: runs from scratch and transferred, after the source run.

    The quick version has the published lines alone.
    """
    environment = "gridworld"
    sizes = QUICK_ACTUATORS if options.quick else ACTUATORS
    envs = [GridworldConfig(actuators=actuators, walls="released") for actuators in sizes]
    old, new = (published_line(environment, env, "jsae", "vpg", options).config for env in envs)
    published = _three("published", "", old, new)
    old, new = (tuned_lines(environment, env, options)[-1].config for env in envs)
    old = dataclasses.replace(old, total_timesteps=OURS_SOURCE)
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


def _three(group: Group, prefix: str, old: RunConfig, new: RunConfig) -> list[PanelLine]:
    source = f"{prefix}{2**old.env.actuators} actions"  # type: ignore[attr-defined]
    colour = "jsae" if group == "published" else "ours"
    moved = dataclasses.replace(new, transfer=TAKEN_OVER)
    return [
        PanelLine(source, old, group, colour, drawn=False),
        PanelLine(f"{prefix}from scratch", new, group, colour),
        PanelLine(f"{prefix}transferred", moved, group, "transferred", source=source),
    ]


def _sooner(lines: list[PanelLine]) -> list[Claim]:
    _, scratch, transferred = (line.label for line in lines)
    text = f"{transferred} above {scratch}, area under the curve"
    sooner = f"{transferred} takes fewer steps to half of the best return than {scratch}"
    return [
        Claim(text, transferred, scratch, "auc"),
        Claim(sooner, transferred, scratch, "timesteps_to_half", "below"),
    ]


def _ours_above(ours: list[PanelLine], published: list[PanelLine]) -> list[Claim]:
    if not ours:
        return []
    best, text = ours[-1].label, "area under the curve"
    return _sooner(ours) + [
        Claim(f"{best} above {other.label}, {text}", best, other.label, "auc")
        for other in published[1:]
    ]
