import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from embrl.core.errors import EmbrlError
from embrl.core.registry import load_plugin
from embrl.core.runtime import device_count
from embrl.executors.choose import make_executor
from embrl.executors.options import ExecutorOptions
from embrl.executors.packing import pack, unpack
from embrl.executors.tasks import Task

PLUGIN = str(Path(__file__).with_name("faulty.py"))

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and /proc")


def gone(process: int, seconds: float = 20.0) -> bool:
    """Whether a process ends, or is a zombie, within some seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def workers_of(folder: Path) -> list[int]:
    return [int(path.read_text()) for path in folder.rglob("attempt-*")]


def test_a_killed_worker_a_raised_error_and_too_much_memory(tmp_path):
    load_plugin(PLUGIN)
    ways = {"good": ["ok"], "killed": ["kill", "ok"], "raises": ["raise", "ok"], "eats": ["eat"]}
    tasks = [Task(name, "faulty", {"ways": each}, tmp_path / name) for name, each in ways.items()]
    options = ExecutorOptions("processes", workers=2, retries=1, task_memory=0.5)
    reports = {each.name: each for each in make_executor(options).run(tasks, "trial")}
    attempts = {name: (each.state, each.attempts) for name, each in reports.items()}
    assert attempts == {
        "good": ("done", 1),
        "killed": ("done", 2),
        "raises": ("done", 2),
        "eats": ("missing", 2),
    }
    assert "task_memory 0.5" in reports["eats"].message
    # One thread for each core it may use, and as many devices as here: the same programs.
    assert (tmp_path / "good/result").read_text() == f"1 {device_count()}"
    assert all(gone(process) for process in workers_of(tmp_path))


@pytest.mark.slow
def test_no_worker_outlives_a_killed_driver(tmp_path):
    code = f"""
from embrl.core.registry import load_plugin
from embrl.executors.choose import make_executor
from embrl.executors.options import ExecutorOptions
from embrl.executors.tasks import Task
from pathlib import Path
load_plugin({PLUGIN!r})
tasks = [Task(n, "faulty", {{"ways": ["sleep"]}}, Path({str(tmp_path)!r}) / n) for n in "ab"]
make_executor(ExecutorOptions("processes", workers=2)).run(tasks, "trial")
"""
    driver, found = subprocess.Popen([sys.executable, "-c", code]), []
    try:
        until = time.monotonic() + 60
        while len(found := workers_of(tmp_path)) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        assert len(found) == 2
    finally:
        driver.kill()
        driver.wait()
    try:
        assert all(gone(process) for process in found)
    finally:
        for process in found:
            if not gone(process, 0.1):
                os.kill(process, signal.SIGKILL)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"executor": "processes", "task_cores": 10_000}, "task_cores must be at most"),
        ({"executor": "processes", "results": "return"}, "results must be left out"),
        ({"workers": 2}, "workers must be left out with executor local"),
        ({"executor": "processes", "workers": 0}, "workers must be 1 to"),
        ({"retries": -1}, "retries must be at least 0, got -1"),
        ({"executor": "ray", "task_memory": 0.0}, "task_memory must be 0.05"),
    ],
)
def test_wrong_options_are_refused(options, said):
    with pytest.raises(EmbrlError, match=said):
        make_executor(ExecutorOptions(**options))


def test_without_ray_the_pip_command_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EmbrlError, match=r"pip install 'embrl\[ray\]'"):
        make_executor(ExecutorOptions("ray"))


def test_a_folder_travels_as_bytes_and_is_replaced_whole(tmp_path):
    source = tmp_path / "source"
    (source / "checkpoint").mkdir(parents=True)
    (source / "checkpoint/a.bin").write_bytes(b"\0\1")
    (source / ".lock").write_text("")
    unpack(pack(source), tmp_path / "there")
    assert (tmp_path / "there/checkpoint/a.bin").read_bytes() == b"\0\1"
    assert not (tmp_path / "there/.lock").exists()
    with pytest.raises(EmbrlError, match="damaged"):
        unpack(b"no archive", tmp_path / "there")
    assert (tmp_path / "there/checkpoint/a.bin").exists()
