"""What the pages of the documentation hold: Python, commands, and tables with defaults."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
NOT_RUN = "# not run by the tests: "
"""First line of a Python block that cannot run there; what follows is the reason."""

FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`(embrl [^`\n]+)`")
CODE = re.compile(r"`([^`]+)`")


def pages(*folders: str) -> list[Path]:
    """Return the first pages of the repository, and all pages of some folders."""
    inside = [page for folder in folders for page in sorted((ROOT / folder).rglob("*.md"))]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *inside]


def name_of(page: Path) -> str:
    """Return the path of a page in the repository."""
    return page.relative_to(ROOT).as_posix()


class Block(NamedTuple):
    """A Python block of a page."""

    line: int
    """Number of its first line."""
    code: str

    @property
    def reason(self) -> str | None:
        """Why the tests do not run it; None: they do."""
        first = self.code.partition("\n")[0]
        return first.removeprefix(NOT_RUN) if first.startswith(NOT_RUN) else None


def python_blocks(page: Path) -> list[Block]:
    """Return the Python blocks of a page, in order."""
    text = page.read_text()
    return [
        Block(text.count("\n", 0, found.start(3)) + 1, found[3])
        for found in FENCE.finditer(text)
        if found[2] == "python"
    ]


class Command(NamedTuple):
    """A command of a page."""

    line: int
    words: list[str]
    """What follows `embrl`."""
    whole: bool
    """False for one that is named in a sentence, perhaps without its arguments."""


def commands(page: Path) -> Iterator[Command]:
    """Yield the commands of a page: lines of code, and code in sentences."""
    lines = page.read_text().splitlines()
    fenced = python = False
    at = 0
    while at < len(lines):
        number, line = at + 1, lines[at]
        at += 1
        if line.lstrip().startswith("```"):
            fenced = not fenced
            python = fenced and line.strip() == "```python"
            continue
        if python:
            continue
        if (fenced or line.startswith("    ")) and line.strip().startswith("embrl "):
            text = line
            while text.endswith("\\"):
                text = text[:-1] + lines[at]
                at += 1
            yield Command(number, shlex.split(text, comments=True)[1:], True)
        elif not fenced:
            for text in SPAN.findall(line):
                yield Command(number, shlex.split(text)[1:], False)


class Default(NamedTuple):
    """A default that a table of a page states."""

    name: str
    """Of the setting, as in Python; with its section if the page gives that."""
    text: str
    """Default as it is written."""


def defaults(page: Path) -> Iterator[Default]:
    """Yield what tables with a column `default` state; of several settings in a row, each."""
    column = None
    for line in page.read_text().splitlines():
        if not line.startswith("|"):
            column = None
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if column is None:
            column = next((i for i, cell in enumerate(cells) if cell.startswith("default")), 0)
        elif column and not set(line) <= set("|-: "):
            names = CODE.findall(cells[0])
            texts = [cells[column]]
            if len(names) > 1:
                texts = [text.strip() for text in cells[column].split(",")]
            for name, text in zip(names, texts, strict=False):
                plain = name.split(" ")[0].removeprefix("--").replace("-", "_")
                yield Default(plain, text.strip("`"))
