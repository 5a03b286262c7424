"""Slow work step by step, which whoever waits can give up at once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator

import pytest

from clinragen.demo.async_steps import in_thread


def test_it_yields_what_the_generator_yields_and_raises_what_it_raises() -> None:
    def steps(fails: bool) -> Generator[int, None, None]:
        yield 1
        yield 2
        if fails:
            raise ValueError("no more")

    async def gathered(fails: bool) -> list[int]:
        seen.clear()
        async for part in in_thread(lambda: steps(fails)):
            seen.append(part)
        return seen

    seen: list[int] = []
    assert asyncio.run(gathered(False)) == [1, 2]
    with pytest.raises(ValueError, match="no more"):
        asyncio.run(gathered(True))
    assert seen == [1, 2]


def test_it_is_given_up_at_once_and_the_generator_is_closed() -> None:
    closed, go_on = threading.Event(), threading.Event()

    def steps() -> Generator[int, None, None]:
        try:
            yield 1
            assert go_on.wait(30)
            yield 2
        finally:
            closed.set()

    async def one_step() -> float:
        async def all_steps() -> None:
            async for _ in in_thread(steps):
                begun.set()

        begun = asyncio.Event()
        task = asyncio.create_task(all_steps())
        await begun.wait()
        asked = time.monotonic()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return time.monotonic() - asked

    assert asyncio.run(one_step()) < 5
    assert not closed.is_set()
    go_on.set()
    assert closed.wait(30)
