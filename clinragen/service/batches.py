"""Patients of many requests, explained together: a bounded queue in front of one thread that has the model."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")


class QueueFullError(Exception):
    """There is no room for a request; it may be sent again later."""


class ClosedError(Exception):
    """The service is ending, and takes nothing more."""


@dataclass
class _Waiting(Generic[A, B]):
    given: A
    answer: asyncio.Future[B] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Batches(Generic[A, B]):
    """Answers items in batches, in the order in which they came; for one event loop.

    A batch is whatever waits when the one before is done, so that nobody waits for others to come.

    Args:
        work: Answers a batch; called in a thread of its own, one batch at a time.
        size: Items of a batch, at most.
        room: Items that may wait.
    """

    def __init__(self, work: Callable[[Sequence[A]], Sequence[B]], size: int, room: int) -> None:
        self._work = work
        self._size = size
        self._room = room
        self._waiting: deque[_Waiting[A, B]] = deque()
        self._thread = ThreadPoolExecutor(1, "model")
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        """Items that wait for their batch."""
        return len(self._waiting)

    async def answer(self, items: Sequence[A]) -> list[B]:
        """The answers to some items, which all find room or none of them does.

        Raises:
            QueueFullError, ClosedError: They were not taken.
            Exception: Whatever `work` raised for the batch of one of them.
        """
        if self._closed:
            raise ClosedError
        if len(self._waiting) + len(items) > self._room:
            raise QueueFullError
        added = [_Waiting[A, B](item) for item in items]
        self._waiting.extend(added)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        try:
            return list(await asyncio.gather(*(one.answer for one in added)))
        finally:
            # Of a request whose client has gone nothing more need be answered.
            for one in added:
                one.answer.cancel()

    async def close(self) -> None:
        """Take nothing more, and answer what waits."""
        self._closed = True
        if self._task is not None:
            await self._task
        self._thread.shutdown()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch: list[_Waiting[A, B]] = []
            while self._waiting and len(batch) < self._size:
                one = self._waiting.popleft()
                if not one.answer.cancelled():
                    batch.append(one)
            if not batch:
                continue
            started = loop.run_in_executor(self._thread, self._work, [one.given for one in batch])
            await asyncio.wait([started])
            error = started.exception()
            if error is not None:
                # Raised where the answers are awaited.
                for one in (one for one in batch if not one.answer.done()):
                    one.answer.set_exception(error)
                continue
            for one, answer in zip(batch, started.result(), strict=True):
                if not one.answer.done():
                    one.answer.set_result(answer)
