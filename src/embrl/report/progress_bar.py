"""Progress of a run: a bar on a terminal, one line that changes in a notebook, lines in a log."""

import contextlib
import dataclasses
import importlib
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from embrl.config.run import RunConfig
from embrl.report.console import plain_console
from embrl.training.loop import Progress as Step
from embrl.training.loop import ProgressCallback, ignore_progress

LINE_EVERY = 10.0
"""Minimum number of seconds between two lines of a log."""
LINE_AFTER = 600.0
"""Number of seconds without a line after which there is one however little was done."""
LINE_FRACTION = 0.01
"""Fraction of a stage that has to be done between two lines, so that long runs have a hundred."""

CHANGE_EVERY = 0.2
"""Minimum number of seconds between two changes of the line in a notebook."""
CELLS = 24
"""Width in characters of the bar in a notebook."""

WIDE = 100
"""Number of columns from which a terminal has room for the counts, too."""

VALUES = {"pre-training": "loss", "fitting": "loss", "tasks": "loss", "lineages": "mean return"}
"""Name of the value that a stage shows, where it is not a return."""


@dataclasses.dataclass(frozen=True)
class StepShown:
    """One step of a stage, as text."""

    stage: str
    done: int
    total: int
    value: str
    """As `return 0.512`; empty if there is none."""
    left: str
    """As `3 min left`; empty while it is not known."""

    @property
    def fraction(self) -> float:
        """Fraction of the stage that is done."""
        return self.done / max(self.total, 1)

    @property
    def last(self) -> bool:
        """True if the stage ends with this step."""
        return self.done >= self.total

    @property
    def percent(self) -> str:
        """Percentage that is done, rounded down: 100 % is the end."""
        return f"{int(100 * self.fraction)} %"


class ProgressDisplay(Protocol):
    """Place where progress is shown."""

    def start(self) -> None:
        """Begin to show progress."""
        ...

    def show(self, step: StepShown) -> None:
        """Show a step."""
        ...

    def next_run(self) -> None:
        """Forget the stages shown so far: those of another run follow."""
        ...

    def stop(self) -> None:
        """Leave what was shown last."""
        ...


class ProgressBar:
    """Progress of a run, in the form that suits the place it is shown at."""

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
        self.display = _display_for(console, self.title)
        self.part = ""
        self.first: tuple[str, int, float] | None = None

    def __enter__(self) -> Self:
        self.display.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.display.stop()

    def begin(self, part: str) -> ProgressCallback:
        """Begin a new run of several, which `part` names, and return its callback."""
        self.display.next_run()
        self.first, self.part = None, f"{part}, "
        return self.show

    def show(self, step: Step) -> None:
        """Show a step; a callback for `embrl.training.loop.train`."""
        for message in step.messages:
            self.console.print(
                f"{self.title}: {message}",
                highlight=False,
                soft_wrap=True,
                markup=False,
                emoji=False,
            )
        name = VALUES.get(step.stage, "return")
        value = "" if step.value is None else f"{name} {step.value:.3f}"
        self.display.show(
            StepShown(self.part + step.stage, step.done, step.total, value, self._left(step))
        )

    def show_work(self, part: str, done: int, total: int, value: str) -> None:
        """Show work that several processes do.

        Args:
            part: what of it is finished, in words.
            done: units of work that are done.
            total: units of all work.
            value: text beside the counts; may be empty.
        """
        left = self._left(Step("work", done, total, None))
        self.display.show(
            StepShown("tasks", done, total, ", ".join(filter(None, (part, value))), left)
        )

    def _left(self, step: Step) -> str:
        """Return the time left, at the speed since the stage's first step.

        What came before the first step, compilation and what a resumed run had done, is left out.
        """
        now = time.perf_counter()
        if self.first is None or self.first[0] != step.stage:
            self.first = (step.stage, step.done, now)
        _, done, since = self.first
        if not done < step.done < step.total:
            return ""
        return f"{duration((now - since) / (step.done - done) * (step.total - step.done))} left"


def duration(seconds: float) -> str:
    """Return a duration in its largest units, as `12 s`, `3 min` or `2 h 5 min`."""
    minutes = round(seconds / 60)
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if minutes < 100:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes / (24 * 60):.1f} days"


@contextlib.contextmanager
def showing_progress(
    of: RunConfig | str,
    on_progress: ProgressCallback = ignore_progress,
    show: bool = True,
    console: Console | None = None,
) -> Iterator[ProgressCallback]:
    """Show progress in a block, for Python's interface.

    Args:
        of: a run's configuration, or a title.
        on_progress: a callback to call, too.
        show: whether to show anything.
        console: where to print; None: standard error, as scripts keep their output apart.

    Yields:
        The callback for `embrl.training.loop.train`.
    """
    if not show:
        yield on_progress
        return
    with ProgressBar(console or plain_console(stderr=True), of) as bar:

        def both(step: Step) -> None:
            bar.show(step)
            on_progress(step)

        yield both


