"""A worker process: tasks come in by standard input, events go out by standard output.

Both are lines of JSON. The first line in is the setup: plugins, and folders to import from. The
process ends, with all that it started, when its input does, so that none outlives who started it.
"""

import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

PROGRESS_EVERY = 0.2
"""Minimum number of seconds between two events of progress."""


def main() -> None:
    """Do the tasks that come in, until there are no more."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what tasks print is no event
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()

    def tell(**event: Any) -> None:
        try:
            out.write(json.dumps(event) + "\n")
        except OSError:  # nobody listens any more
            end()

    set_up(json.loads(lines.get()))
    tell(ready=True)
    while True:
        tell(**perform(lines.get(), Throttled(lambda heard: tell(progress=heard))))


def _listen(lines: "queue.Queue[str]") -> None:
    for line in sys.stdin:
        lines.put(line)
    end()


def end() -> None:
    """End this process and those that it started."""
    with suppress(OSError, AttributeError):
        if os.getpgrp() == os.getpid():
            os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(0)


def set_up(setup: Mapping[str, Any]) -> None:
    """Prepare JAX, and know what the process that gives tasks knows."""
    for path in setup["import_from"]:
        if path not in sys.path:
            sys.path.append(path)
    with suppress(OSError):
        os.chdir(setup["folder"])  # where relative paths of settings begin
    from embrl.core.registry import load_plugin
    from embrl.core.runtime import prepare_jax

    prepare_jax()
    for plugin in setup["plugins"]:
        load_plugin(plugin)


class Throttled:
    """A `Heard` that passes on a step now and then, and every message."""

    def __init__(self, passed: Any) -> None:
        self.passed, self.at, self.stage = passed, 0.0, ""

    def __call__(self, stage: str, done: int, total: int, messages: Sequence[str] = ()) -> None:
        """Take in a step."""
        now = time.monotonic()
        if messages or stage != self.stage or now - self.at > PROGRESS_EVERY:
            self.at, self.stage = now, stage
            self.passed([stage, int(done), int(total), list(messages)])


def perform(text: str, heard: Any) -> dict[str, Any]:
    """Do a task, given as JSON, and return the event that ends it."""
    from embrl.core.errors import SettingError
    from embrl.executors.local import told_in_one_line
    from embrl.executors.tasks import Task

    try:
        Task.from_json(text).perform(heard)
    except Exception as error:
        traceback.print_exc()
        return {"failed": told_in_one_line(error), "final": isinstance(error, SettingError)}
    return {"finished": True}


if __name__ == "__main__":
    main()
