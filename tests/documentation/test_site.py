"""What must hold of the documentation and its site: whole, and with links that work in both."""

import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import embrl

ROOT = Path(__file__).parents[2]
SITE = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
ENTRY = re.compile(r"^#* ?::: (\S+)$", re.MULTILINE)
"""The line of a page for which mkdocstrings puts in the description of a name."""


def entries() -> list[str]:
    pages = sorted((ROOT / "docs/reference").glob("*.md"))
    return [entry for page in pages for entry in ENTRY.findall(page.read_text())]


def pages_in(nav: list[Any]) -> Iterator[str]:
    for item in nav:
        if isinstance(item, str):
            yield item
        else:
            for inside in item.values():
                yield from pages_in(inside if isinstance(inside, list) else [inside])


def test_every_public_name_has_one_entry_in_the_reference():
    found = entries()
    assert len(found) == len(set(found)), "an entry stands twice"
    public = {name.removeprefix("embrl.") for name in found if name.count(".") == 1}
    assert public == set(embrl.__all__)


def test_every_entry_names_something_documented():
    for entry in entries():
        module, _, name = entry.rpartition(".")
        assert getattr(importlib.import_module(module), name).__doc__, entry


def test_the_index_of_the_reference_lists_every_public_name():
    listed = (ROOT / "docs/reference/README.md").read_text()
    assert set(embrl.__all__) <= set(re.findall(r"`(?:embrl\.)?(\w+)`", listed))


def test_the_navigation_has_every_page_once():
    shown = list(pages_in(SITE["nav"]))
    assert len(shown) == len(set(shown)), "a page stands twice"
    pages = {str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md")}
    assert {page for page in shown if page.startswith("docs/")} == pages
    assert all((ROOT / page).is_file() for page in shown)


def test_the_index_links_to_every_page():
    """Those of a folder with an index of its own are found there."""
    index = (ROOT / "docs/README.md").read_text()
    linked = {str(Path(target)) for target in re.findall(r"\]\(([^)#]+\.md)[^)]*\)", index)}
    for page in (ROOT / "docs").rglob("*.md"):
        path = page.relative_to(ROOT / "docs")
        if path.parts[0] not in ("decisions", "reference") and str(path) != "README.md":
            assert str(path) in linked, f"docs/README.md has no link to {path}"


def test_the_index_links_to_every_example():
    index = (ROOT / "docs/README.md").read_text()
    for script in (ROOT / "examples").rglob("*.py"):
        assert f"(../{script.relative_to(ROOT)})" in index


def test_links_lead_to_files():
    """A folder is a list of files in the repository, and nothing in the site."""
    for page in [*(ROOT / "docs").rglob("*.md"), *(ROOT / "results").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).is_file(), f"{page.relative_to(ROOT)}: {target}"


def test_files_that_pages_name_exist():
    """In the repository, or for `room/file.py` in the package; NAME stands for a new one."""
    roots = (ROOT, ROOT / "src/embrl", ROOT / "src/embrl/agents")
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for name in re.findall(r"`(\w+/[\w/-]+\.py)`", page.read_text()):
            found = any((root / name).exists() for root in roots)
            assert found or "NAME" in name, f"{page.name}: {name}"


def test_every_extra_is_explained():
    """Those for users; the others are for who works on embrl."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = (ROOT / "docs/python.md").read_text().partition("## Extras")[2].partition("\n## ")[0]
    named = {name for row in listed.splitlines() for name in re.findall(r"`(\w+)`", row[:30])}
    assert extras["optional-dependencies"].keys() - {"dev", "docs"} == named
