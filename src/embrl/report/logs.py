"""Logs: callbacks that write a training in the format of another tool, by name."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from embrl.core.registry import Registry

if TYPE_CHECKING:  # all of training, which a help text that names logs does not need
    from embrl.training.callbacks import Callback

LOGS = Registry(
    "log",
    {
        "tensorboard": "embrl.report.tensorboard_log:TensorBoardLog",
    },
    plugged=True,
)
"""Function or class without arguments that returns a callback, by name. To add one, add one line
here, or call `add` in a plugin."""


def make_callbacks(names: str | Iterable[str]) -> "list[Callback]":
    """Make the callbacks of logs.

    Args:
        names: names in `LOGS`, or a single one.

    Raises:
        EmbrlError: there is no such log, or what it needs is not installed.
    """
    several = [names] if isinstance(names, str) else list(dict.fromkeys(names))
    return [LOGS[name]() for name in several]
