"""The command `embrl predict POLICY OBSERVATIONS`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from embrl.cli.parsing import finish_help, parse

USAGE = """\
usage: embrl predict POLICY OBSERVATIONS [--out FILE] [--seed K] [--draw S]

Write the actions of a policy for many observations, which need not fit into memory.

  POLICY          folder of embrl export, or run folder
  OBSERVATIONS    .npy, .npz, .csv, .jsonl or .parquet, an observation per row; or - for standard
                  input, one observation per line in JSON, each answered at once
  --out FILE      file of the same kinds (default: one action per line in JSON, on standard output)
  --seed K        index of a run's seed (default: 0)
  --draw S        random seed to draw actions with (default: the action of the most likely
                  internal action)"""


@dataclasses.dataclass(frozen=True)
class _Predict:
    policy: Annotated[Path, tyro.conf.Positional]
    """Exported policy or run folder."""
    observations: Annotated[str, tyro.conf.Positional]
    """File of observations."""
    out: Path | None = None
    """File to write the actions to."""
    seed: int = 0
    """Index of a run's seed."""
    draw: int | None = None
    """Random seed to draw actions with."""


def predict(arguments: Sequence[str]) -> None:
    """Write actions; to a file, and then print how many."""
    finish_help(arguments, USAGE)
    from embrl.deploy import predict as predicting

    # To tyro a lone dash is no argument.
    given = parse(_Predict, ["./-" if a == "-" else a for a in arguments], "embrl predict")
    source = "-" if given.observations == "./-" else given.observations
    policy = predicting.opened(given.policy, given.seed)
    count = predicting.predict(policy, source, given.out, given.draw)
    if given.out is not None:
        print(f"{given.out} ({count:,} action{'s' * (count != 1)})")
