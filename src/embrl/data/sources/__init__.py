"""Transitions that somebody has recorded."""

from embrl.data.sources.recorded import Recorded

__all__ = ["Recorded"]
