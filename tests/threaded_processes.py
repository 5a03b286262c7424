"""Processes that run a command together, as threads of one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from torch.distributed import HashStore

from dataset_builder.storage.processes import Processes
from modeling_clinragen.errors import StageError

PROCESSES = 2


def two_processes() -> list[Processes]:
    """Two processes that meet in this one."""
    store = HashStore()
    return [Processes(rank, PROCESSES, store=store) for rank in range(PROCESSES)]


def of_each(work: Callable[[Processes], Any]) -> list[str]:
    """What goes wrong in each of two processes that are threads, by rank; "" where nothing does."""

    def one(own: Processes) -> str:
        try:
            work(own)
        except StageError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(PROCESSES) as pool:
        return list(pool.map(one, two_processes()))
