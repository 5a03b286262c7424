"""`source check`: what a new source's file misses is listed with its cure, all at once, and nothing of a patient."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import fails_with_one_line, in_process
from tiny_mimic import COLUMNS, HR, SPO2, TinyMimic, crowd

from dataset_builder.cohort.source_check import check_source
from dataset_builder.contract.definitions import Definitions
from dataset_builder.sources.check_file import check_file
from dataset_builder.sources.spec import SOURCES

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crowd(6).write(tmp_path_factory.mktemp("tables"))


def own(folder: Path, *changes: Change, name: str = "mimic-iv") -> str:
    content = yaml.safe_load((SOURCES / f"{name}.yaml").read_text(encoding="utf-8"))
    for change in changes:
        change(content)
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return str(path)


def lines(source: str, root: Path) -> list[str]:
    return [finding.line() for finding in check_source(source, root)]


def item(variable: str, **cells: Any) -> Change:
    """Changes the first item of a variable."""
    return lambda content: content["items"][variable][0].update(cells)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda content: content.pop("versions"), "own.yaml: has no 'versions'; list the versions"),
        (
            lambda content: content.update(edition=["1"]),
            "note: own.yaml: has the unknown key 'edition', which",
        ),
        (lambda content: content["tables"].pop("stays"), "does not describe the table 'stays'"),
        (lambda content: content["tables"]["chart"].pop("file"), "tables: chart: needs 'file' and 'columns'"),
        (lambda content: content["tables"]["chart"]["columns"].pop("time"), "tables: chart: has no column time"),
        (lambda content: content["tables"]["patients"]["columns"].pop("sex"), "no table of stays, admissions and"),
        (
            lambda content: content["tables"]["admissions"]["columns"].pop("admission_type"),
            "has admission_type; add the column, or a constant",
        ),
        (lambda content: content["tables"]["diagnoses"]["columns"].pop("icd_version"), "has no column icd_version"),
        (lambda content: content["tables"].pop("notes"), "note: own.yaml: tables: there are no notes"),
        (lambda content: content["tables"]["chart"].update(measured=True), "the unknown key 'measured'"),
        (lambda content: content["items"].pop("ph"), "items: no item measures 'ph'"),
        (lambda content: content["items"].update(pulse=[]), "the vocabulary has no variable 'pulse'"),
        (lambda content: content["items"]["heart_rate"][0].pop("unit"), "heart_rate: an item has no 'unit'; add it"),
        (item("heart_rate", table="charts"), "heart_rate: 220045: is in 'charts', which is not an event table"),
        (item("heart_rate", conversion="twice"), "needs the conversion 'twice'; describe it under conversions"),
        (lambda content: content["tables"]["chart"].update(constants=5), "own.yaml: is malformed near 'int' object"),
        (lambda content: content["releases"].pop(), "exactly the last release must be without 'contains'"),
        # Units.
        (item("heart_rate", unit="furlongs"), "its unit 'furlongs' cannot be converted to bpm; write one of bpm"),
        (item("glucose", unit="mmol/L"), "its unit is mmol/L, the variable's mg/dL, and is not converted; it needs a"),
        (
            item("weight", unit="lb", conversion="percent_or_fraction"),
            "'percent_or_fraction' does not convert it; it needs a conversion with {scale: 0.45359237}",
        ),
        (item("temperature", unit="°F"), "'celsius' does not convert it; it needs a conversion with {scale: 0.55555"),
        (item("glucose", unit="mg/dL", conversion="pound"), "'pound' does not convert it; it needs none"),
    ],
)
def test_what_a_file_misses_is_listed(change: Change, expected: str, tmp_path: Path, shipped: Definitions) -> None:
    found = [finding.line() for finding in check_file(own(tmp_path, change), shipped)[0]]
    assert any(expected in line for line in found), found
    assert all("; " in line for line in found), "each has a cure"


def test_everything_is_said_at_once(tmp_path: Path, root: Path) -> None:
    changes: tuple[Change, ...] = (
        lambda content: content.pop("title"),
        lambda content: content["tables"]["lab"]["columns"].pop("item"),
        lambda content: content["items"].pop("glucose"),
    )
    found = lines(own(tmp_path, *changes), root)
    for part in ("has no 'title'", "lab: has no column item", "no item measures 'glucose'"):
        assert any(part in line for line in found), found


def test_a_shipped_source_has_no_fault_of_its_own(shared: Path) -> None:
    found = lines("eicu", shared / "data" / "eicu-demo")
    assert not [line for line in found if line.startswith("error")]
    assert any("vital_periodic: is not there" in line for line in found)


def test_tables_and_columns_that_are_missing_are_named(tmp_path: Path) -> None:
    columns = {**COLUMNS, "icu/chartevents": COLUMNS["icu/chartevents"].replace(" charttime", "")}
    root = crowd(3).write(tmp_path / "tables", leave_out=["hosp/labevents", "note/discharge"], tables=columns)
    found = lines("mimic-iv", root)
    assert "error: table lab: is not there; put labevents.parquet, .csv.gz or .csv into one of the folders" in found[0]
    assert any("chartevents.csv.gz): has no column 'charttime', which is to be time" in line for line in found)
    assert any(line.startswith("note: table notes: is not there") and "structured" in line for line in found)


def test_items_that_occur_nowhere_are_named(tmp_path: Path) -> None:
    hospital = crowd(3)
    hospital.lab(1, 3, 50820, 7.31)
    root = hospital.write(tmp_path / "tables")
    found = lines(own(tmp_path, item("heart_rate", item=999)), root)
    assert any("table chart, heart_rate: 999 of it occurs nowhere" in line for line in found)
    assert any("variable heart_rate: no item of it occurs" in line for line in found)
    assert not any("variable ph" in line or "variable oxygen_saturation" in line for line in found)
    assert not any(line.startswith("error") for line in found)


def test_values_that_do_not_look_like_their_unit_are_named(tmp_path: Path) -> None:
    hospital = TinyMimic()
    hospital.stay(1)
    for hour in range(30):
        hospital.lab(1, hour, 50931, 5.2 + hour / 50)  # glucose in mmol/L
        hospital.chart(1, hour, HR, 75 + hour)
        hospital.chart(1, hour, SPO2, 0.97)  # settled by the conversion: a fraction is recognised
    found = lines("mimic-iv", hospital.write(tmp_path / "tables"))
    errors = [line for line in found if line.startswith("error")]
    assert errors == [
        "error: table lab, item 50931 (glucose): read as mg/dL, most values look as if they were in mmol/L; correct "
        "the unit and its conversion"
    ]
    assert "5.2" not in "".join(found)


def test_times_and_ids_that_cannot_be_read_are_told_by_their_form(tmp_path: Path) -> None:
    hospital = crowd(3)
    for row in hospital.rows["icu/chartevents"]:
        row["charttime"] = "3/1/2150 9:00"
    for row in hospital.rows["hosp/diagnoses_icd"]:
        row["icd_code"] = "ZZZ"
    hospital.rows["icu/icustays"][0]["stay_id"] = "A-17"
    found = lines("mimic-iv", hospital.write(tmp_path / "tables"))
    assert any(
        "'charttime': 90 of 90 cannot be read, written like d/d/dddd d:dd; times must be" in one for one in found
    )
    assert any("'stay_id': 1 of 3 cannot be read, written like a-dd; ids must be" in one for one in found)
    assert any("has no code of any disease of the vocabulary" in one for one in found)
    assert not any("A-17" in one or "2150 9" in one for one in found)


def test_ids_that_are_lost_between_tables_are_found_at_the_end(tmp_path: Path) -> None:
    hospital = crowd(3)
    hospital.rows["hosp/admissions"].pop()
    found = lines("mimic-iv", hospital.write(tmp_path / "tables"))
    assert any(line.startswith("error: tables: ") and "1 stays have a 'hadm_id' that" in line for line in found)


def test_without_codes_patients_can_still_be_explained(tmp_path: Path, root: Path) -> None:
    def optional(content: dict[str, Any]) -> None:
        content["tables"]["diagnoses"].update(file="no_diagnoses", optional=True)

    found = lines(own(tmp_path, optional), root)
    assert any(
        line.startswith("note: table diagnoses: is not there, so that all labels are unknown") for line in found
    )
    assert not any(line.startswith("error") for line in found)


def test_the_command_ends_with_1_where_something_blocks(tmp_path: Path, root: Path) -> None:
    good = in_process("source", "check", "mimic-iv", "--root", root)
    assert good.returncode == 0, good.stdout + good.stderr
    assert good.stdout.splitlines()[-1].startswith(f"mimic-iv, tables in {root}; 0 errors, ")
    bad = in_process("source", "check", own(tmp_path, item("glucose", unit="mmol/L")), "--root", root)
    assert bad.returncode == 1
    assert bad.stdout.startswith("error: own.yaml: items: glucose: ")
    assert bad.stderr == ""
    fails_with_one_line(in_process("source", "check", "mimic-v", "--root", root), "unknown source 'mimic-v'")
    fails_with_one_line(in_process("source", "check", "mimic-iv", "--root", tmp_path / "x"), "is not a folder")
