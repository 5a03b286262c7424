"""Several processes that run one command together, as `torchrun` starts them: who they are, and what they tell."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from modeling_clinragen.errors import SettingsError, StageError

_NAMED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_FAILED = "failed"
_LONGEST_PAUSE = 0.5
_NAMED_DIFFERENCES = 4
_GROUP_BROKEN = "gloo/transport/"
"""Of what torch says on a CPU where another process of its group has ended: a RuntimeError like any other."""
_LOST = "another of the processes that run this together has ended; see its message, then start them all again"


class Processes:
    """The processes that run one command together; without arguments this one alone.

    The first of them owns output folders and says what is done. They meet at a store of torch's, by TCP, and not in a
    process group: a stage that only one of them runs may take hours, and a group gives up waiting before that.

    Args:
        rank: The number of this process; the first has 0.
        count: How many there are.
        local_rank: The number of this process on its machine.
        store: Where they meet; a `torch.distributed.Store` that nothing else writes to.

    Attributes:
        first: Whether this is the first process.
    """

    def __init__(self, rank: int = 0, count: int = 1, local_rank: int = 0, store: Any = None) -> None:
        self.rank = rank
        self.count = count
        self.local_rank = local_rank
        self.first = rank == 0
        self._store = store
        self._meetings = 0

    def gather(self, value: Any) -> list[Any]:
        """Every process's value (JSON-able), by rank; all processes must call this, and each waits for the others.

        Raises:
            StageError: Another process has failed or ended.
        """
        if self.count == 1:
            return [value]
        self._meetings += 1
        name = str(self._meetings)
        with _store_errors():
            self._store.set(f"{name}/{self.rank}", json.dumps(value))
            found = [json.loads(self._wait(f"{name}/{rank}")) for rank in range(self.count)]
            if self._store.add(f"{name}/read", 1) == self.count:
                self._store.set(f"{name}/over", "")
            if self.first:
                # The store may live in this process: it stays until all have read.
                self._wait(f"{name}/over")
                for rank in range(self.count):
                    self._store.delete_key(f"{name}/{rank}")
        return found

    def share(self, value: Any = None) -> Any:
        """The first process's value (JSON-able), in every process; the others' values do not count."""
        return self.gather(value if self.first else None)[0]

    def require_same(self, subject: str, parts: Mapping[str, Any]) -> None:
        """Check that every process has the same parts; all must call this.

        Args:
            subject: What they are parts of, for the message.
            parts: Values (JSON-able) by what they are called in the message.

        Raises:
            StageError: They differ; it is raised in every process, and says where.
        """
        first, *others = self.gather(dict(parts))
        for rank, other in enumerate(others, start=1):
            names = [
                name
                for name in {**first, **other}
                if (name in first, first.get(name)) != (name in other, other.get(name))
            ]
            if names:
                more = len(names) - _NAMED_DIFFERENCES
                listed = ", ".join(names[:_NAMED_DIFFERENCES]) + (f" and {more} more" if more > 0 else "")
                raise StageError(
                    f"{subject}: process {rank} differs from process 0 in {listed}; start all with the same command, "
                    "settings, data and version"
                )

    @contextmanager
    def together(self) -> Iterator[None]:
        """Within the block, an error in this process ends the others' waiting for it.

        Raises:
            StageError: In place of torch's own error where another process of its group has ended.
        """
        try:
            yield
        except BaseException as error:
            if self.count > 1:
                # What went wrong is said, not that nobody is left to hear of it.
                with suppress(StageError), _store_errors():
                    self._store.set(_FAILED, "")
                if _is_of_broken_group(error):
                    raise StageError(_LOST) from error
            raise

    def _wait(self, name: str) -> bytes:
        pause = 0.001
        while not self._store.check([name]):
            if self._store.check([_FAILED]):
                raise StageError("another of the processes that run this together has failed; see its message")
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        found: bytes = self._store.get(name)
        return found


ALONE = Processes()


def processes_of(environment: Mapping[str, str] = os.environ) -> Processes:
    """The processes that `torchrun`, or anything that sets the same variables, has started.

    Raises:
        SettingsError: Some of the variables are missing or malformed.
    """
    if environment.get("WORLD_SIZE", "1") == "1":
        return Processes()
    try:
        rank, count = int(environment["RANK"]), int(environment["WORLD_SIZE"])
        local_rank = int(environment.get("LOCAL_RANK", rank))
        if not environment["MASTER_ADDR"] or not 0 <= rank < count:
            raise ValueError
        int(environment["MASTER_PORT"])
    except (KeyError, ValueError) as error:
        raise SettingsError(
            f"WORLD_SIZE is set, but not all of {', '.join(_NAMED)} are as torchrun sets them; start several "
            "processes with torchrun, or unset WORLD_SIZE"
        ) from error
    from torch.distributed import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    with _store_errors():
        store, _, _ = next(rendezvous("env://"))
    return Processes(rank, count, local_rank, PrefixStore("clinragen", store))


def _is_of_broken_group(error: BaseException) -> bool:
    from torch.distributed import DistError

    return isinstance(error, DistError) or (isinstance(error, RuntimeError) and _GROUP_BROKEN in str(error))


@contextmanager
def _store_errors() -> Iterator[None]:
    from torch.distributed import DistError

    try:
        yield
    except DistError as error:
        raise StageError(_LOST) from error
