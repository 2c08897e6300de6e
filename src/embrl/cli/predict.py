"""The command `embrl predict POLICY OBSERVATIONS`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from embrl.cli.parsing import Switch, parse


@dataclasses.dataclass(frozen=True)
class _Predict:
    """Write a policy's actions for a file of observations.

    There may be more observations than fit into memory.
    """

    policy: Annotated[Path, tyro.conf.Positional]
    """Folder of embrl export, or run folder."""
    observations: Annotated[str, tyro.conf.Positional]
    """File of type .npy, .npz, .csv, .jsonl or .parquet, an observation per row; or - for standard
    input, one observation per line in JSON, each answered at once."""
    out: Path | None = None
    """File of the same types to write. Default: one action per line in JSON, on standard output.
    Actions that have names, as the items of a log, are written with them."""
    seed: int = 0
    """Index of a run's seed."""
    draw: int | None = None
    """Random seed to draw actions with. Default: the action of the most likely internal action."""
    header: Literal["auto", "yes", "no"] = "auto"
    """Whether the first line of a CSV is a header. auto: if all of it are names."""
    masks: Path | None = None
    """File of type .npy, a mask per observation: the discrete actions that may be chosen."""
    strict: Switch = False
    """Refuse numbers outside their bounds. Default: they are taken, with one warning."""


def predict(arguments: Sequence[str]) -> None:
    """Write actions; to a file, and then print how many."""
    from embrl.deploy import predict as predicting

    # To tyro a lone dash is no argument.
    given = parse(_Predict, ["./-" if a == "-" else a for a in arguments], "embrl predict")
    source = "-" if given.observations == "./-" else given.observations
    policy = predicting.opened(given.policy, given.seed)
    count = predicting.predict(
        policy, source, given.out, given.draw, given.header, given.strict, given.masks
    )
    if given.out is not None:
        print(f"{given.out} ({count:,} action{'s' * (count != 1)})")
