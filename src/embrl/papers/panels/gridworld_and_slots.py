"""Figures 3a to 3c: the gridworld with discrete and continuous states, and the slot machine."""

from embrl.envs import EnvConfig
from embrl.envs.continuous_gridworld import ContinuousGridworldConfig
from embrl.envs.gridworld import GridworldConfig
from embrl.envs.slot_machine import SlotMachineConfig
from embrl.papers.panel import Panel, ReproductionOptions
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
