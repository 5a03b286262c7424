"""The memory of this machine and of its GPU: how much there is, and how much of it is free."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

PROCESSES_HERE = "LOCAL_WORLD_SIZE"
"""The environment variable in which `torchrun` and `accelerate launch` say how many processes this machine has."""
MORE_MEMORY = "choose a smaller backbone, end other programs, or use a machine with more"
"""The cure that a message names where there is too little memory."""
_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")
_THOUSAND = 1000
_KIBI = 1024


@dataclass(frozen=True)
class FreeMemory:
    """Memory that is free, in bytes.

    Args:
        machine: Of the machine.
        gpu: Of the GPU that is computed on; None where there is none.
    """

    machine: int
    gpu: int | None = None

    @classmethod
    def at_present(cls, device: torch.device) -> FreeMemory:
        """The memory that is free now, for a process that computes on this device."""
        return cls(free_memory(), free_gpu_memory(device) if device.type == "cuda" else None)

    @property
    def for_steps(self) -> int:
        """The memory that steps are computed in: the GPU's where there is one."""
        return self.machine if self.gpu is None else self.gpu

    @property
    def name_for_steps(self) -> str:
        """The name of that memory in a message."""
        return "memory" if self.gpu is None else "the GPU's memory"


def machine_memory() -> int:
    """The physical memory of this machine, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def free_memory(root: Path = Path("/")) -> int:
    """The memory that this process can still get, in bytes: what is available, within the limit of its container.

    Where the system does not say (it is not Linux), all of the machine's memory. Of several processes that a launcher
    has started on this machine each can get an equal part.

    Args:
        root: Where `proc` and `sys` are.
    """
    here = int(os.environ.get(PROCESSES_HERE, 1))
    return min([_available(root / "proc" / "meminfo"), *_left_in_groups(root)]) // here


def free_gpu_memory(device: torch.device) -> int:
    """The free memory of a CUDA device, in bytes; what PyTorch keeps for itself counts as free."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def in_words(number: int) -> str:
    """A number of bytes for a message, such as "16 GB"."""
    value, unit = float(number), 0
    while value >= _THOUSAND and unit < len(_UNITS) - 1:
        value, unit = value / _THOUSAND, unit + 1
    return f"{value:,.0f} {_UNITS[unit]}"


def _available(meminfo: Path) -> int:
    for line in _lines(meminfo):
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * _KIBI
    return machine_memory()


def _left_in_groups(root: Path) -> Iterator[int]:
    """The memory that this process's control groups (version 2) leave it: a container's limit, or a batch job's."""
    mounted = root / "sys" / "fs" / "cgroup"
    for line in _lines(root / "proc" / "self" / "cgroup"):
        if not line.startswith("0::"):
            continue
        group = mounted / line.removeprefix("0::").strip().lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(mounted):
                break
            limit, used = _lines(folder / "memory.max"), _lines(folder / "memory.current")
            if limit and used and limit[0].isdigit():
                # Files that the system keeps in memory make room.
                files = [row.split()[1] for row in _lines(folder / "memory.stat") if row.startswith("inactive_file ")]
                yield max(0, int(limit[0]) - int(used[0]) + sum(map(int, files)))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


__all__ = ["MORE_MEMORY", "FreeMemory", "free_gpu_memory", "free_memory", "in_words", "machine_memory"]
