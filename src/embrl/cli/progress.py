"""Progress of a run: a bar on a terminal, a line now and then elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from embrl.config.run import RunConfig
from embrl.training.loop import Progress as Step
from embrl.training.loop import ProgressCallback

LINE_EVERY = 10.0
"""Seconds between two lines where the output is not a terminal."""


VALUES = {"pre-training": "loss", "fitting": "loss", "lineages": "mean return"}
"""Name of the value that a stage shows, where it is not a return."""


class ProgressBar:
    """Progress bar of a run."""

    def __init__(self, console: Console, of: RunConfig | str) -> None:
        """Create the bar.

        Args:
            console: where to print.
            of: a run's configuration, or a title.
        """
        self.console = console
        self.title = (
            of if isinstance(of, str) else f"{of.method} + {of.algorithm} on {of.environment}"
        )
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} {task.fields[value]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self.part = ""
        self.tasks: dict[str, int] = {}
        self.first: tuple[str, int, float] | None = None
        self.said_at = 0.0

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()

    def begin(self, part: str) -> ProgressCallback:
        """Begin a new run of several, which `part` names, and return its callback."""
        for task in self.tasks.values():
            self.bar.remove_task(task)  # type: ignore[arg-type]
        self.tasks, self.first = {}, None
        self.part = f"{part}, "
        return self.show

    def show(self, step: Step) -> None:
        """Show a step; a callback for `embrl.training.loop.train`."""
        for message in step.messages:
            self.console.print(f"{self.title}: {message}", highlight=False, soft_wrap=True)
        stage = self.part + step.stage
        name = VALUES.get(step.stage, "return")
        value = "" if step.value is None else f"{name} {step.value:.3f}"
        if self.console.is_terminal:
            if step.stage not in self.tasks:
                self.tasks[step.stage] = self.bar.add_task(
                    self.part + step.stage, total=step.total, value=""
                )
            task = self.tasks[step.stage]
            self.bar.update(task, completed=step.done, value=value)  # type: ignore[arg-type]
            return
        now = time.perf_counter()
        if self.first is None or self.first[0] != step.stage:
            self.first = (step.stage, step.done, now)
        elif now - self.said_at < LINE_EVERY and step.done < step.total:
            return
        self.said_at = now
        _, done, since = self.first
        left = (now - since) / max(step.done - done, 1) * (step.total - step.done)
        remaining = f", {left:.0f} s left" if step.done > done else ""
        self.console.print(
            f"{self.title}: {stage} {step.done:,}/{step.total:,} {value}{remaining}",
            highlight=False,
            soft_wrap=True,
        )
