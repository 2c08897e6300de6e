"""`embrl inspect RUN`"""

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

Says how good a run's embedding was after pre-training, whether it still fits what the agent sees,
and what is wrong with it, if anything is. Of an embedding that embrl fit has left, also draws it.

  RUN         a run folder, complete or in progress
  FOLDER      the folder of an embedding
  --seed K    only this seed (default: all)"""


@dataclasses.dataclass(frozen=True)
class _Inspect:
    run: Annotated[Path, tyro.conf.Positional]
    """The run folder."""
    seed: int | None = None
    """Only this seed."""


def inspect(arguments: Sequence[str]) -> None:
    """Prints two tables and what follows from them."""
    finish_help(arguments, USAGE)
    given = parse(_Inspect, arguments, "embrl inspect")
    from embrl.embedding.saved import is_embedding
    from embrl.report import inspection

    alone = is_embedding(given.run)
    if alone and given.seed is not None:
        raise EmbrlError(f"--seed is {given.seed}: {given.run} holds one embedding: leave it out")
    picture = None
    if alone:
        from embrl.report.fitted_figure import draw_fitted

        found = inspection.inspect_embedding(given.run)
        picture = draw_fitted(given.run)  # which also sees whether it is whole
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
