"""Command `embrl plot`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from embrl.cli.parsing import parse


@dataclasses.dataclass(frozen=True)
class _Plot:
    """Draw a run's learning curve and its embedding.

    The figures are written to the folder figures in the run folder. A run with a state embedding
    has the four panels of the paper's Figure 2, too: X and E as they are if they have two
    dimensions, and by their two principal components otherwise.
    """

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder."""
    seed: int = 0
    """Index of the seed whose embedding is drawn."""


def plot(arguments: Sequence[str]) -> None:
    """Draw the figures of a run and print their paths."""
    given = parse(_Plot, arguments, "embrl plot")
    from embrl.report.run_figures import draw_run

    for path in draw_run(given.run, given.seed):
        print(path)
