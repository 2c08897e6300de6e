"""Panels that can be reproduced."""

from embrl.core.registry import Registry
from embrl.papers.panel import Panel, ReproductionOptions, small

FIGURES = Registry(
    "figure",
    {
        "fig2": "embrl.papers.panels.embedding:fig2",
        "fig3a": "embrl.papers.panels.gridworld_and_slots:fig3a",
        "fig3b": "embrl.papers.panels.gridworld_and_slots:fig3b",
        "fig3c": "embrl.papers.panels.gridworld_and_slots:fig3c",
        "fig3d": "embrl.papers.panels.robots:fig3d",
        "fig3e": "embrl.papers.panels.gridworld_and_slots:fig3e",
        "fig3f": "embrl.papers.panels.robots:fig3f",
        "fig3g": "embrl.papers.panels.recommender:fig3g",
    },
)
"""Function that makes the panel, by name of the figure. To add one, write a function of
`ReproductionOptions` and add one line here."""


def make_panel(figure: str, options: ReproductionOptions) -> Panel:
    """Return the panel of a figure of Pritz et al. (2021).

    Raises:
        EmbrlError: The figure is unknown, or needs an option that is missing.
    """
    panel = FIGURES[figure](options)
    return small(panel) if options.quick else panel
