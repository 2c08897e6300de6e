"""Figures 3a and 3b: the gridworld, its states as cells and as coordinates."""

from embrl.envs import EnvConfig
from embrl.envs.continuous_gridworld import ContinuousGridworldConfig
from embrl.envs.gridworld import GridworldConfig
from embrl.experiments.panel import Claim, Options, Panel
from embrl.experiments.panels.common import NOT_STATED, ahead, published_line, tuned_lines

ACTUATORS = (5, 9, 11)
LEVEL = 0.1
"""Of the final return: nearer than this, two methods are level."""

WALLS = (
    "Walls as in the released code: steps are checked at their ends alone, so that agents jump "
    "over walls that are thinner than a step."
)


def fig3a(options: Options) -> Panel:
    """Discrete states and actions, 2^5, 2^9 and 2^11 of these."""
    return _panel("fig3a", "Gridworld, discrete states", "gridworld", GridworldConfig, options)


def fig3b(options: Options) -> Panel:
    """Continuous states; here the paper claims no more than to be level."""
    return _panel(
        "fig3b",
        "Gridworld, continuous states",
        "continuous_gridworld",
        ContinuousGridworldConfig,
        options,
    )


def _panel(
    figure: str, title: str, environment: str, kind: type[EnvConfig], options: Options
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
            claims += [
                Claim(
                    f"{jsae} level with {other}, final return within {LEVEL}",
                    jsae,
                    other,
                    "final_return",
                    "level",
                    LEVEL,
                )
                for other in baselines
            ]
        *others, ours = [line.label for line in tuned[size]]
        claims += ahead(ours, [*baselines, *others, jsae], final=False)
    deviations = [WALLS, *NOT_STATED]
    if figure == "fig3b":
        deviations.append(
            "The geometry of the continuous version is not published; it is that of the other."
        )
        deviations.append(
            "Without embedding the policy is a softmax over actions. Table 1 has standard "
            "deviations for it, which it has no use for."
        )
    return Panel(figure, title, tuple(lines), tuple(claims), tuple(deviations))


def _sizes(options: Options) -> tuple[int, ...]:
    return ACTUATORS[:1] if options.quick else ACTUATORS
