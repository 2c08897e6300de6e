"""The curves of folders, of runs and of panels, each with a label of its own."""

import collections
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from embrl.core.errors import EmbrlError
from embrl.report.curves import Curve, read_curve
from embrl.report.panels import ROWS, is_panel, read_panel
from embrl.storage.run_folder import RunFolder


def read_curves(paths: Sequence[str | Path]) -> list[Curve]:
    """The curves of several runs and panels, in their order.

    Runs of the same method are told apart by their folders, "VPG + JSAE (first)". Labels of panels
    begin with the panel's folder, "fig3: VPG", where there are several panels or the label is not
    the only one of its kind.

    Raises:
        EmbrlError: a path holds neither, or what it holds is damaged.
    """
    read = [(path, is_panel(path), _read(path)) for path in paths]
    names = [Path(path).resolve().name for path in paths]
    places = names if len(set(names)) == len(names) else [str(path) for path in paths]
    panels = sum(panel for _, panel, _ in read)
    times = collections.Counter(curve.label for _, _, curves in read for curve in curves)

    def label(curve: Curve, panel: bool, place: str) -> str:
        if panel and (panels > 1 or times[curve.label] > 1):
            return f"{place}: {curve.label}"
        return curve.label if panel or times[curve.label] == 1 else f"{curve.label} ({place})"

    return [
        dataclasses.replace(curve, label=label(curve, panel, place))
        for (_, panel, curves), place in zip(read, places, strict=True)
        for curve in curves
    ]


def _read(path: str | Path) -> list[Curve]:
    if is_panel(path):
        return read_panel(path)
    folder = RunFolder(path)
    if not folder.holds_run:
        raise EmbrlError(f"{path} holds no run and no panel: it has neither config.json nor {ROWS}")
    return [read_curve(folder)]
