"""One progress bar for all tasks of a call, with their throughput."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from embrl.executors.tasks import Task
from embrl.report.progress_bar import ProgressBar

if TYPE_CHECKING:
    from rich.console import Console

BEFORE = ("pre-training", "fitting")
AFTER = ("final evaluation", "references")
"""Stages that come before and after the one whose progress is that of the task."""


class TaskBar:
    """Bar that fills with the work of all tasks."""

    def __init__(self, console: "Console | None", tasks: Sequence[Task], title: str) -> None:
        """Create the bar.

        Args:
            console: where to print; None: nowhere.
            tasks: all tasks.
            title: words before the bar.
        """
        self.bar = None if console is None else ProgressBar(console, title)
        self.console = console
        self.total = sum(task.size for task in tasks)
        self.count, self.over = len(tasks), 0
        self.done = {task.name: 0.0 for task in tasks}
        self.first: tuple[float, float] | None = None

    def __enter__(self) -> Self:
        if self.bar is not None:
            self.bar.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar is not None:
            self.bar.__exit__(kind, error, trace)

    def heard(
        self, task: Task, stage: str, done: int, total: int, messages: Sequence[str] = ()
    ) -> None:
        """Take in the progress of a task."""
        fraction = 0.0 if stage in BEFORE else 1.0 if stage in AFTER else done / max(total, 1)
        self.done[task.name] = task.size * min(fraction, 1.0)
        for message in messages:
            self.say(f"{task.name}: {message}")
        self._show()

    def finished(self, task: Task) -> None:
        """Take in that a task is done."""
        self.done[task.name] = task.size
        self.over += 1
        self._show()

    def say(self, message: str) -> None:
        """Print a line above the bar."""
        if self.console is not None:
            self.console.print(message, highlight=False, soft_wrap=True, markup=False, emoji=False)

    def _show(self) -> None:
        if self.bar is None:
            return
        done, now = sum(self.done.values()), time.perf_counter()
        if self.first is None:
            self.first = (done, now)
        began, since = self.first
        speed = (done - began) / (now - since) if now > since and done > began else 0.0
        said = f"{speed:,.0f} timesteps/s" if speed and self.total > self.count else ""
        # The work is shown in percent of one stage; its end is that of the last task.
        whole = self.over == self.count
        self.bar.show_work(
            f"{self.over} of {self.count} tasks",
            int(self.total) if whole else min(int(done), int(self.total) - 1),
            int(self.total),
            said,
        )
