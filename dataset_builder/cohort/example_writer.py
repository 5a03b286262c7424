"""Writes a cohort's examples, part by part, into one parquet file per split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builder.cohort.leakage_audit import LeakageAudit
from dataset_builder.contract.schema import SPLITS, example_schema
from modeling_clinragen.vocabulary_clinragen import Vocabulary


@contextmanager
def example_writer(
    folder: Path, vocabulary: Vocabulary, audit: LeakageAudit
) -> Iterator[Callable[[pa.Table, np.ndarray], None]]:
    """Yield a function that writes examples into `folder`/<split>.parquet and shows them to the audit.

    It takes a table of the data contract that is in the order of the splits, and the position in `SPLITS` of each
    row's split. A part is written while the caller makes the next one; the files are complete when the block ends.
    """
    folder.mkdir()
    schema = example_schema(vocabulary)
    with ExitStack() as stack:
        writers = {
            split: stack.enter_context(pq.ParquetWriter(folder / f"{split}.parquet", schema, compression="zstd"))
            for split in SPLITS
        }
        # Closed before the files are, and only when nothing is being written any more.
        thread = stack.enter_context(ThreadPoolExecutor(max_workers=1))
        being_written: Future[None] | None = None

        def write_all(examples: pa.Table, split_of_row: np.ndarray) -> None:
            ends = np.searchsorted(split_of_row, np.arange(len(SPLITS)), side="right").tolist()
            for split, first, end in zip(SPLITS, [0, *ends], ends, strict=False):
                if end > first:
                    of_split = examples.slice(first, end - first)
                    writers[split].write_table(of_split)
                    audit.add(split, of_split)

        def write(examples: pa.Table, split_of_row: np.ndarray) -> None:
            nonlocal being_written
            if being_written is not None:
                being_written.result()
            being_written = thread.submit(write_all, examples, split_of_row)

        yield write
        if being_written is not None:
            being_written.result()