def _display_for(console: Console, title: str) -> ProgressDisplay:
    if console.is_jupyter:
        return _NotebookLine(title)
    # FORCE_COLOR makes a file look like a terminal to rich, which would fill it with bars.
    on_terminal = console.is_terminal and console.file.isatty() and not console.is_dumb_terminal
    return _TerminalBar(console) if on_terminal else _LogLines(console, title)


class _TerminalBar:
    """Bar of each stage, drawn again in place."""

    def __init__(self, console: Console) -> None:
        counts = [_text("{task.fields[counts]}")]
        self.bar = Progress(
            _text("{task.description}"),
            BarColumn(bar_width=None),
            _text("{task.fields[percent]:>5}"),
            *(counts if console.width >= WIDE else ()),
            _text("{task.fields[value]}"),
            TimeElapsedColumn(),
            _text("{task.fields[left]}"),
            console=console,
            expand=True,
        )
        self.tasks: dict[str, TaskID] = {}
        self.since = 0.0

    def start(self) -> None:
        # The first step comes once everything is compiled, which takes seconds.
        texts: dict[str, Any] = dict.fromkeys(("percent", "counts", "value", "left"), "")
        self.tasks = {"starting": self.bar.add_task("starting", total=None, **texts)}
        self.bar.start()
        self.since = self.bar.get_time()

    def show(self, step: StepShown) -> None:
        texts: dict[str, Any] = {
            "percent": step.percent,
            "counts": f"{step.done:,}/{step.total:,}",
            "value": step.value,
            "left": step.left,
        }
        if "starting" in self.tasks:
            self.bar.remove_task(self.tasks.pop("starting"))
        if step.stage not in self.tasks:
            self.tasks[step.stage] = self.bar.add_task(step.stage, total=step.total, **texts)
            # The time before its first step is the stage's, too: it was compiled then.
            self.bar.tasks[-1].start_time = self.since
        self.since = self.bar.get_time()
        self.bar.update(self.tasks[step.stage], completed=step.done, **texts)

    def next_run(self) -> None:
        for task in self.tasks.values():
            self.bar.remove_task(task)
        self.tasks = {}

    def stop(self) -> None:
        self.bar.stop()


def _text(template: str) -> TextColumn:
    """Return a column of text that is no markup."""
    return TextColumn(template, markup=False)


class _NotebookLine:
    """Line of each stage that is replaced in the output of its cell.

    Plain text, because rich's own bar needs ipywidgets, and leaves nothing in a saved notebook.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        # No dependency: it is there wherever a notebook is.
        self.display = importlib.import_module("IPython.display").display
        self.lines: dict[str, Any] = {}
        self.changed_at = 0.0

    def start(self) -> None:
        pass

    def show(self, step: StepShown) -> None:
        now = time.perf_counter()
        known = step.stage in self.lines
        if known and now - self.changed_at < CHANGE_EVERY and not step.last:
            return
        self.changed_at = now
        filled = int(CELLS * step.fraction)
        parts = [f"{step.percent:>5}", f"{step.done:,}/{step.total:,}", step.value, step.left]
        bar = "█" * filled + "░" * (CELLS - filled)
        text = f"{self.title}: {step.stage} {bar} {', '.join(part for part in parts if part)}"
        data = {"text/plain": text}
        if known:
            self.lines[step.stage].update(data, raw=True)
        else:
            self.lines[step.stage] = self.display(data, raw=True, display_id=True)

    def next_run(self) -> None:
        self.lines = {}

    def stop(self) -> None:
        pass


class _LogLines:
    """Line now and then."""

    def __init__(self, console: Console, title: str) -> None:
        self.console, self.title = console, title
        self.several = False
        self.said: StepShown | None = None
        self.said_at = 0.0

    def start(self) -> None:
        pass

    def show(self, step: StepShown) -> None:
        now = time.perf_counter()
        if not self._is_due(step, now - self.said_at):
            return
        self.said, self.said_at = step, now
        parts = [f"{step.done:,}/{step.total:,}", step.value, step.left]
        self.console.print(
            f"{self.title}: {step.stage} {step.percent}, "
            + ", ".join(part for part in parts if part),
            highlight=False,
            soft_wrap=True,
            markup=False,
            emoji=False,
        )

    def _is_due(self, step: StepShown, seconds: float) -> bool:
        if self.said is None:
            return True
        new = self.said.stage != step.stage
        if not self.several and (new or step.last):
            return True
        done = step.fraction - (0.0 if new else self.said.fraction)
        return seconds >= LINE_EVERY and (
            new or step.last or done >= LINE_FRACTION or seconds >= LINE_AFTER
        )

    def next_run(self) -> None:
        # Hundreds of short runs must not begin and end with a line each.
        self.several = True

    def stop(self) -> None:
        pass
