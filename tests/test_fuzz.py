"""The fuzz campaign in small: some inputs of the kinds that take no time."""

import importlib
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))  # benchmarks/, which is no package of ours

from benchmarks.fuzz.tally import Tally


@pytest.mark.parametrize(("kind", "count"), [("spaces", 60), ("environments", 60), ("flags", 24)])
def test_each_input_is_taken_or_refused_in_one_line(kind, count, tmp_path):
    tally = Tally(kind)
    importlib.import_module(f"benchmarks.fuzz.{kind}").run(tally, count, 0, tmp_path)
    assert not tally.findings
    assert tally.taken
    assert tally.refused
