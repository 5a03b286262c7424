"""The steps of slow work as an asynchronous iterator, which can be given up at once.

gradio would wait for the step that is under way before it lets go of an event that the reader no longer wants.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from threading import Event
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], Generator[T, None, None]]) -> AsyncIterator[T]:
    """Yield what a generator yields that runs in a thread of its own.

    Args:
        work: Makes the generator. It is closed at its next step where the iteration is given up.

    Raises:
        Exception: What the generator raised.
    """
    loop = asyncio.get_running_loop()
    parts: asyncio.Queue[tuple[T, ...]] = asyncio.Queue()
    given_up = Event()

    def put(*part: T) -> None:
        # Nobody waits where the loop has ended.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(parts.put_nowait, part)

    def run() -> None:
        with closing(work()) as steps:
            for part in steps:
                if given_up.is_set():
                    return
                put(part)

    pool = ThreadPoolExecutor(1, "clinragen-page")
    done = pool.submit(run)
    done.add_done_callback(lambda _: put())
    pool.shutdown(wait=False)
    try:
        while part := await parts.get():
            yield part[0]
        done.result()
    finally:
        given_up.set()
