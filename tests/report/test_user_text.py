"""Names and paths of users are shown as they are, on the terminal and in figures."""

import io

import pytest
from rich.table import Table

from embrl.report import drawing
from embrl.report.console import plain_console

NAME = r"runs[/x] [bold]y[/bold] :smile: 50%'q $\bad$"


def test_the_console_reads_no_markup():
    file = io.StringIO()
    console = plain_console(file=file, width=200)
    table = Table(NAME, title=NAME)
    table.add_row(NAME)
    console.print(NAME)
    console.print(table)
    assert file.getvalue().count(NAME) == 4


def test_figures_read_no_formulas(tmp_path):
    pytest.importorskip("matplotlib")
    with drawing.figure(tmp_path / "names.png", 3, 1) as drawn:
        drawn.suptitle(NAME)
    assert (tmp_path / "names.png").stat().st_size > 1000
