"""Batches are shared by processes, and those that were finished before an interruption are not done again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinragen.evaluation.shared_batches import SharedBatches
from dataset_builder.storage.files import read_json
from dataset_builder.storage.processes import Processes
from dataset_builder.storage.progress import Progress

SIZES = [(3, 0), (1, 0), (2, 0), (5, 0), (4, 0)]
BATCHES = [[1, 2], [0, 4], [3]]


class Work:
    """Gives ten times each row, and remembers what it was asked; it ends at a number of batches."""

    def __init__(self, ends_at: int | None = None) -> None:
        self.asked: list[list[int]] = []
        self._ends_at = ends_at

    def __call__(self, rows: list[int]) -> list[int]:
        if len(self.asked) == self._ends_at:
            raise KeyboardInterrupt
        self.asked.append(rows)
        return [10 * row for row in rows]


class Alone(Processes):
    """One of several processes, which hears nothing of the others."""

    def gather(self, value: object) -> list[object]:
        return [value]


@given(
    sizes=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=40),
    batch=st.integers(1, 7),
    count=st.integers(1, 5),
)
def test_every_example_has_one_process_and_the_batch_that_it_would_have_alone(
    sizes: list[tuple[int, int]], batch: int, count: int
) -> None:
    shares = []
    for rank in range(count):
        work = Work()
        shares.append(work)
        if count > 1:
            # The results of the others are missing here; the two-process tests of the stage have them.
            try:
                SharedBatches(batch, Alone(rank, count)).work("a", range(len(sizes)), sizes, work)
            except KeyError:
                assert sum(map(len, work.asked)) < len(sizes)
        else:
            assert SharedBatches(batch).work("a", range(len(sizes)), sizes, work).results == [
                10 * row for row in range(len(sizes))
            ]
    asked = [rows for work in shares for rows in work.asked]
    assert sorted(asked) == sorted(SharedBatches(batch).of(sizes))
    assert sorted(row for rows in asked for row in rows) == list(range(len(sizes)))
    lengths = [sum(map(len, work.asked)) for work in shares]
    assert max(lengths) - min(lengths) <= batch


@pytest.mark.parametrize("ends_at", [0, 1, 2])
def test_an_interrupted_pass_goes_on(tmp_path: Path, ends_at: int) -> None:
    batches = SharedBatches(2, folder=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        batches.work("a", range(len(SIZES)), SIZES, Work(ends_at))
    again, reported = Work(), list[Progress]()
    done = batches.work("a", range(len(SIZES)), SIZES, again, reported.append)
    assert again.asked == BATCHES[ends_at:]
    assert done.results == [0, 10, 20, 30, 40]
    assert done.own == [1, 2, 0, 4, 3]
    assert [progress.done for progress in reported] == [2, 4, 5]
    # What the first run took counts as well.
    kept = [read_json(tmp_path / "a" / f"{number}.json")["seconds"] for number in range(3)]
    assert done.seconds == pytest.approx(sum(kept))


def test_another_pass_has_results_of_its_own(tmp_path: Path) -> None:
    batches, second = SharedBatches(2, folder=tmp_path), Work()
    batches.work("a", range(len(SIZES)), SIZES, Work())
    batches.work("b", range(len(SIZES)), SIZES, second)
    assert second.asked == BATCHES


def test_what_is_damaged_or_of_other_examples_is_done_again(tmp_path: Path) -> None:
    SharedBatches(2, folder=tmp_path).work("a", range(len(SIZES)), SIZES, Work())
    (tmp_path / "a" / "1.json").write_text('{"examples": [0, 4], "res')
    again = Work()
    assert SharedBatches(2, folder=tmp_path).work("a", range(len(SIZES)), SIZES, again).results == [0, 10, 20, 30, 40]
    assert again.asked == [[0, 4]]
    other = Work()
    SharedBatches(3, folder=tmp_path).work("a", range(len(SIZES)), SIZES, other)
    assert other.asked == [[1, 2, 0], [4, 3]]
