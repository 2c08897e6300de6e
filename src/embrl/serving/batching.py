"""Questions of many requests, answered together in one thread beside the server's loop."""

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from embrl.core.errors import EmbrlError
from embrl.serving.metrics import Metrics
from embrl.serving.questions import Answering, Question

AT_ONCE = 512
"""Observations answered together, unless one question has more."""
MOST_WAITING = 16_384
"""Observations that may wait for an answer; of more, requests are refused."""


class BusyError(EmbrlError):
    """More questions than can be answered."""


class Batcher:
    """Collects questions for some milliseconds, and has them answered together.

    While some are being answered, the next ones collect, so that under load batches grow.
    """

    def __init__(self, answering: Answering, wait: float, metrics: Metrics) -> None:
        """Start with no question.

        Args:
            answering: what answers.
            wait: seconds to wait for more questions.
            metrics: counts batches.
        """
        self._answering, self._wait, self._metrics = answering, wait, metrics
        self._waiting: list[tuple[Question, asyncio.Future[dict[str, Any]]]] = []
        self._rows = 0
        self._thread = ThreadPoolExecutor(1, "embrl-answers")
        self._task: asyncio.Task[None] | None = None

    async def ask(self, question: Question) -> dict[str, Any]:
        """Return the answer to a question.

        Raises:
            EmbrlError: too many wait, or there is no answer.
        """
        if self._rows + len(question.rows) > MOST_WAITING:
            raise BusyError("too many observations wait for an answer; try again later")
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        self._rows += len(question.rows)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await future

    async def alone(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in the thread that answers, between two batches."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, functools.partial(function, *arguments))

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def _run(self) -> None:
        try:
            while self._waiting:
                if self._rows < AT_ONCE:
                    await asyncio.sleep(self._wait)
                batch = self._next()
                try:
                    answers = await self.alone(self._answering.answer, [each for each, _ in batch])
                except Exception as error:
                    answers = [error] * len(batch)
                for (_, future), answer in zip(batch, answers, strict=True):
                    if future.done():  # its client has gone
                        continue
                    if isinstance(answer, Exception):
                        future.set_exception(answer)
                    else:
                        future.set_result(answer)
        finally:
            self._task = None

    def _next(self) -> list[tuple[Question, Any]]:
        count = rows = 0
        for question, _ in self._waiting:
            if count and rows + len(question.rows) > AT_ONCE:
                break
            count, rows = count + 1, rows + len(question.rows)
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        self._rows -= rows
        self._metrics.batch(rows)
        return batch
