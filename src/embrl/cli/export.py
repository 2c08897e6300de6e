"""The command `embrl export RUN`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from embrl.cli.parsing import Switch, parse

SHOWN = 5
"""Number of names of actions that are printed."""


@dataclasses.dataclass(frozen=True)
class _Export:
    """Export a run's policy to ONNX and to plain NumPy.

    Neither needs embrl: policy.onnx is a graph from raw observations to actions, and policy.py,
    with policy.json and weights.npz, needs NumPy alone.
    """

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder; its newest checkpoint is exported."""
    seed: int = 0
    """Index of the seed."""
    out: Path | None = None
    """Folder to write, in place of an earlier export. Default: policy-SEED in the run folder."""
    stochastic: Switch = False
    """The ONNX file takes noise, too, and draws actions. Otherwise it returns the action of the
    most likely internal action."""
    mask: Switch = False
    """The ONNX file takes a mask, too: which discrete actions may be chosen. (policy.py takes one
    in any case.)"""
    onnx: bool = True
    """Whether to write an ONNX file, which needs the package onnx."""


def export(arguments: Sequence[str]) -> None:
    """Export a policy, and print what was written and what the policy takes and returns."""
    given = parse(_Export, arguments, "embrl export")
    from embrl.core.runtime import prepare_jax
    from embrl.deploy.export import export_with_notes

    prepare_jax()
    path, ported = export_with_notes(
        given.run,
        given.out,
        seed=given.seed,
        onnx=given.onnx,
        stochastic=given.stochastic,
        mask=given.mask,
    )
    policy = ported.policy
    for note in ported.notes:
        print(note)
    print(f"observation  {policy.observation}, {policy.observation.dtype}")
    if given.stochastic:
        print(f"noise        {policy.noise}")
    if given.mask:
        print(f"mask         bool [..., {policy.mask_forms.count}]")
    print(f"action       {policy.action}, {policy.action.dtype}")
    if names := policy.action_names:
        more = f", ... ({len(names):,} in policy.json)" if len(names) > SHOWN else ""
        print(f"names        {', '.join(names[:SHOWN])}{more}")
    for file in sorted(path.iterdir()):
        print(f"{file} ({file.stat().st_size / 1e3:.1f} kB)")
