"""The command line: flags in, configuration out, and one line for whatever is wrong."""

from embrl.cli.main import main

__all__ = ["main"]
