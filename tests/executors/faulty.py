"""A plugin with a kind of task that fails in several ways. Its folder counts the attempts."""

import os
import signal
import time

from embrl.core.errors import EmbrlError
from embrl.executors.tasks import KINDS
from embrl.storage import files


def do(spec, out, heard):
    files.make_folder(out)
    attempt = len(list(out.glob("attempt-*")))
    files.write_text(out / f"attempt-{attempt}", str(os.getpid()))
    heard("training", attempt, 2)
    print("not an event")
    ways = spec["ways"]
    match ways[min(attempt, len(ways) - 1)]:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "raise":
            raise EmbrlError("a bad moment")
        case "eat":
            eaten = bytearray(os.urandom(2**20)) * 600
            time.sleep(60)
            del eaten
        case "sleep":
            time.sleep(60)
        case "wait":
            time.sleep(5)
    files.write_text(out / "result", f"{os.environ['NPROC']} {os.environ['EMBRL_DEVICES']}")


if "faulty" not in KINDS:  # loaded under two names
    KINDS.add("faulty", do)
