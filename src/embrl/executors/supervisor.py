"""Handing of tasks to workers: who fails is tried again, the rest goes on, and all is reported."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from embrl.core.errors import EmbrlError
from embrl.executors.options import Say
from embrl.executors.task_bar import TaskBar
from embrl.executors.tasks import Task, TaskReport

if TYPE_CHECKING:
    from rich.console import Console

PAUSE = 0.05
"""Seconds between two looks at the workers, if nothing has happened."""
RETRY_AFTER = 1.0
"""Seconds until a failed task is tried again; as many times more as it has failed before."""
START_FAILURES = 3
"""Workers in a row that may end before they are ready."""


@dataclasses.dataclass(frozen=True)
class Ready:
    """The worker can take a task."""


@dataclasses.dataclass(frozen=True)
class Progressed:
    """A task has gone on."""

    stage: str
    done: int
    total: int
    messages: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Finished:
    """A task is done, and its folder is there."""


@dataclasses.dataclass(frozen=True)
class Failed:
    """A task raised an error; the worker can take another one."""

    message: str
    final: bool
    """True if it would fail again."""


@dataclasses.dataclass(frozen=True)
class Lost:
    """The worker is no more."""

    message: str


WorkerEvent = Ready | Progressed | Finished | Failed | Lost


class Worker(Protocol):
    """A process somewhere that does one task at a time."""

    def give(self, task: Task) -> None:
        """Begin a task; the worker is ready and has none."""
        ...

    def poll(self) -> list[WorkerEvent]:
        """Return what has happened since the last call, without waiting."""
        ...

    def stop(self) -> None:
        """End the process, and those that it started, at once."""
        ...


class Pool(Protocol):
    """Place where workers run."""

    size: int
    """Number of workers to have."""

    def start(self) -> Worker:
        """Start a worker; it says when it is ready."""
        ...

    def close(self) -> None:
        """End everything that belongs to the pool, apart from its workers."""
        ...


OpenPool = Callable[[int, Say], Pool]
"""Function of the number of tasks and of what tells the user something."""


class Supervisor:
    """Executor that hands tasks to the workers of a pool."""

    def __init__(self, opened: OpenPool, retries: int, console: "Console | None") -> None:
        self.opened, self.retries, self.console = opened, retries, console
        self.most: int | None = None
        self.team: _Team | None = None

    def run(self, tasks: Sequence[Task], title: str) -> list[TaskReport]:
        """Run tasks; see `Executor.run`."""
        if not tasks:
            return []
        with TaskBar(self.console, tasks, title) as bar:
            team = self.team or _Team(self.opened(self.most or len(tasks), bar.say))
            self.team = None if self.most is None else team
            try:
                return _Campaign(tasks, team, self.retries, bar).run()
            finally:
                if self.team is None:
                    team.end()

    @contextlib.contextmanager
    def kept(self, most: int) -> Iterator[None]:
        """Keep workers for several calls of `run`; see `Executor.kept`."""
        self.most = most
        try:
            yield
        finally:
            if self.team is not None:
                self.team.end()
            self.team = self.most = None


@dataclasses.dataclass
class _Attempt:
    """A task that waits or runs."""

    task: Task
    number: int = 1
    not_before: float = 0.0
    started: float = 0.0


class _Team:
    """A pool, and the workers that were started in it."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.workers: list[Worker] = []
        self.ready: set[Worker] = set()

    def end(self) -> None:
        """End the workers, then the pool."""
        try:
            for worker in self.workers:
                worker.stop()
        finally:
            self.pool.close()


class _Campaign:
    """One call of `Supervisor.run`."""

    def __init__(self, tasks: Sequence[Task], team: _Team, retries: int, bar: TaskBar) -> None:
        self.pool, self.retries, self.bar = team.pool, retries, bar
        self.order = [task.name for task in tasks]
        self.waiting = [_Attempt(task) for task in tasks]
        self.running: dict[Worker, _Attempt] = {}
        self.workers, self.ready = team.workers, team.ready
        self.reports: dict[str, TaskReport] = {}
        self.start_failures = 0

    def run(self) -> list[TaskReport]:
        while self.waiting or self.running:
            self._start_workers()
            self._give_tasks()
            events = [(worker, each) for worker in self.workers for each in worker.poll()]
            for worker, event in events:
                self._take(worker, event)
            if not events:
                time.sleep(PAUSE)
        return [self.reports[name] for name in self.order]

    def _start_workers(self) -> None:
        wanted = min(self.pool.size, len(self.waiting) + len(self.running))
        while len(self.workers) < wanted:
            self.workers.append(self.pool.start())

    def _give_tasks(self) -> None:
        now = time.monotonic()
        free = [worker for worker in self.workers if worker in self.ready]
        for worker in free:
            attempt = next((each for each in self.waiting if each.not_before <= now), None)
            if attempt is None:
                return
            self.waiting.remove(attempt)
            self.ready.discard(worker)
            attempt.started = time.perf_counter()
            self.running[worker] = attempt
            worker.give(attempt.task)

    def _take(self, worker: Worker, event: WorkerEvent) -> None:
        attempt = self.running.get(worker)
        match event:
            case Ready():
                self.start_failures = 0
                self.ready.add(worker)
            case Progressed() if attempt is not None:
                told = (event.stage, event.done, event.total, event.messages)
                self.bar.heard(attempt.task, *told)
            case Finished() if attempt is not None:
                del self.running[worker]
                self.ready.add(worker)
                self.bar.finished(attempt.task)
                self._report(attempt, "")
            case Failed() if attempt is not None:
                del self.running[worker]
                self.ready.add(worker)
                self._failed(attempt, event.message, event.final)
            case Lost():
                self._lose(worker)
                if attempt is not None:
                    self._failed(attempt, event.message, final=False)
                else:
                    self._could_not_start(event.message)

    def _lose(self, worker: Worker) -> None:
        self.workers.remove(worker)
        self.ready.discard(worker)
        self.running.pop(worker, None)
        worker.stop()

    def _failed(self, attempt: _Attempt, message: str, final: bool) -> None:
        again = not final and attempt.number <= self.retries
        more = f"; it is tried again, {attempt.number} of {self.retries} times" if again else ""
        self.bar.say(f"{attempt.task.name} failed: {message}{more}")
        if again:
            pause = RETRY_AFTER * attempt.number
            self.waiting.append(
                _Attempt(attempt.task, attempt.number + 1, time.monotonic() + pause)
            )
        else:
            self._report(attempt, message)

    def _could_not_start(self, message: str) -> None:
        self.start_failures += 1
        if self.start_failures > START_FAILURES and not self.running:
            raise EmbrlError(f"workers cannot start: {message}")

    def _report(self, attempt: _Attempt, message: str) -> None:
        seconds = time.perf_counter() - attempt.started
        self.reports[attempt.task.name] = TaskReport(
            attempt.task.name,
            "missing" if message else "done",
            attempt.number,
            seconds,
            message,
        )
