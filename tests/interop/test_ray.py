"""Tasks on a Ray cluster of two nodes with one core each, started here and ended by their ids."""

import os
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("ray")

sys.path.append(str(Path(__file__).parents[2]))  # benchmarks/, which is no package of ours
sys.path.append(str(Path(__file__).parents[1] / "executors"))
from benchmarks.ray_cluster import ALONE, free_port, ray_cluster
from embrl.core.errors import EmbrlError
from embrl.core.registry import load_plugin
from embrl.core.runtime import device_count
from embrl.executors.choose import make_executor
from embrl.executors.options import ExecutorOptions
from embrl.executors.tasks import Task
from embrl.executors.train_task import run_task

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own

PLUGIN = str(Path(__file__).parents[1] / "executors/faulty.py")


@pytest.fixture(scope="module")
def cluster():
    os.environ.update(ALONE)
    with ray_cluster() as found:
        yield found


def on(address: str, **options) -> ExecutorOptions:
    return ExecutorOptions("ray", ray_address=address, **options)


def faulty(folder: Path, ways: dict[str, list[str]]) -> list[Task]:
    load_plugin(PLUGIN)
    return [Task(name, "faulty", {"ways": each}, folder / name) for name, each in ways.items()]


def test_runs_are_the_same_bit_for_bit_and_faults_are_survived(cluster, tiny, trained, tmp_path):
    address, _ = cluster
    tasks = faulty(tmp_path, {"killed": ["kill", "ok"], "raises": ["raise", "raise"]})
    tasks.append(run_task("run", tiny(), tmp_path / "run"))
    reports = make_executor(on(address, retries=1)).run(tasks, "trial")
    assert [(each.state, each.attempts) for each in reports] == [
        ("done", 2),
        ("missing", 2),
        ("done", 1),
    ]
    assert "a bad moment" in reports[1].message
    assert (tmp_path / "killed/result").read_text() == f"1 {device_count()}"
    there, here = tmp_path / "run/metrics.csv", trained.path / "metrics.csv"
    assert there.read_bytes() == here.read_bytes()


def test_folders_return_where_none_is_shared(cluster, tmp_path):
    address, _ = cluster
    tasks = faulty(tmp_path, {"a": ["raise", "ok"], "b": ["ok"]})
    reports = make_executor(on(address, results="return", retries=1)).run(tasks, "trial")
    assert [(each.state, each.attempts) for each in reports] == [("done", 2), ("done", 1)]
    # What the first attempt had written came back with its error, and went there again.
    assert len(list((tmp_path / "a").glob("attempt-*"))) == 2
    assert (tmp_path / "b/result").exists()


def test_a_cluster_that_is_not_there_and_tasks_too_large_for_it(cluster, tmp_path):
    address, _ = cluster
    tasks = faulty(tmp_path, {"a": ["ok"]})
    with pytest.raises(EmbrlError, match="no machine of the Ray cluster has free"):
        make_executor(on(address, task_cores=64)).run(tasks, "trial")
    with pytest.raises(EmbrlError, match="ray_address must be auto, local or HOST:PORT"):
        make_executor(on("somewhere")).run(tasks, "trial")
    with pytest.raises(EmbrlError, match=r"ray_address must be .* that answers, got 127.0.0.1:"):
        make_executor(on(f"127.0.0.1:{free_port()}")).run(tasks, "trial")


def test_a_node_that_leaves(cluster, tmp_path):
    """The last test: the cluster has one node less."""
    address, nodes = cluster
    tasks = faulty(tmp_path, {"a": ["wait", "ok"], "b": ["wait", "ok"]})

    def switch_off():
        until = time.monotonic() + 100
        while len(list(tmp_path.rglob("attempt-*"))) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        nodes[1].end()

    thread = threading.Thread(target=switch_off)
    thread.start()
    reports = make_executor(on(address)).run(tasks, "trial")
    thread.join()
    assert [each.state for each in reports] == ["done", "done"]
    assert sorted(each.attempts for each in reports) == [1, 2]
