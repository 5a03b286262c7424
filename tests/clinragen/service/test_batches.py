"""Batches of waiting patients: order, room, faults and the end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinragen.service.batches import LONGEST_LINGER, Batches, ClosedError, QueueFullError


class Doubler:
    """Doubles numbers; what it was given is kept."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.batches: list[list[int]] = []
        self.seconds = seconds
        self.go = threading.Event()
        self.go.set()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.go.wait()
        time.sleep(self.seconds)
        self.batches.append(list(items))
        if -1 in items:
            raise ValueError("a fault")
        return [2 * item for item in items]


@given(requests=st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=5), max_size=12), size=st.integers(1, 7))
@settings(deadline=None, max_examples=30)
def test_each_request_gets_its_own_answers_in_its_order(requests: list[list[int]], size: int) -> None:
    work = Doubler()

    async def ask() -> list[list[int]]:
        batches: Batches[int, int] = Batches(work, size, room=100)
        found = await asyncio.gather(*(batches.answer(items) for items in requests))
        await batches.close()
        return list(found)

    assert asyncio.run(ask()) == [[2 * item for item in items] for items in requests]
    assert [item for batch in work.batches for item in batch] == [item for items in requests for item in items]
    assert all(len(batch) <= size for batch in work.batches)


def test_what_waits_meanwhile_goes_together() -> None:
    work = Doubler()
    work.go.clear()

    async def ask() -> None:
        batches: Batches[int, int] = Batches(work, 8, room=100)
        first = asyncio.create_task(batches.answer([1]))
        await asyncio.sleep(0.05)
        others = [asyncio.create_task(batches.answer([number])) for number in range(2, 8)]
        await asyncio.sleep(0.05)
        assert batches.waiting == 6
        work.go.set()
        await asyncio.gather(first, *others)
        await batches.close()

    asyncio.run(ask())
    assert work.batches == [[1], [2, 3, 4, 5, 6, 7]]


def test_without_room_a_request_is_refused_whole_and_the_others_stay() -> None:
    work = Doubler()
    work.go.clear()

    async def ask() -> None:
        batches: Batches[int, int] = Batches(work, 1, room=3)
        first = asyncio.create_task(batches.answer([1]))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(batches.answer([2, 3]))
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError):
            await batches.answer([4, 5])
        assert batches.waiting == 2
        work.go.set()
        assert await asyncio.gather(first, second) == [[2], [4, 6]]
        await batches.close()
        with pytest.raises(ClosedError):
            await batches.answer([6])

    asyncio.run(ask())
    assert work.batches == [[1], [2], [3]]


def test_a_fault_is_that_of_its_item_alone() -> None:
    work = Doubler()

    async def ask() -> None:
        batches: Batches[int, int] = Batches(work, 8, room=100)
        found = await asyncio.gather(*(batches.answer([n]) for n in (1, 2, -1, 3)), return_exceptions=True)
        assert [one if isinstance(one, list) else type(one) for one in found] == [[2], [4], ValueError, [6]]
        await batches.close()

    asyncio.run(ask())
    assert work.batches == [[1, 2, -1, 3], [1], [2], [-1], [3]]


def test_who_asks_again_at_once_comes_into_the_same_batch() -> None:
    work = Doubler(seconds=0.4)

    async def client(batches: Batches[int, int], number: int) -> None:
        for _ in range(3):
            await batches.answer([number])

    async def ask() -> None:
        batches: Batches[int, int] = Batches(work, 8, room=100)
        await asyncio.gather(*(client(batches, number) for number in range(8)))
        await batches.close()

    asyncio.run(ask())
    assert [len(batch) for batch in work.batches] == [8, 8, 8]


def test_nobody_waits_long_for_those_who_do_not_come_again() -> None:
    async def ask() -> float:
        clock = asyncio.get_running_loop().time
        batches: Batches[int, int] = Batches(Doubler(seconds=0.2), 2, room=100)
        crowd = asyncio.gather(*(batches.answer([number]) for number in range(3)))
        await crowd
        began = clock()
        await batches.answer([4])
        await batches.close()
        return clock() - began

    assert asyncio.run(ask()) < 0.2 + LONGEST_LINGER + 0.05


def test_who_has_gone_is_not_waited_for() -> None:
    work = Doubler()
    work.go.clear()

    async def ask() -> None:
        batches: Batches[int, int] = Batches(work, 1, room=100)
        first = asyncio.create_task(batches.answer([1]))
        await asyncio.sleep(0.05)
        gone, stays = asyncio.create_task(batches.answer([2])), asyncio.create_task(batches.answer([3]))
        await asyncio.sleep(0.05)
        gone.cancel()
        await asyncio.sleep(0)
        work.go.set()
        assert await asyncio.gather(first, stays) == [[2], [6]]
        await batches.close()

    asyncio.run(ask())
    assert work.batches == [[1], [3]]


def test_at_the_end_what_waits_is_answered() -> None:
    async def ask() -> list[int]:
        batches: Batches[int, int] = Batches(Doubler(seconds=0.02), 1, room=100)
        asked = asyncio.create_task(batches.answer([1, 2, 3]))
        await asyncio.sleep(0.03)
        await batches.close()
        return await asked

    assert asyncio.run(ask()) == [2, 4, 6]
