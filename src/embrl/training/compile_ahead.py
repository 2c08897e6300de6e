"""Programs of a run, compiled beside what is computed before they are called.

A run calls its programs one after another, and each would be traced and compiled when its turn
comes, on one core. What they are called with is known in advance, though: the first program takes
the environment and the keys, and each of the others what programs before it return. So one thread
traces all of them, and others compile, while the first ones already run.
"""

import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

from embrl.core.runtime import available_cores
from embrl.training.replicas import Program

Expect = Callable[..., Any]
"""Takes a program, and arrays or shapes it will be called with; returns the shapes of results."""


class CompileAhead:
    """Compilation of programs in other threads; a program that is called before waits for it."""

    def __init__(self, programs: Sequence[Program], plan: Callable[[Expect], None]) -> None:
        """Begin, unless the programs are kept from an earlier run, or there is but one core.

        Args:
            programs: those that `plan` names; some may remain without.
            plan: calls its argument for one program after another.
        """
        self._stopped = False
        self._compilers: concurrent.futures.ThreadPoolExecutor | None = None
        if available_cores() < 2 or any(program.function.called for program in programs):
            return
        self._ready = {program.function: threading.Event() for program in programs}
        for program, ready in self._ready.items():
            program.wait = ready.wait
        self._compilers = concurrent.futures.ThreadPoolExecutor(available_cores(), "compiler")
        self._tracer = threading.Thread(target=self._trace, args=(plan,), name="tracer")
        self._tracer.start()

    def stop(self) -> None:
        """Give up what has not begun, and wait for the rest, which cannot be interrupted."""
        self._stopped = True
        if self._compilers is not None:
            self._tracer.join()
            self._compilers.shutdown(cancel_futures=True)

    def _trace(self, plan: Callable[[Expect], None]) -> None:
        submitted = set()

        def expect(program: Program, *arguments: Any) -> Any:
            if self._stopped or self._compilers is None:
                raise InterruptedError
            lowered, results = program.function.lower(program.values, *arguments)
            compiling = self._compilers.submit(lowered.compile)
            compiling.add_done_callback(lambda _: self._ready[program.function].set())
            submitted.add(program.function)
            return results

        # What cannot be traced raises the same error once more, where it is called.
        with contextlib.suppress(Exception):
            plan(expect)
        for program in self._ready.keys() - submitted:
            self._ready[program].set()
