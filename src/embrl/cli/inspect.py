"""Command `embrl inspect`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from embrl.cli.parsing import finish_help, parse
from embrl.core.errors import EmbrlError

USAGE = """\
usage: embrl inspect RUN [--seed K]
       embrl inspect FOLDER

Print measures of a run's embedding after pre-training and during training, and warnings about what
is wrong with it. For an embedding that embrl fit wrote, also draw it.

  RUN         run folder, complete or in progress
  FOLDER      folder of an embedding
  --seed K    index of a seed (default: all)"""


@dataclasses.dataclass(frozen=True)
class _Inspect:
    run: Annotated[Path, tyro.conf.Positional]
    """Folder of a run or an embedding."""
    seed: int | None = None
    """Index of a seed. By default all seeds are shown."""


def inspect(arguments: Sequence[str]) -> None:
    """Print tables of measures and what they say about the embedding."""
    finish_help(arguments, USAGE)
    given = parse(_Inspect, arguments, "embrl inspect")
    from embrl.embedding.saved import is_embedding
    from embrl.report import inspection

    alone = is_embedding(given.run)
    if alone and given.seed is not None:
        raise EmbrlError(
            f"--seed must be left out, got {given.seed}; {given.run} holds a single embedding"
        )
    picture = None
    if alone:
        from embrl.report.run_figures import draw_fitted

        found = inspection.inspect_embedding(given.run)
        picture = draw_fitted(given.run)  # also checks that it is complete
    else:
        found = inspection.inspect(given.run, given.seed)
    console = Console(highlight=False)
    console.print(found.title, soft_wrap=True, markup=False)
    for table in inspection.to_rich(found):
        console.print(table)
    for sentence in inspection.sentences(found):
        console.print(sentence, soft_wrap=True, markup=False)
    if picture is not None:
        console.print(str(picture), soft_wrap=True, markup=False)
