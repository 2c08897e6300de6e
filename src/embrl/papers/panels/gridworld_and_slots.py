"""Figures 3a to 3c and 3e: gridworlds, the slot machine, and transfer to more actions."""

import dataclasses

from embrl.config.run import RunConfig, TransferConfig
from embrl.envs import EnvConfig
from embrl.envs.continuous_gridworld import ContinuousGridworldConfig
from embrl.envs.gridworld import GridworldConfig
from embrl.envs.slot_machine import SlotMachineConfig
from embrl.papers.panel import Claim, Group, Panel, PanelLine, ReproductionOptions
from embrl.papers.panels.common import NOT_STATED, ahead, level, published_line, tuned_lines

ACTUATORS = (5, 9, 11)
LEVEL = 0.1
"""Difference of final returns below which two methods are level."""

WALLS = (
    "Walls as in the released code: only the ends of steps are checked, so agents jump over walls "
    "that are thinner than a step."
)

REELS = (
    "The reels are those of the released code. With them the best return is 480, while the axis of "
    "the paper's figure ends near 300."
)


def fig3a(options: ReproductionOptions) -> Panel:
    """Return the panel with discrete states and 2^5, 2^9 and 2^11 actions."""
    return _panel("fig3a", "Gridworld, discrete states", "gridworld", GridworldConfig, options)


def fig3b(options: ReproductionOptions) -> Panel:
    """Return the panel with continuous states, where the paper claims only to be level."""
    return _panel(
        "fig3b",
        "Gridworld, continuous states",
        "continuous_gridworld",
        ContinuousGridworldConfig,
        options,
    )


def fig3c(options: ReproductionOptions) -> Panel:
    """Return the panel of the slot machine: VPG without embedding, with RA and with JSAE."""
    environment = "slot_machine"
    env = SlotMachineConfig(fractions=4) if options.quick else SlotMachineConfig()
    published = [
        published_line(environment, env, method, "vpg", options)
        for method in ("none", "ra", "jsae")
    ]
    tuned = tuned_lines(environment, env, options)
    *baselines, jsae = [line.label for line in published]
    *others, ours = [line.label for line in tuned]
    claims = ahead(jsae, baselines) + ahead(ours, [*baselines, *others, jsae], final=False)
    return Panel("fig3c", "Slot machine", (*published, *tuned), tuple(claims), (REELS, *NOT_STATED))


def _panel(
    figure: str, title: str, environment: str, kind: type[EnvConfig], options: ReproductionOptions
) -> Panel:
    lines, claims = [], []
    envs = {str(2**n): kind(actuators=n, walls="released") for n in _sizes(options)}  # type: ignore[call-arg]
    for method in ("none", "ra", "jsae"):
        lines += [
            published_line(environment, env, method, "vpg", options, size)
            for size, env in envs.items()
        ]
    tuned = {size: tuned_lines(environment, env, options, size) for size, env in envs.items()}
    lines += [line for of_kind in zip(*tuned.values(), strict=True) for line in of_kind]
    for size in envs:
        jsae, baselines = f"{size} VPG-JSAE", [f"{size} VPG", f"{size} VPG-RA"]
        if figure == "fig3a":
            claims += ahead(jsae, baselines)
        else:
            claims += [level(jsae, other, LEVEL) for other in baselines]
        *others, ours = [line.label for line in tuned[size]]
        claims += ahead(ours, [*baselines, *others, jsae], final=False)
    deviations = [WALLS, *NOT_STATED]
    if figure == "fig3b":
        deviations.append(
            "The geometry of the continuous version is not published; that of the discrete version "
            "is used."
        )
        deviations.append(
            "Without an embedding the policy is a softmax over actions. Table 1 lists standard "
            "deviations for it, which it cannot use."
        )
    return Panel(figure, title, tuple(lines), tuple(claims), tuple(deviations))


def _sizes(options: ReproductionOptions) -> tuple[int, ...]:
    return ACTUATORS[:1] if options.quick else ACTUATORS


TRANSFER_ACTUATORS, QUICK_ACTUATORS = (9, 11), (5, 6)
"""Actuators of the source environment and of the target environment."""
SOURCE_TIMESTEPS = 300_000
"""Environment steps of our source run, which has long converged by then."""

TAKEN_OVER = TransferConfig(keep="states", policy=True)

TRANSFER_DEVIATIONS = (
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
    sizes = QUICK_ACTUATORS if options.quick else TRANSFER_ACTUATORS
    envs = [GridworldConfig(actuators=actuators, walls="released") for actuators in sizes]
    old, new = (published_line(environment, env, "jsae", "vpg", options).config for env in envs)
    published = _three("published", "", old, new)
    old, new = (tuned_lines(environment, env, options)[-1].config for env in envs)
    old = dataclasses.replace(old, total_timesteps=SOURCE_TIMESTEPS)
    ours = [] if options.quick else _three("ours", "ours, ", old, new)
    claims = [*_sooner(published), *_ours_above(ours, published)]
    return Panel(
        "fig3e",
        "Transfer from {:,} to {:,} actions, gridworld with discrete states".format(
            *(2**actuators for actuators in sizes)
        ),
        (*published, *ours),
        tuple(claims),
        TRANSFER_DEVIATIONS,
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
