"""Progress of a run on the command line; it is defined where Python's interface reaches it, too."""

from embrl.report.progress_bar import ProgressBar

__all__ = ["ProgressBar"]
