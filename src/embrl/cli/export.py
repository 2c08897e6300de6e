"""The command `embrl export RUN`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from embrl.cli.parsing import finish_help, parse

USAGE = """\
usage: embrl export RUN [--seed K] [--out FOLDER] [--stochastic] [--no-onnx]

Write a trained policy for use without embrl: policy.onnx, a graph from raw observations to
actions, and policy.py, which needs NumPy alone, with policy.json and weights.npz.

  RUN             run folder; its newest checkpoint is exported
  --seed K        index of the seed (default: 0)
  --out FOLDER    folder to write (default: RUN/policy-K); replaces an earlier export
  --stochastic    the ONNX file takes noise, too, and draws actions (default: the action of the
                  most likely internal action)
  --no-onnx       leave out the ONNX file, which needs the package onnx"""


@dataclasses.dataclass(frozen=True)
class _Export:
    run: Annotated[Path, tyro.conf.Positional]
    """Run folder."""
    seed: int = 0
    """Index of the seed."""
    out: Path | None = None
    """Folder to write."""
    stochastic: tyro.conf.FlagCreatePairsOff[bool] = False
    """Whether the ONNX file takes noise."""
    onnx: bool = True
    """Whether to write an ONNX file."""


def export(arguments: Sequence[str]) -> None:
    """Export a policy, and print what was written and what the policy takes and returns."""
    finish_help(arguments, USAGE)
    given = parse(_Export, arguments, "embrl export")
    from embrl.core.runtime import prepare_jax
    from embrl.deploy.export import export_with_notes

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
