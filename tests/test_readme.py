"""The first page's code runs as it stands."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_first_page_s_code_runs(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len([line for line in code.splitlines() if line]) <= 12
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(code, names)
    assert names["run"].evaluate(episodes=20).mean > 0.0  # random actions: -2.7
    assert (tmp_path / "runs/first/summary.json").is_file()


def test_the_first_page_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 160
