"""One process at a time writes to a folder, and a lock ends with its process."""

import signal
import subprocess
import sys
import threading

import pytest

from embrl.core.errors import EmbrlError
from embrl.storage.files import LOCK
from embrl.storage.lock import locked

HOLD = """
import sys, time
from pathlib import Path
from embrl.storage.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path):
    folder = tmp_path / "runs" / "one"
    with subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        try:
            assert first.stdout.readline() == b"held\n"
            (folder / ".half.1.tmp").mkdir()
            with (
                pytest.raises(EmbrlError, match=r"one must be written by one process"),
                locked(folder),
            ):
                pass
            assert (folder / ".half.1.tmp").exists()
        finally:
            first.send_signal(signal.SIGKILL)
    assert (folder / LOCK).exists()
    with locked(folder):
        assert [path.name for path in folder.iterdir()] == [LOCK]
    assert not list(folder.iterdir())
    with locked(tmp_path / "new" / "two"):
        pass
    assert not (tmp_path / "new").exists()


def test_other_threads_are_refused_and_callers_of_callers_are_not(tmp_path):
    refused = []

    def other() -> None:
        try:
            with locked(tmp_path / "it"):
                pass
        except EmbrlError as error:
            refused.append(error)

    with locked(tmp_path / "it"):
        with locked(tmp_path / "it"):
            pass
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        (tmp_path / "it" / "kept").touch()
    assert len(refused) == 1
    assert [path.name for path in (tmp_path / "it").iterdir()] == ["kept"]


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("file", "exists and is not a folder"),
        ("file/below", "cannot be written: Not a directory"),
        ("x" * 300, "cannot be written: File name too long"),
    ],
)
def test_a_place_that_cannot_be_written_is_one_line(tmp_path, place, reason):
    (tmp_path / "file").touch()
    with pytest.raises(EmbrlError, match=reason), locked(tmp_path / place):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
