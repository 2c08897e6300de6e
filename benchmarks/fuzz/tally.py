"""What became of inputs: taken, refused in one line, or a finding."""

import contextlib
import dataclasses
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from embrl.core.errors import EmbrlError, EmbrlWarning

LIMIT_S = 60
"""Seconds that an input may take."""


class TooSlow(BaseException):
    """An input takes longer than `LIMIT_S`; nothing may catch this."""


@dataclasses.dataclass
class Tally:
    """Counts of one kind of inputs, and what was found."""

    kind: str
    taken: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    findings: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    """Inputs by what happened, and where."""
    reasons: dict[str, int] = dataclasses.field(default_factory=dict)
    """Refusals by their first words."""

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return self.taken + self.refused + sum(map(len, self.findings.values()))

    def try_one(self, what: Any, function: Callable[[], Any]) -> None:
        """Try an input.

        Args:
            what: description of the input.
            function: does with it what embrl does with it.
        """
        began = time.monotonic()
        try:
            self._try_in_time(what, function)
        except TooSlow as error:  # perhaps of what else this machine does
            print(f"{what}: {error}; once more", flush=True)
            try:
                self._try_in_time(what, function)
            except TooSlow as again:
                self._found(str(again), what, again)
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)

    def _try_in_time(self, what: Any, function: Callable[[], Any]) -> None:
        try:
            with _limited(), warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.simplefilter("ignore", EmbrlWarning)
                function()
            self.taken += 1
        except EmbrlError as error:
            said = str(error)
            if "\n" in said or len(said) > 2000 or not said.strip():
                self._found(f"a message of {len(said)} characters", what, error)
            else:
                self.refused += 1
                first = " ".join(said.split()[:6])
                self.reasons[first] = self.reasons.get(first, 0) + 1
        except (Exception, SystemExit) as error:
            self._found(f"{type(error).__name__}: {str(error)[:120]}", what, error)

    def _found(self, words: str, what: Any, error: BaseException) -> None:
        frames = [
            f for f in traceback.extract_tb(error.__traceback__) if "/src/embrl/" in f.filename
        ]
        place = (
            f"{frames[-1].filename.rpartition('/src/')[2]}:{frames[-1].lineno}" if frames else "?"
        )
        self.findings.setdefault(f"{place} {words}", []).append(str(what)[:300])

    def line(self) -> str:
        """Return the counts in a line."""
        found = sum(map(len, self.findings.values()))
        return (
            f"{self.kind}: {self.inputs:,} inputs, {self.taken:,} taken, {self.refused:,} refused "
            f"in one line, {found:,} findings at {len(self.findings)} places; slowest "
            f"{self.slowest_s:.1f} s"
        )


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise TooSlow(f"more than {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
