import os
import subprocess
import sys

import pytest

from embrl.core import runtime
from embrl.core.errors import EmbrlError
from embrl.core.runtime import available_cores


def test_only_what_is_allotted_counts():
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("no affinity on this system")
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from embrl.core.runtime import available_cores; print(available_cores())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "1\n"


def test_elsewhere_the_machines(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores() == 1


def test_a_forked_process_is_told_what_works_in_it(monkeypatch):
    monkeypatch.setattr(runtime, "_forked", True)
    with pytest.raises(EmbrlError, match=r"policy\.act must run in a process .* spawn"):
        runtime.check_not_forked("policy.act")
    with pytest.raises(EmbrlError, match="got a forked one"):
        runtime.prepare_jax()


def test_a_cache_that_is_too_large_loses_what_was_used_longest_ago(tmp_path):
    for at, name in enumerate(("old", "middle", "new")):
        (tmp_path / name).write_bytes(bytes(10))
        os.utime(tmp_path / name, (at, at))
    runtime.trim_cache(tmp_path, 20)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["middle", "new"]
    runtime.trim_cache(tmp_path / "missing", 20)
