"""`embrl export RUN`"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from embrl.cli.parsing import finish_help, parse

USAGE = """\
usage: embrl export RUN [--seed K] [--out FOLDER] [--stochastic] [--no-onnx]

Writes a trained policy for use without embrl: policy.onnx, from a raw observation to an action, and
policy.py, a program of a few lines that needs NumPy alone, with its weights.

  RUN             a run folder; its newest checkpoint is exported
  --seed K        the seed whose policy it is (default: 0)
  --out FOLDER    where to (default: RUN/policy-K); an earlier export gives way
  --stochastic    the ONNX file takes noise too, and draws actions (default: the action of the
                  likeliest internal one)
  --no-onnx       the rest alone, for which onnx need not be installed"""


@dataclasses.dataclass(frozen=True)
class _Export:
    run: Annotated[Path, tyro.conf.Positional]
    """The run folder."""
    seed: int = 0
    """The seed whose policy it is."""
    out: Path | None = None
    """Where to."""
    stochastic: tyro.conf.FlagCreatePairsOff[bool] = False
    """The ONNX file takes noise."""
    onnx: bool = True
    """Whether there is an ONNX file."""


def export(arguments: Sequence[str]) -> None:
    """Prints what was written, and what the policy takes and gives."""
    finish_help(arguments, USAGE)
    given = parse(_Export, arguments, "embrl export")
    from embrl.core.runtime import prepare_jax
    from embrl.deploy.exporting import export_with_notes

    prepare_jax()
    path, ported = export_with_notes(
        given.run, given.out, seed=given.seed, onnx=given.onnx, stochastic=given.stochastic
    )
    policy = ported.policy
    for note in ported.notes:
        print(note)
    print(f"observation  {policy.observation}, {policy.observation.dtype}")
    if given.stochastic:
        print(f"noise        {policy.noise}")
    print(f"action       {policy.action}, {policy.action.dtype}")
    for file in sorted(path.iterdir()):
        print(f"{file} ({file.stat().st_size / 1e3:.1f} kB)")
