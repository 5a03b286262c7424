"""A cohort in memory knows its vocabulary, its origin and the range set that it was described with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_mimic import VOCABULARY, crowd, make_cohort

from dataset_builder.contract.cohort_splits import CohortSplits, range_set_of
from dataset_builder.contract.schema import load_examples
from dataset_builder.storage.governance import carry_provenance, write_provenance


@pytest.mark.parametrize(
    ("provenance", "expected"),
    [
        ({}, "clinical"),
        ({"settings": {"range_set": "paper"}}, "paper"),
        ({"settings": {"range_set": "paper"}, "steps": [{"step": "build"}]}, "paper"),
        ({"settings": {"range_set": "paper"}, "steps": [{"range_set": "a"}, {"range_set": "b"}, {"step": "c"}]}, "b"),
        ({"settings": None, "steps": "lost"}, "clinical"),
        ({"settings": {"range_set": 5}, "steps": [None, 3]}, "clinical"),
    ],
)
def test_the_last_recorded_range_set_counts(provenance: dict[str, Any], expected: str) -> None:
    assert range_set_of(provenance) == expected
    assert CohortSplits({}, provenance, VOCABULARY).range_set == expected


def test_a_built_and_a_taught_cohort_say_their_range_set(tmp_path: Path) -> None:
    root = crowd(4).write(tmp_path / "tables")
    make_cohort("mimic-iv", root, tmp_path / "out", note_policy="full", range_set="paper")
    cohort = load_examples(tmp_path / "out")
    assert cohort.range_set == "paper"
    assert cohort.vocabulary == VOCABULARY
    taught = carry_provenance([cohort.provenance], "rationales", {"range_set": "clinical"})
    write_provenance(tmp_path / "out", taught)
    assert load_examples(tmp_path / "out").range_set == "clinical"
