"""Lets a teacher write and a judge decide on the rationales of a cohort: which of them may be distilled."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinragen.claims.rationale import Rationale
from clinragen.teachers.teacher import REJECTED, Judge, Teacher, V
from dataset_builder.contract.arrays import refuse_unknown_labels
from dataset_builder.contract.definitions import read_vocabulary
from dataset_builder.contract.schema import example_schema, split_files
from dataset_builder.storage.progress import Progress, Report, no_report
from modeling_clinragen.errors import InputDataError, SettingsError

# Rows in memory at a time: a thousand steps of 11 variables each stay far below 1 GB.
BATCH_ROWS = 128


@dataclass(frozen=True)
class Shard:
    """Every `of`-th example, by a stable hash of its identifier: part `number` of 1 to `of`."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read "2/8". Raises `SettingsError`."""
        match = re.fullmatch("([0-9]{1,6})/([0-9]{1,6})", text)
        if match is not None and 1 <= int(match[1]) <= int(match[2]):
            return cls(int(match[1]), int(match[2]))
        raise SettingsError(f"invalid shard '{text}'; expected a part and the number of parts, such as 2/8")

    def has(self, example_id: str) -> bool:
        """Whether an example belongs to this part."""
        return zlib.crc32(example_id.encode()) % self.of == self.number - 1


WHOLE = Shard()


def cohort_files(cohort: Path) -> dict[str, Path]:
    """The parquet file of every split.

    Raises:
        InputDataError: A file is missing, damaged, or has other columns than the data contract; the message names it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = split_files(cohort)
    expected = set(example_schema(read_vocabulary(cohort)).names)
    for path in paths.values():
        try:
            names = set(pq.ParquetFile(path).schema_arrow.names)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(path) from error
        odd = sorted(names ^ expected)
        if odd:
            raise InputDataError(
                f"{path}: columns differ from the contract ({', '.join(odd)}); build the cohort again"
            )
    return paths


async def distill(
    cohort: Path,
    teacher: Teacher,
    judge: Judge[V],
    *,
    shard: Shard = WHOLE,
    filtering: bool = True,
    report: Report = no_report,
) -> dict[str, Rationale]:
    """Write the rationales of a cohort's examples.

    A rationale that the judge does not keep gets one repair by the teacher; if that is not kept either, it is
    rejected. Without filtering the judge only counts: every rationale is what the teacher first wrote.

    Args:
        cohort: Folder of the cohort.
        teacher: Writes the rationales.
        judge: Decides which of them may be distilled.
        shard: The examples to work on.
        filtering: Whether the judge decides.
        report: Called after every example.

    Returns:
        The rationale of every example by `example_id`; `REJECTED` where none may be distilled.

    Raises:
        InputDataError: Two examples share an identifier, labels are unknown, or the cohort's files are not readable.
    """
    paths = cohort_files(cohort).values()
    identifiers, unknown = [], 0
    for row in _examples(paths, ["example_id", "labels"]):
        identifiers.append(row["example_id"])
        labels = row["labels"]
        unknown += 1 if labels is None else labels.count(None)
    refuse_unknown_labels(unknown, len(identifiers))
    if len(set(identifiers)) != len(identifiers):
        raise InputDataError(f"{cohort}: two examples share an example_id; build the cohort again")
    total = sum(map(shard.has, identifiers))
    examples = (example for example in _examples(paths) if shard.has(example["example_id"]))
    rationales: dict[str, Rationale] = {}

    async def work() -> None:
        # The workers share one iterator: each takes the next example when it has finished one.
        for example in examples:
            rationales[example["example_id"]] = await _distill_example(example, teacher, judge, filtering)
            report(Progress(len(rationales), total, "examples"))
            # A teacher that never waits would delay an interruption until after the last example.
            await asyncio.sleep(0)

    workers = [asyncio.create_task(work()) for _ in range(teacher.concurrency)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return rationales


async def _distill_example(
    example: Mapping[str, Any], teacher: Teacher, judge: Judge[V], filtering: bool
) -> Rationale:
    rationale = await teacher.rationale(example)
    first = final = judge.judge(example, rationale)
    if filtering and not first.kept:
        again = await teacher.repaired(example, rationale, first.complaints)
        if again is not None:
            rationale, final = again, judge.judge(example, again)
    judge.settle(example, first, final)
    return rationale if final.kept or not filtering else REJECTED


def _examples(paths: Iterable[Path], columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in paths:
        batches = pq.ParquetFile(path).iter_batches(batch_size=BATCH_ROWS, columns=columns)
        while True:
            try:
                batch = next(batches, None)
                rows = [] if batch is None else batch.to_pylist()
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                # A damaged page shows itself only when it is reached.
                raise _unreadable(path) from error
            if batch is None:
                break
            yield from rows


def _unreadable(path: Path) -> InputDataError:
    return InputDataError(f"{path}: is not a readable parquet file; build the cohort again")
