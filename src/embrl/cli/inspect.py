"""Command `embrl inspect`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from embrl.cli.parsing import parse
from embrl.core.errors import EmbrlError
from embrl.report.console import plain_console


@dataclasses.dataclass(frozen=True)
class _Inspect:
    """Report the quality of a run's embedding, or of a saved one.

    Shows measures of the embedding after pre-training and during training, and warnings about what
    is wrong with it. An embedding that embrl fit wrote is drawn, too.
    """

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of a run, complete or in progress, or of an embedding."""
    seed: int | None = None
    """Index of a seed. Default: all."""


def inspect(arguments: Sequence[str]) -> None:
    """Print tables of measures and what they say about the embedding."""
    given = parse(_Inspect, arguments, "embrl inspect")
    from embrl.embedding.saved import is_embedding
    from embrl.report import inspection

    alone = is_embedding(given.run)
    if alone and given.seed is not None:
        raise EmbrlError(
            f"--seed must be left out, got {given.seed}; {given.run} holds a single embedding"
        )
    pictures: list[Path] = []
    if alone:
        from embrl.report.run_figures import draw_fitted

        found = inspection.inspect_embedding(given.run)
        pictures = list(draw_fitted(given.run))  # also checks that it is complete
    else:
        found = inspection.inspect(given.run, given.seed)
    console = plain_console()
    console.print(found.title, soft_wrap=True)
    for table in inspection.to_rich(found):
        console.print(table)
    for sentence in inspection.sentences(found):
        console.print(sentence, soft_wrap=True)
    for picture in pictures:
        console.print(str(picture), soft_wrap=True)
