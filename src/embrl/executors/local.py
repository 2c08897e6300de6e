"""Executor that runs tasks in this process, one after another."""

import contextlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from embrl.core.errors import SettingError, told
from embrl.executors.task_bar import TaskBar
from embrl.executors.tasks import Task, TaskReport

if TYPE_CHECKING:
    from rich.console import Console


class LocalExecutor:
    """Tasks one after another, in this process."""

    def __init__(self, retries: int, console: "Console | None") -> None:
        self.retries, self.console = retries, console

    def run(self, tasks: Sequence[Task], title: str) -> list[TaskReport]:
        """Run tasks; see `Executor.run`."""
        with TaskBar(self.console, tasks, title) as bar:
            return [self._one(task, bar) for task in tasks]

    def kept(self, most: int) -> contextlib.AbstractContextManager[None]:
        """Keep nothing: there are no workers."""
        del most
        return contextlib.nullcontext()

    def _one(self, task: Task, bar: TaskBar) -> TaskReport:
        message, attempt, started = "", 0, 0.0
        for attempt in range(1, self.retries + 2):
            started = time.perf_counter()
            try:
                task.perform(lambda *heard: bar.heard(task, *heard))
            except Exception as error:
                message = told_in_one_line(error)
                bar.say(f"{task.name} failed: {message}")
                if isinstance(error, SettingError):
                    break  # it stays wrong
            else:
                bar.finished(task)
                return TaskReport(task.name, "done", attempt, time.perf_counter() - started)
        return TaskReport(task.name, "missing", attempt, time.perf_counter() - started, message)


def told_in_one_line(error: BaseException) -> str:
    """Return what an error says; of those that are not embrl's, their type, too."""
    from embrl.core.errors import EmbrlError

    return str(error) if isinstance(error, EmbrlError) else " ".join(told(error).split())
