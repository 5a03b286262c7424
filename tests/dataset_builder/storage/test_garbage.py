"""Python looks for garbage in cycles rarely while a cohort is built, and as before afterwards."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from tiny_mimic import crowd, make_cohort

from dataset_builder.storage.garbage import OBJECTS, collected_rarely
from dataset_builder.storage.progress import Progress


def test_what_was_set_before_is_set_again() -> None:
    before = gc.get_threshold()

    @collected_rarely()
    def fail() -> None:
        assert gc.get_threshold() == (OBJECTS, *before[1:])
        raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail()
    assert gc.get_threshold() == before


@pytest.mark.parametrize("already", [0, 2 * OBJECTS])
def test_it_is_never_more_often_than_before(already: int) -> None:
    before = gc.get_threshold()
    gc.set_threshold(already)
    try:
        with collected_rarely():
            assert gc.get_threshold()[0] == already
    finally:
        gc.set_threshold(*before)


def test_a_build_collects_rarely(tmp_path: Path) -> None:
    before, seen = gc.get_threshold(), set()

    def report(_: Progress) -> None:
        seen.add(gc.get_threshold()[0])

    root = crowd(3).write(tmp_path / "tables")
    make_cohort("mimic-iv", root, tmp_path / "cohort", note_policy="full", report=report)
    assert seen == {OBJECTS}
    assert gc.get_threshold() == before
