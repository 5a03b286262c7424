"""A cohort in memory knows its vocabulary, its origin and the range set that it was described with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_examples import tiny_splits
from tiny_mimic import SHIPPED, VOCABULARY, crowd, make_cohort

from dataset_builder.contract.cohort_splits import CohortSplits, range_set_of
from dataset_builder.contract.definitions import Definitions, write_definitions
from dataset_builder.contract.schema import COHORT_FORMAT, load_examples
from dataset_builder.storage.governance import UNRECORDED, carry_provenance, write_provenance
from modeling_clinragen.errors import InputDataError


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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A cohort folder without a provenance."""
    (tmp_path / "data").mkdir()
    for split, examples in tiny_splits(VOCABULARY, 2).items():
        examples.to_parquet(tmp_path / "data" / f"{split}.parquet")
    write_definitions(tmp_path, SHIPPED)
    return tmp_path


def test_a_cohort_of_another_format_is_refused(folder: Path) -> None:
    assert load_examples(folder).provenance == UNRECORDED
    for provenance in ({"title": "without a format"}, {"format": COHORT_FORMAT}):
        write_provenance(folder, provenance)
        assert load_examples(folder).provenance == provenance
    write_provenance(folder, {"format": COHORT_FORMAT - 1})
    with pytest.raises(InputDataError, match=r"has cohort format 1, this version reads 2; run `clinragen build`"):
        load_examples(folder)


def test_columns_of_another_width_than_the_vocabulary_s_are_named(folder: Path) -> None:
    fewer = replace(VOCABULARY, variables=VOCABULARY.variables[1:])
    about = {key: entry for key, entry in SHIPPED.variables.items() if key in fewer.variable_keys}
    write_definitions(folder, Definitions(fewer, about, SHIPPED.diseases))
    with pytest.raises(InputDataError, match=r"train.parquet: has columns of another type or width than .*vocabulary"):
        load_examples(folder)
