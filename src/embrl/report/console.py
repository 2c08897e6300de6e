"""Console of the command line."""

from typing import Any

from rich.console import Console


def plain_console(**options: Any) -> Console:
    """Return a console that prints text as it is.

    Paths, names and messages contain brackets and colons, which rich would read as its markup, in
    tables and titles, too.

    Args:
        options: of `rich.console.Console`.
    """
    return Console(markup=False, emoji=False, highlight=False, **options)
