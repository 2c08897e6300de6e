"""Command line: a subcommand per file; anything wrong becomes one line and exit code 2."""

from embrl.cli.main import main

__all__ = ["main"]
