"""Patients of many requests, explained together: a bounded queue in front of one thread that has the model."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")

LINGER = 0.1
"""Share of the time that the last batch took, which the next one may wait for those who have just been answered."""
LONGEST_LINGER = 0.1
"""Seconds of any wait for others, at most."""


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

    A batch is what waits when the one before is done. Programs that ask again as soon as they are answered would so
    fall into two groups that wait for each other, in batches of half the size: a batch that is smaller than the crowd
    that was there before waits a moment for them, a tenth of the time that the last batch took at most, and for those
    who are at the door (see `coming`). Who is alone never waits.

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
        self._at_the_door = 0
        self._task: asyncio.Task[None] | None = None
        self.open()

    def open(self) -> None:
        """Take items; a new one does."""
        self._thread = ThreadPoolExecutor(1, "model")
        self._came = asyncio.Event()
        self._closed = False

    @property
    def waiting(self) -> int:
        """Items that wait for their batch."""
        return len(self._waiting)

    @contextmanager
    def coming(self) -> Iterator[None]:
        """Somebody is about to ask: within the block the request is read."""
        self._at_the_door += 1
        try:
            yield
        finally:
            self._at_the_door -= 1
            self._came.set()

    async def answer(self, items: Sequence[A]) -> list[B]:
        """The answers to some items, which all find room or none of them does.

        Raises:
            QueueFullError, ClosedError: They were not taken.
            Exception: Whatever `work` raised for one of them alone.
        """
        if self._closed:
            raise ClosedError
        if len(self._waiting) + len(items) > self._room:
            raise QueueFullError
        added = [_Waiting[A, B](item) for item in items]
        self._waiting.extend(added)
        self._came.set()
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
        self._came.set()
        if self._task is not None:
            await self._task
        self._thread.shutdown()

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        while self._waiting:
            await self._until(lambda: not self._at_the_door, LONGEST_LINGER)
            batch = self._next()
            if not batch:
                continue
            crowd = len(batch) + len(self._waiting)
            began = clock()
            await self._answer_all(batch)
            seconds = min(LINGER * (clock() - began), LONGEST_LINGER)
            await self._until(partial(self._are, crowd), seconds)

    def _next(self) -> list[_Waiting[A, B]]:
        batch: list[_Waiting[A, B]] = []
        while self._waiting and len(batch) < self._size:
            one = self._waiting.popleft()
            if not one.answer.cancelled():
                batch.append(one)
        return batch

    def _are(self, crowd: int) -> bool:
        return len(self._waiting) + self._at_the_door >= crowd

    async def _until(self, enough: Callable[[], bool], seconds: float) -> None:
        """Wait for others until there are enough, or a batch of them, but not longer than so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not (enough() or len(self._waiting) >= self._size or self._closed):
                    self._came.clear()
                    await self._came.wait()

    async def _answer_all(self, batch: Sequence[_Waiting[A, B]]) -> None:
        loop = asyncio.get_running_loop()
        started = loop.run_in_executor(self._thread, self._work, [one.given for one in batch])
        await asyncio.wait([started])
        error = started.exception()
        if error is None:
            for one, answer in zip(batch, started.result(), strict=True):
                if not one.answer.done():
                    one.answer.set_result(answer)
        elif len(batch) == 1:
            # Raised where the answer is awaited.
            if not batch[0].answer.done():
                batch[0].answer.set_exception(error)
        else:
            # A fault is that of one item; the others came with it by chance.
            for one in batch:
                if not one.answer.done():
                    await self._answer_all([one])
