"""The Python of all pages, and the commands of tutorials, run as they stand, page by page.

Trainings are rehearsed (`rehearsal.py`), except that of the first page. Blocks that cannot run here
begin with the line `# not run by the tests: REASON`; NOT_RUN counts them.

`make pages` runs all of them, after `make test`.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from doc_pages import ROOT, Block, commands, name_of, pages, python_blocks
from rehearsal import Rehearsal

from embrl.algorithms import ALGORITHMS
from embrl.cli.main import main
from embrl.decoding import DECODERS
from embrl.embedding.methods import METHODS
from embrl.embedding.objectives import OBJECTIVES
from embrl.envs import ENVIRONMENTS
from embrl.report.logs import LOGS

ELSEWHERE = {
    "README.md": "test_the_first_page_runs_as_it_stands",
    "docs/extending.md": "tests/test_extending.py",
    "docs/tutorials/inventory.md": "tests/test_tutorial.py",
}
"""Pages with a test of their own."""
NOT_RUN = {
    "docs/environments/recommender.md": 1,
    "docs/other-libraries.md": 3,
    "docs/python.md": 1,
    "docs/scaling.md": 1,
    "docs/shipping.md": 1,
    "docs/tasks.md": 1,
    "docs/tutorials/shipping.md": 1,
}
"""Number of blocks of a page that are not run."""
CONTINUES = {"docs/agents/walks.md": "docs/agents/embeddings.md"}
"""Pages that go on where another one ended."""
NEEDED = (
    ("import onnxruntime", "onnxruntime", "dev"),
    ("embrl.Store(", "milvus_lite", "store"),
    ('"embrl", "serve"', "uvicorn", "serve"),
    ('"--store"', "milvus_lite", "store"),
)
"""Words in the code of a page, the package that it needs for them, and the extra that has it."""
BEFORE = {
    "docs/shipping.md": """
import embrl
embrl.train("gridworld", out="runs/first")
embrl.export("runs/first", out="policy", stochastic=True)
"""
}
"""What a page takes for granted."""


def has_code(page: Path) -> bool:
    tutorial = "tutorials" in page.parts and any(command.whole for command in commands(page))
    return tutorial or bool(python_blocks(page))


PAGES = [page for page in pages("docs") if has_code(page) and name_of(page) not in ELSEWHERE]


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory) -> Rehearsal:
    return Rehearsal(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def folder(rehearsal, tmp_path, monkeypatch):
    """An empty folder in which pages run; what they register and import is forgotten afterwards."""
    for registry in (ALGORITHMS, DECODERS, ENVIRONMENTS, LOGS, METHODS, OBJECTIVES):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    monkeypatch.setattr(sys, "path", list(sys.path))
    rehearsal.patch(monkeypatch)
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(tmp_path):
            del sys.modules[name]


def run(page: Path, names: dict[str, Any]) -> None:
    """Run the Python of a page, and of a tutorial its commands, too, in order."""
    steps: list[Any] = [block for block in python_blocks(page) if block.reason is None]
    if "tutorials" in page.parts:
        steps += [command for command in commands(page) if command.whole]
    for step in sorted(steps, key=lambda step: step.line):
        if isinstance(step, Block):
            code = "\n" * (step.line - 1) + step.code  # lines of an error are those of the page
            exec(compile(code, str(page), "exec"), names)
        else:
            assert main(step.words) == 0, step


@pytest.mark.pages
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_runs_as_it_stands(folder, page: Path):
    for word, module, extra in NEEDED:
        if any(word in block.code for block in python_blocks(page)):
            pytest.importorskip(module, reason=f"pip install 'embrl[{extra}]'")
    names: dict[str, Any] = {"__name__": page.stem}
    exec(BEFORE.get(name_of(page), ""), names)
    if name_of(page) in CONTINUES:
        run(ROOT / CONTINUES[name_of(page)], names)
    run(page, names)


def test_blocks_that_are_not_run_say_why():
    blocks = [(name_of(page), block) for page in pages("docs") for block in python_blocks(page)]
    found: dict[str, int] = {}
    for page, block in blocks:
        if block.reason is not None:
            assert block.reason
            found[page] = found.get(page, 0) + 1
    assert found == NOT_RUN


@pytest.mark.pages
def test_the_first_page_runs_as_it_stands(tmp_path):
    """In a process of its own, where programs are compiled as for users: faster, once they are."""
    (block,) = python_blocks(ROOT / "README.md")
    assert len([line for line in block.code.splitlines() if line]) <= 12
    code = f"{block.code}\nassert run.evaluate(episodes=20).mean > 0.0  # random actions: -2.7"
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "runs/first/summary.json").is_file()


def test_the_first_page_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 160
