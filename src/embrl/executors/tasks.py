"""Tasks: plain data in, a finished folder out."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, Protocol

from embrl.core.errors import EmbrlError
from embrl.core.registry import Registry
from embrl.storage import files

FILE = "tasks.json"
"""File beside the folders of tasks: what became of each."""

Heard = Callable[[str, int, int, Sequence[str]], None]
"""Function called with a stage, how much of it is done, of how much, and messages for the user."""

KINDS = Registry(
    "kind of task",
    {
        "run": "embrl.executors.train_task:train_run",
        "agents_block": "embrl.agents.blocks:collect_block",
        "agents_report": "embrl.agents.evidence.report_tasks:measure_part",
    },
)
"""Function of a description, a folder and a `Heard`, which writes the folder or continues it."""


@dataclasses.dataclass(frozen=True)
class Task:
    """Work that any process can do from its description alone, on any machine."""

    name: str
    """Name in messages and tables; no two of one call are equal."""
    kind: str
    """One of `KINDS`."""
    spec: Mapping[str, Any]
    """Description of the work: plain values, as JSON has them."""
    out: Path
    """Folder to write. The work continues what is in it."""
    size: float = 1.0
    """Amount of work, in the unit of all tasks of one call."""

    def to_json(self) -> str:
        """Return the task as text."""
        return json.dumps(dataclasses.asdict(self) | {"out": str(self.out.absolute())})

    @classmethod
    def from_json(cls, text: str) -> "Task":
        """Parse the result of `to_json`."""
        value = json.loads(text)
        return cls(**{**value, "out": Path(value["out"])})

    def perform(self, heard: Heard) -> None:
        """Do the work in this process."""
        KINDS[self.kind](self.spec, self.out, heard)


@dataclasses.dataclass(frozen=True)
class TaskReport:
    """Outcome of a task."""

    name: str
    state: Literal["done", "missing"]
    attempts: int
    wall_s: float
    """Seconds from its last start to its end."""
    message: str = ""
    """What went wrong the last time; empty if nothing ever did."""


class Executor(Protocol):
    """Something that runs tasks."""

    def run(self, tasks: Sequence[Task], title: str) -> list[TaskReport]:
        """Run tasks, each from its last checkpoint, and return what became of each, in order.

        A task that fails is tried again; the others go on. No process outlives this call, or the
        block of `kept` that it is in.

        Args:
            tasks: the tasks, in the order to begin them.
            title: words for the progress bar.
        """
        ...

    def kept(self, most: int) -> AbstractContextManager[None]:
        """Return a block in which calls of `run` share their workers, which take time to start.

        Args:
            most: most tasks of one call.
        """
        ...


def missing(reports: Sequence[TaskReport]) -> dict[str, str]:
    """Return what went wrong in each task that is not done, by its name."""
    return {each.name: each.message for each in reports if each.state == "missing"}


def write_reports(reports: Sequence[TaskReport], out: Path) -> None:
    """Write `tasks.json` into a folder."""
    files.write_json(out / FILE, {"tasks": [dataclasses.asdict(each) for each in reports]})


def check_complete(lost: Mapping[str, str], of: int, advice: str) -> None:
    """Check that no task is missing.

    Args:
        lost: result of `missing`.
        of: number of all tasks.
        advice: what makes up for it.

    Raises:
        EmbrlError: some are; the message names them.
    """
    if lost:
        said = "; ".join(f"{name}: {message}" for name, message in list(lost.items())[:5])
        more = f"; and {len(lost) - 5} more" if len(lost) > 5 else ""
        raise EmbrlError(f"{len(lost)} of {of} tasks are missing ({said}{more}); {advice}")
