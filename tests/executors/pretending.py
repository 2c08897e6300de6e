"""A pool without processes, whose workers do what the names of their tasks say."""

from pathlib import Path

from embrl.executors.supervisor import Failed, Finished, Lost, Progressed, Ready, WorkerEvent
from embrl.executors.tasks import Task


class PretendedPool:
    """Workers that end a task with the next word of its name: ok, fails, wrong, dies."""

    def __init__(self, size: int = 2, starts: bool = True) -> None:
        self.size, self.starts = size, starts
        self.tries: dict[str, int] = {}
        self.started = self.stopped = 0
        self.closed = False

    def start(self) -> "PretendedWorker":
        self.started += 1
        return PretendedWorker(self)

    def close(self) -> None:
        self.closed = True


class PretendedWorker:
    def __init__(self, pool: PretendedPool) -> None:
        self.pool, self.task, self.alive, self.announced = pool, "", True, False

    def give(self, task: Task) -> None:
        assert self.alive
        assert not self.task
        self.task = task.name

    def poll(self) -> list[WorkerEvent]:
        assert self.alive
        if not self.pool.starts:
            return [Lost("no Python")]
        if not self.announced:
            self.announced = True
            return [Ready()]
        if not self.task:
            return []
        name, self.task = self.task, ""
        words = name.split()
        at = self.pool.tries.get(name, 0)
        self.pool.tries[name] = at + 1
        word = words[min(at, len(words) - 1)]
        step = Progressed("training", 1, 2, ("news",))
        ends: dict[str, list[WorkerEvent]] = {
            "ok": [step, Finished()],
            "fails": [step, Failed("it raised", final=False)],
            "wrong": [Failed("x must be 1", final=True)],
            "dies": [step, Lost("killed")],
        }
        return ends[word]

    def stop(self) -> None:
        self.alive = False
        self.pool.stopped += 1


def tasks(*names: str) -> list[Task]:
    return [Task(name, "run", {}, Path(name)) for name in names]
