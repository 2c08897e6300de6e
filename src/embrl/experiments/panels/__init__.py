"""The figures that can be reproduced. A new one is a function of `Options` and one line here."""

from embrl.core.registry import Registry
from embrl.experiments.panel import Options, Panel, small

FIGURES = Registry(
    "figure",
    {
        "fig2": "embrl.experiments.panels.embedding:fig2",
        "fig3a": "embrl.experiments.panels.gridworld:fig3a",
        "fig3b": "embrl.experiments.panels.gridworld:fig3b",
        "fig3c": "embrl.experiments.panels.slot_machine:fig3c",
        "fig3d": "embrl.experiments.panels.robots:fig3d",
        "fig3e": "embrl.experiments.panels.transfer:fig3e",
        "fig3f": "embrl.experiments.panels.robots:fig3f",
        "fig3g": "embrl.experiments.panels.recommender:fig3g",
    },
)
"""Name to a function that makes its panel."""


def make_panel(figure: str, options: Options) -> Panel:
    """The panel of a figure of Pritz et al. (2021), as `options` ask for it.

    Raises:
        EmbrlError: there is no such figure, or it needs something that the options lack.
    """
    panel = FIGURES[figure](options)
    return small(panel) if options.quick else panel
