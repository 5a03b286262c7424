"""Examples in batches that several processes share, each of which is kept when it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_builder.storage.files import read_json, write_json
from dataset_builder.storage.processes import ALONE, Processes
from dataset_builder.storage.progress import Progress, Report, no_report
from modeling_clinragen.errors import InputDataError


@dataclass(frozen=True)
class Worked:
    """The outcome of a pass over the examples.

    Args:
        results: Of each example, in order; JSON-able.
        own: The examples of this process.
        seconds: How long these took, also in a run that was interrupted.
    """

    results: list[Any]
    own: list[int]
    seconds: float


@dataclass(frozen=True)
class SharedBatches:
    """Puts examples into batches, and gives each of them to one process.

    The batches do not depend on how many processes there are, so no result does.

    Args:
        size: Of a batch.
        processes: Those that share the batches.
        folder: Where the results of finished batches are kept for a run that goes on after an interruption; None keeps
            nothing.
    """

    size: int
    processes: Processes = ALONE
    folder: Path | None = None

    def of(self, sizes: Sequence[tuple[int, int]]) -> list[list[int]]:
        """All batches: the examples in the order of their sizes, so that similar ones are together."""
        order = sorted(range(len(sizes)), key=sizes.__getitem__)
        return [order[start : start + self.size] for start in range(0, len(order), self.size)]

    def work(
        self,
        name: str,
        items: Sequence[Any],
        sizes: Sequence[tuple[int, int]],
        work: Callable[[list[Any]], Sequence[Any]],
        report: Report = no_report,
    ) -> Worked:
        """The results of `work` for all examples; every process gets them all.

        Args:
            name: Of this pass; no two of one run have the same.
            items: What `work` takes of each example.
            sizes: Of each example.
            work: Called with the items of a batch; returns one JSON-able result for each.
            report: Called with the number of this process's examples that are done.

        Raises:
            StageError: Another of the processes has failed.
        """
        numbered = list(enumerate(self.of(sizes)))[self.processes.rank :: self.processes.count]
        own = [row for _, rows in numbered for row in rows]
        found: list[Any] = []
        seconds = 0.0
        for number, rows in numbered:
            results, spent = self._batch(name, number, rows, items, work)
            found += results
            seconds += spent
            report(Progress(len(found), len(own), "examples"))
        whole: dict[int, Any] = {}
        for rows, results in self.processes.gather([own, found]):
            whole.update(zip(rows, results, strict=True))
        return Worked([whole[row] for row in range(len(sizes))], own, seconds)

    def _batch(
        self, name: str, number: int, rows: list[int], items: Sequence[Any], work: Callable[[list[Any]], Sequence[Any]]
    ) -> tuple[list[Any], float]:
        path = None if self.folder is None else self.folder / name / f"{number}.json"
        kept = None if path is None else _kept(path, rows)
        if kept is not None:
            return kept
        start = time.perf_counter()
        results = list(work([items[row] for row in rows]))
        seconds = time.perf_counter() - start
        if path is not None:
            write_json(path, {"examples": rows, "results": results, "seconds": seconds})
        return results, seconds


def _kept(path: Path, rows: list[int]) -> tuple[list[Any], float] | None:
    """The kept results of a batch, and their seconds; None where it is not there, damaged, or of other examples."""
    try:
        content = read_json(path)
    except InputDataError:
        return None
    if not isinstance(content, dict) or content.get("examples") != rows:
        return None
    return content["results"], content["seconds"]
