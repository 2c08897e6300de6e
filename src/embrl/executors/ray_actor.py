"""A worker on a Ray cluster. It knows nothing of Ray, and imports JAX once it is set up."""

import json
import os
import shutil
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embrl.executors import worker
from embrl.executors.packing import fingerprint, pack, unpack


class RemoteWorker:
    """Does tasks, and says in another thread how far it is."""

    def __init__(self, setup: str, environment: Mapping[str, str], shared: bool) -> None:
        """Prepare the process.

        Args:
            setup: as a worker process takes it, in JSON.
            environment: environment variables, before JAX is imported.
            shared: whether the folders of tasks are those of the process that gives them.
        """
        os.environ.update(environment)
        worker.set_up(json.loads(setup))
        self.shared = shared
        self.lock = threading.Lock()
        self.progress: list[list[Any]] = []
        self.place: Path | None = None

    def ready(self) -> bool:
        """Return at all: the process is prepared."""
        return True

    def run(self, task: str, content: bytes | None) -> tuple[str, bytes | None]:
        """Do a task.

        Args:
            task: the task in JSON.
            content: what its folder holds already, where it is not shared.

        Returns:
            The event that ends it in JSON, and the packed folder where it is not shared.
        """
        if self.shared:
            return json.dumps(worker.perform(task, worker.Throttled(self._heard))), None
        with_place = json.loads(task)
        home = Path(tempfile.mkdtemp(prefix="embrl-task-"))
        try:
            place = home / Path(with_place["out"]).name
            if content is not None:
                unpack(content, place)
            self.place = place
            ended = worker.perform(
                json.dumps({**with_place, "out": str(place)}), worker.Throttled(self._heard)
            )
            return json.dumps(ended), pack(place) if place.exists() else None
        finally:
            self.place = None
            shutil.rmtree(home, ignore_errors=True)

    def heard(self) -> str:
        """Return the progress since the last call, the memory in use, and the folder's state."""
        with self.lock:
            found, self.progress = self.progress, []
        from embrl.executors.processes import resident_memory

        place = self.place
        state = "" if place is None else fingerprint(place)
        return json.dumps([found, resident_memory(os.getpid()), state])

    def packed(self) -> bytes | None:
        """Return the folder as it is, to continue from if this process is lost."""
        place = self.place
        return None if place is None or not place.exists() else pack(place)

    def _heard(self, step: list[Any]) -> None:
        with self.lock:
            # Messages are kept, and the newest step.
            self.progress = [each for each in self.progress if each[3]] + [step]
