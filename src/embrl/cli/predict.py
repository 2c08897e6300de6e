"""`embrl predict POLICY OBSERVATIONS`"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from embrl.cli.parsing import finish_help, parse

USAGE = """\
usage: embrl predict POLICY OBSERVATIONS [--out FILE] [--seed K] [--draw S]

Says what a policy does in each of many states, which need not fit into memory.

  POLICY          a folder of embrl export, or a run folder
  OBSERVATIONS    .npy, .npz, .csv, .jsonl or .parquet, an observation a row; or - for standard
                  input, an observation a line in JSON, each answered at once
  --out FILE      the same kinds of file (default: an action a line in JSON, on standard output)
  --seed K        of a run: the seed whose policy it is (default: 0)
  --draw S        draws actions, by noise from this seed (default: the action of the likeliest
                  internal one)"""


@dataclasses.dataclass(frozen=True)
class _Predict:
    policy: Annotated[Path, tyro.conf.Positional]
    """The policy."""
    observations: Annotated[str, tyro.conf.Positional]
    """The observations."""
    out: Path | None = None
    """The actions."""
    seed: int = 0
    """Of a run."""
    draw: int | None = None
    """Seed of the noise."""


def predict(arguments: Sequence[str]) -> None:
    """Writes actions; to a file, prints how many."""
    finish_help(arguments, USAGE)
    from embrl.deploy import predicting

    # To tyro a lone dash is no argument.
    given = parse(_Predict, ["./-" if a == "-" else a for a in arguments], "embrl predict")
    source = "-" if given.observations == "./-" else given.observations
    policy = predicting.opened(given.policy, given.seed)
    count = predicting.predict(policy, source, given.out, given.draw)
    if given.out is not None:
        print(f"{given.out} ({count:,} action{'s' * (count != 1)})")
