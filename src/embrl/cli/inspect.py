"""`embrl inspect RUN`"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from embrl.cli.parsing import finish_help, parse

USAGE = """\
usage: embrl inspect RUN [--seed K]

Says how good a run's embedding was after pre-training, whether it still fits what the agent sees,
and what is wrong with it, if anything is.

  RUN         a run folder, complete or in progress
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
    from embrl.report import inspection

    found = inspection.inspect(given.run, given.seed)
    console = Console(highlight=False)
    console.print(found.title, soft_wrap=True, markup=False)
    for table in inspection.to_rich(found):
        console.print(table)
    for sentence in inspection.sentences(found):
        console.print(sentence, soft_wrap=True, markup=False)
