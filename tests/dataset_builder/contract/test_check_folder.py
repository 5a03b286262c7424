"""The check of anyone's cohort folder: each fault is found, counted and told without a patient's value."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_up_cohort import make_cohort

from dataset_builder.contract.check_folder import check_folder
from dataset_builder.contract.definitions import Definitions, write_definitions
from dataset_builder.contract.schema import SPLITS, example_schema, load_examples
from dataset_builder.storage.files import write_json
from modeling_clinragen.errors import InputDataError

Rows = dict[str, list[dict[str, Any]]]
SECRET = 123.456
"""A value that no message may repeat."""


@pytest.fixture(scope="module")
def rows(vocabulary: Any) -> Rows:
    """Rows of the made-up cohort, with values that a patient can have."""
    cohort = make_cohort(vocabulary)
    fills = np.array([variable.fill for variable in vocabulary.variables])
    bounds = np.array([variable.plausible for variable in vocabulary.variables]).T
    rng = np.random.default_rng(0)

    def of(row: dict[str, Any]) -> dict[str, Any]:
        values = np.clip(fills * rng.normal(1.0, 0.005, size=(3, len(fills))), *bounds)
        return {**row, "lab_values": values.tolist()}

    return {split: [of(row) for row in cohort[split]] for split in SPLITS}


def write(folder: Path, shipped: Definitions, rows: Rows, schema: pa.Schema | None = None) -> Path:
    (folder / "data").mkdir(parents=True)
    write_definitions(folder, shipped)
    write_json(folder / "provenance.json", {"format": 2, "source": "made-up", "credentialed": False})
    for split in SPLITS:
        table = pa.Table.from_pylist(rows[split], schema=schema or example_schema(shipped.vocabulary))
        pq.write_table(table, folder / "data" / f"{split}.parquet")
    return folder


def changed(rows: Rows, **cells: Any) -> Rows:
    """The same with other cells in the first training row."""
    return {**rows, "train": [{**rows["train"][0], **cells}, *rows["train"][1:]]}


def lines(folder: Path) -> list[str]:
    return [finding.line() for finding in check_folder(folder).findings]


def test_a_cohort_by_the_contract_has_nothing_that_blocks(tmp_path: Path, shipped: Definitions, rows: Rows) -> None:
    found = check_folder(write(tmp_path / "cohort", shipped, rows))
    assert found.findings == []
    assert found.examples == {"train": 24, "validation": 12, "test": 8}
    assert not found.blocked


def series(rows: Rows, **changes: Callable[[list[Any]], Any]) -> dict[str, Any]:
    return {name: change([*rows["train"][0][name]]) for name, change in changes.items()}


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"note": None}, "data/train.parquet: note is null (1)"),
        ({"example_id": ""}, "example_id is empty (1)"),
        ({"example_id": "made-up-30"}, "example_id occurs more than once (1)"),
        ({"subject_id": 30}, "data: patients are in several splits (1)"),
        ({"lab_hours": [0.0, 5.0, 5.0]}, "hours do not rise strictly (1)"),
        ({"lab_hours": [-3.0, 5.0, 9.0]}, "hours are negative (1)"),
        ({"lab_hours": [0.0, 5.0, SECRET]}, "hours are later than prediction_time (1)"),
        ({"lab_hours": [0.0, None, 9.0]}, "hours are missing or not finite (1)"),
        ({"lab_hours": [0.0, 5.0]}, "lab_hours, lab_values and lab_observed differ in length (1)"),
        ({"prediction_time": float("nan")}, "prediction_time is missing, negative or not finite (1)"),
        ({"prediction_time": None}, "prediction_time is null (1)"),
        ({"labels": [2] + [0] * 24, "diagnoses": []}, "labels are neither 0, 1 nor null (1)"),
        ({"diagnoses": []}, "diagnoses are not the names of the labels that are 1 (1)"),
        ({"diagnoses": ["A rare disease"]}, "diagnoses have names that the vocabulary does not know (1)"),
    ],
)
def test_each_fault_of_a_row_is_found_and_counted(
    cells: dict[str, Any], message: str, tmp_path: Path, shipped: Definitions, rows: Rows
) -> None:
    folder = write(tmp_path / "cohort", shipped, changed(rows, **cells))
    (line,) = lines(folder)
    assert message in line
    assert line.startswith("error: ")
    assert re.search(r"; \w", line), "a cure"
    assert str(SECRET) not in line
    assert "rare" not in line
    assert check_folder(folder).blocked


@pytest.mark.parametrize(
    ("step", "observed", "message"),
    [
        ([float("nan")] * 11, [True] * 11, "values are NaN or infinite (11)"),
        ([None] * 11, [True] * 11, "values are marked in lab_observed and null (11)"),
        (None, [False] * 11, "values are not marked in lab_observed (11)"),
    ],
)
def test_values_and_marks_must_agree(
    step: Any, observed: list[bool], message: str, tmp_path: Path, shipped: Definitions, rows: Rows
) -> None:
    first = rows["train"][0]
    cells = {
        "lab_values": [step or first["lab_values"][0], *first["lab_values"][1:]],
        "lab_observed": [observed, *first["lab_observed"][1:]],
    }
    (line,) = lines(write(tmp_path / "cohort", shipped, changed(rows, **cells)))
    assert message in line


def with_values(rows: Rows, column: int, convert: Callable[[float], float]) -> Rows:
    def of(row: dict[str, Any]) -> dict[str, Any]:
        values = [
            [convert(one) if place == column else one for place, one in enumerate(step)] for step in row["lab_values"]
        ]
        return {**row, "lab_values": values}

    return {split: [of(row) for row in rows[split]] for split in SPLITS}


@pytest.mark.parametrize(
    ("key", "convert", "unit"),
    [
        ("glucose", lambda value: value / 18.0156, "mmol/L, not like mg/dL"),
        ("temperature", lambda value: value * 1.8 + 32, "°F, not like °C"),
        ("systolic_blood_pressure", lambda value: value / 7.500616827, "kPa, not like mmHg"),
        ("oxygen_saturation", lambda value: value / 100, "fraction, not like %"),
        ("fraction_inspired_oxygen", lambda value: value * 100, "%, not like fraction"),
        ("weight", lambda value: value * 1000, "g, not like kg"),
    ],
)
def test_a_wrong_unit_is_named(
    key: str, convert: Callable[[float], float], unit: str, tmp_path: Path, shipped: Definitions, rows: Rows
) -> None:
    column = shipped.vocabulary.variable_keys.index(key)
    found = lines(write(tmp_path / "cohort", shipped, with_values(rows, column, convert)))
    (line,) = [line for line in found if "look like" in line]
    assert f"look like {unit}" in line


def test_implausible_values_are_counted(tmp_path: Path, shipped: Definitions, rows: Rows) -> None:
    column = shipped.vocabulary.variable_keys.index("heart_rate")
    steps = [
        [0.0 if place == column else one for place, one in enumerate(step)] for step in rows["train"][0]["lab_values"]
    ]
    (line,) = lines(write(tmp_path / "cohort", shipped, changed(rows, lab_values=steps)))
    assert "lab_values, heart rate: 3 of 132 values are implausible; expected 10 to 300 bpm" in line


def test_unknown_labels_are_a_note(tmp_path: Path, shipped: Definitions, rows: Rows) -> None:
    unknown = {split: [{**row, "labels": [None] * 25, "diagnoses": []} for row in rows[split]] for split in SPLITS}
    found = check_folder(write(tmp_path / "cohort", shipped, unknown))
    assert [finding.line() for finding in found.findings] == [
        "note: labels: labels of 25 of 25 diseases are unknown (1,100 nulls); nothing can be trained on or scored by "
        "such a cohort, only explained"
    ]


def test_empty_texts_are_notes(tmp_path: Path, shipped: Definitions, rows: Rows) -> None:
    empty = {
        split: [
            {**row, "rationale_note": "", "rationale_lab": "", "lab_summary": "", "note": ""} for row in rows[split]
        ]
        for split in SPLITS
    }
    found = check_folder(write(tmp_path / "cohort", shipped, {**empty, "validation": []}))
    assert not found.blocked
    assert sorted(finding.where for finding in found.findings) == [
        "data/validation.parquet",
        "lab_summary",
        "rationale_note, rationale_lab",
    ]


def test_missing_files_columns_and_types_are_named(tmp_path: Path, shipped: Definitions, rows: Rows) -> None:
    folder = write(tmp_path / "cohort", shipped, rows)
    train = pq.read_table(folder / "data" / "train.parquet")
    other = train.drop_columns(["note", "prediction_time"]).append_column("name of the patient", train["note"])
    wrong = pa.array([[1]] * len(train))
    pq.write_table(
        other.set_column(other.schema.get_field_index("labels"), "labels", wrong), folder / "data" / "train.parquet"
    )
    (folder / "data" / "test.parquet").unlink()
    (folder / "data" / "validation.parquet").write_bytes(b"PAR1")
    found = lines(folder)
    for part in (
        "error: data/train.parquet: has no column 'note'; add it (string)",
        "has no column 'prediction_time'; add it (float)",
        "has 1 columns that the contract does not know",
        "column 'labels' cannot be read as fixed_size_list<item: int8>[25]",
        "data/test.parquet: is missing",
        "data/validation.parquet: is not a readable parquet file",
    ):
        assert any(part in line for line in found), (part, found)
    assert not any("name of the patient" in line for line in found)


def test_a_repeated_column_is_named(tmp_path: Path, shipped: Definitions, rows: Rows) -> None:
    folder = write(tmp_path / "cohort", shipped, rows)
    train = pq.read_table(folder / "data" / "train.parquet")
    pq.write_table(train.append_column("note", train["note"]), folder / "data" / "train.parquet")
    assert any("data/train.parquet: has the column 'note' 2 times; keep one" in line for line in lines(folder))


def test_wider_types_are_read_as_load_examples_reads_them(tmp_path: Path, shipped: Definitions, rows: Rows) -> None:
    schema = example_schema(shipped.vocabulary)
    for name, kind in (
        ("subject_id", pa.int32()),
        ("note", pa.large_string()),
        ("prediction_time", pa.float64()),
        ("lab_values", pa.list_(pa.list_(pa.float64()))),
        ("labels", pa.list_(pa.int64())),
    ):
        schema = schema.set(schema.get_field_index(name), pa.field(name, kind))
    folder = write(tmp_path / "cohort", shipped, rows, schema)
    assert check_folder(folder).findings == []
    assert load_examples(folder)["train"][0]["subject_id"] == rows["train"][0]["subject_id"]


def test_a_folder_without_vocabulary_or_provenance_says_so(tmp_path: Path, shipped: Definitions, rows: Rows) -> None:
    folder = write(tmp_path / "cohort", shipped, rows)
    (folder / "provenance.json").unlink()
    (line,) = lines(folder)
    assert line.startswith("note: provenance.json: is missing, so that the cohort counts as credentialed data")
    (folder / "vocabulary.json").write_text("{}")
    assert lines(folder)[0].startswith(
        "error: vocabulary.json: is missing, damaged or of another format; write it with"
    )
    with pytest.raises(InputDataError, match="is not a folder"):
        check_folder(tmp_path / "nowhere")
