"""Where a model computes: the GPU where there is one, or what is asked for, and on how many threads of the CPU."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from modeling_clinragen.errors import SettingsError

if TYPE_CHECKING:
    import torch

AUTO = "auto"
_NAMES = re.compile(r"auto|cpu|cuda(:\d+)?", re.ASCII)


def check_device(name: str) -> None:
    """Raise `SettingsError` where this is not how a device is named."""
    if not _NAMES.fullmatch(name):
        raise SettingsError(f"device: expected {AUTO}, cpu, cuda or cuda:N, got '{name}'")


def resolve_device(name: str, local_rank: int = 0) -> torch.device:
    """The device of this name.

    Args:
        name: `auto` (a GPU where there is one, else the CPU), `cpu`, `cuda` or `cuda:N`.
        local_rank: The number of this process on its machine: without a number, each process has a GPU of its own as
            far as there are enough.

    Raises:
        SettingsError: There is no such device.
    """
    import torch

    check_device(name)
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == AUTO and not gpus):
        return torch.device("cpu")
    _, colon, number = name.partition(":")
    index = int(number) if colon else local_rank % max(gpus, 1)
    if index >= gpus:
        raise SettingsError(f"device: '{name}' is not there: torch finds {gpus} GPUs; give {AUTO} or cpu")
    return torch.device("cuda", index)


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Let torch compute with so many threads inside; None leaves it torch's choice, which is every core.

    The layers of a tiny model are too small to share: a second thread costs processor time and gains nothing.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
