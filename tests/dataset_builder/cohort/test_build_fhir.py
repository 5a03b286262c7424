"""FHIR exports: the same examples as from the tables that the resources were made of, and counts of all else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tiny_fhir import (
    Resource,
    bundle,
    document,
    encounter,
    instant,
    loinc,
    observation,
    quantity,
    resources_of,
    write_bundles,
    write_lines,
)
from tiny_mimic import DBP, HR, START, TinyMimic, examples_of, item_log, make_cohort, values_of

from modeling_clinragen.errors import InputDataError, SettingsError

FAHRENHEIT, GLUCOSE = 223761, 50931
FULL = {"note_policy": "full"}


def hospital(stays: int = 5) -> TinyMimic:
    made = TinyMimic()
    codes = ((("5849", 9), ("I10", 10)), (("0389", 9),), (("41401", 9),))
    for number in range(1, stays + 1):
        made.stay(number, codes=codes[number % 3], note=f"Chief Complaint:\nDyspnea, \u00b5 {number}")
        for hour in range(1, 6):
            made.chart(number, hour * 1.7, HR, 60 + number * hour)
            made.chart(number, hour * 1.7, DBP, 50 + hour)
            made.lab(number, hour * 3, GLUCOSE, 100.3 + hour)
        made.chart(number, 2, FAHRENHEIT, 98.6)
        made.chart(number, 5, HR, 999)
        made.chart(number, 60, HR, 80)
    return made


def rows_of(cohort: Path) -> list[dict[str, Any]]:
    """The examples, without what tells the sources apart."""
    found = sorted(examples_of(cohort).items())
    return [{name: cell for name, cell in row.items() if name not in ("example_id", "source")} for _, row in found]


def left_out(provenance: dict[str, Any], what: str) -> dict[str, int]:
    (record,) = [one for one in provenance["records"] if one["what"] == what]
    return record["left_out"]


def test_resources_give_the_examples_of_the_tables(tmp_path: Path) -> None:
    resources = resources_of(hospital())
    make_cohort("mimic-iv", hospital().write(tmp_path / "mimic"), tmp_path / "tables", **FULL)
    expected = rows_of(tmp_path / "tables")
    assert [len(row["lab_hours"]) for row in expected] == [11] * 5
    for name, write in {
        "packed": lambda some, root: write_lines(some, root, packed=True),
        "bundles": write_bundles,
    }.items():
        provenance = make_cohort("fhir", write(resources, tmp_path / name), tmp_path / f"{name}-cohort", **FULL)
        assert rows_of(tmp_path / f"{name}-cohort") == expected
        assert [record for record in provenance["records"] if record["left_out"]] == []
        assert item_log(provenance, "LOINC//8867-4 [{beats}/min]")["rejected"] == {"implausible": 5, "after_window": 5}


def test_everything_that_is_left_out_is_counted(tmp_path: Path) -> None:
    made = hospital(1)
    at = START + timedelta(hours=1)
    heart = {"valueQuantity": quantity(70, "/min")}
    odd: list[tuple[str, Resource]] = [
        ("of_other_codes", observation(1, at, "2160-0", valueQuantity=quantity(1, "mg/dL"))),
        ("without_a_code", {**observation(1, at, "x", **heart), "code": {"text": "heart rate"}}),
        ("without_a_value", observation(1, at, "8867-4", dataAbsentReason={"text": "unknown"})),
        ("not_a_number", observation(1, at, "8867-4", valueString="seventy")),
        ("not_a_number", observation(1, at, "8867-4", valueQuantity=quantity(10**400, "/min"))),
        ("only_a_bound", observation(1, at, "2345-7", valueQuantity=quantity(20, "mg/dL", comparator="<"))),
        ("without_a_time_of_day", observation(1, "2150-03-01", "8867-4", **heart)),
        ("without_a_time_of_day", observation(1, "2150-13-01T99:00:00Z", "8867-4", **heart)),
        ("without_a_time", {**observation(1, at, "8867-4", **heart), "effectiveDateTime": None}),
    ]
    del odd[-1][1]["effectiveDateTime"]
    resources = [*resources_of(made), *(one for _, one in odd)]
    resources += [
        observation(1, at, "8867-4", status="entered-in-error", **heart),
        observation(9, at, "8867-4", **heart),
        # Read, and refused by its unit or the want of one.
        observation(1, at, "8867-4", valueQuantity=quantity(70, "mg/dL")),
        observation(1, at, "8867-4", valueInteger=70),
        *(observation(1, at, "8867-4", valueQuantity=quantity(70, f"taken from {name} " * 5)) for name in "ab"),
        {"resourceType": "Procedure"},
        {"resourceType": "8 \u0000"},
        {"no": "type"},
    ]
    provenance = make_cohort("fhir", write_lines(resources, tmp_path / "f"), tmp_path / "c", **FULL)
    expected: dict[str, int] = {}
    for reason, _ in odd:
        expected[reason] = expected.get(reason, 0) + 1
    assert left_out(provenance, "values in them") == expected
    assert left_out(provenance, "Observation") == {"entered_in_error": 1, "of_an_unknown_patient": 1}
    assert left_out(provenance, "other resources") == {"Procedure": 1, "without_a_type": 2}
    assert item_log(provenance, "LOINC//8867-4 [mg/dL]")["rejected"] == {"unknown_unit": 1}
    assert item_log(provenance, "LOINC//8867-4 []")["rejected"] == {"unknown_unit": 1}
    assert item_log(provenance, "LOINC//8867-4 [a longer text]")["rejected"] == {"unknown_unit": 2}
    row = examples_of(tmp_path / "c")[1]
    assert values_of(row, "heart_rate") == [(1.7, 61.0), (3.4, 62.0), (5.1, 63.0), (6.8, 64.0), (8.5, 65.0)]


def test_units_of_one_code_may_be_mixed(tmp_path: Path) -> None:
    resources = resources_of(hospital(1))
    for hour, (value, unit) in enumerate([(5.0, "mmol/L"), (0.9, "g/L"), (1.0, "mol")], start=20):
        time = START + timedelta(hours=hour)
        resources.append(observation(1, time, "2345-7", valueQuantity=quantity(value, unit)))
    provenance = make_cohort("fhir", write_lines(resources, tmp_path / "f"), tmp_path / "c", **FULL)
    assert values_of(examples_of(tmp_path / "c")[1], "glucose")[-2:] == [(20.0, 90.078), (21.0, 90.0)]
    assert item_log(provenance, "LOINC//2345-7 [mol]")["rejected"] == {"unknown_unit": 1}


def test_conditions_count_for_the_admission_that_they_belong_to(tmp_path: Path) -> None:
    resources = [one for one in resources_of(hospital(2)) if one["resourceType"] != "Condition"]
    icd = "http://hl7.org/fhir/sid/icd-10-cm"
    visit = encounter("visit", 1, (START - timedelta(days=9), START - timedelta(days=8)), "AMB")

    def condition(code: str, **more: Any) -> Resource:
        coding = [{"system": icd, "code": code}, {"system": "http://snomed.info/sct", "code": "1"}]
        return {
            "resourceType": "Condition",
            "subject": {"reference": "Patient/1"},
            "code": {"coding": coding},
            **more,
        }

    status = {"verificationStatus": {"coding": [{"system": "x", "code": "refuted"}]}}
    of_visit = {"encounter": {"reference": "Encounter/visit"}}
    resources += [
        visit,
        # By the encounter's own list; by the day; by the stay within the admission.
        condition("I10", id="listed"),
        condition("N179", recordedDate=instant(START)[:10]),
        condition("A419", encounter={"reference": "Encounter/1001"}),
        # Another time, another visit, another patient's encounter, refuted, no ICD code.
        condition("I214", recordedDate="2149-01-01"),
        condition("I214", **of_visit),
        condition("I214", encounter={"reference": "Encounter/102"}),
        condition("I214", **status),
        {**condition("I214"), "code": {"coding": [{"system": "http://snomed.info/sct", "code": "2"}]}},
    ]
    for one in resources:
        if one.get("id") == "101":
            one["diagnosis"] = [{"condition": {"reference": "Condition/listed"}}]
    provenance = make_cohort(
        "fhir", write_lines(resources, tmp_path / "f"), tmp_path / "c", skip_filters=("coded",), **FULL
    )
    examples = examples_of(tmp_path / "c")
    assert examples[1]["diagnoses"] == [
        "Acute and unspecified renal failure",
        "Septicemia (except in labor)",
        "Essential hypertension",
    ]
    assert examples[2]["diagnoses"] == []
    assert left_out(provenance, "Condition") == {"of_no_admission": 3, "refuted": 1, "without_an_icd_code": 1}
    assert left_out(provenance, "Encounter") == {"of_another_kind": 1}


@pytest.mark.parametrize(
    ("attachment", "expected"),
    [
        (
            {"contentType": "text/html", "data": "PGgxPkEgJmFtcDsgYjwvaDE+PHNjcmlwdD54PC9zY3JpcHQ+PHA+Yzxicj5k"},
            "A & b\nc\nd",
        ),
        ({"contentType": "text/plain; charset=ISO-8859-1", "data": "Yek="}, "a\u00e9"),
        ({"contentType": "text/plain", "data": "Yek="}, "with_a_damaged_text"),
        ({"contentType": "text/plain; charset=ebcdic", "data": "YQ=="}, "in_an_unknown_encoding"),
        ({"contentType": "text/plain", "data": "!"}, "with_a_damaged_text"),
        ({"contentType": "text/plain", "url": "Binary/1"}, "with_a_text_that_is_elsewhere"),
        ({"contentType": "application/pdf", "data": "YQ=="}, "not_plain_text_or_html"),
        ({"contentType": "text/plain", "data": ""}, "without_text"),
        (None, "without_an_attachment"),
    ],
)
def test_texts_of_attachments(attachment: dict[str, str] | None, expected: str) -> None:
    from dataset_builder.fhir.documents import text_in

    found, why = text_in({"content": [] if attachment is None else [{"attachment": attachment}]})
    assert (why if found is None else found) == expected


def test_notes_of_other_types_and_times_are_counted(tmp_path: Path) -> None:
    resources = [one for one in resources_of(hospital(1)) if one["resourceType"] != "DocumentReference"]
    resources += [
        document(1, "second", date=instant(START + timedelta(hours=2))),
        document(1, "first", date=instant(START + timedelta(hours=1)), type={"text": "no code"}),
        document(1, "nurse", date=instant(START), type=loinc("34746-8")),
        document(1, "other year", date="2140-01-01T00:00:00Z"),
        document(1, "wrong", date=instant(START), docStatus="entered-in-error"),
    ]
    provenance = make_cohort("fhir", write_lines(resources, tmp_path / "f"), tmp_path / "c", **FULL)
    assert examples_of(tmp_path / "c")[1]["note"] == "first"
    expected = {"of_another_type": 1, "of_no_admission": 1, "entered_in_error": 1}
    assert left_out(provenance, "DocumentReference") == expected


def test_an_encounter_is_not_within_an_earlier_one(tmp_path: Path) -> None:
    """Some systems write the encounter that led to this one as what it is a part of. R5 writes classes in lists."""
    resources = resources_of(hospital(1))
    later = (START + timedelta(days=20), START + timedelta(days=22))
    second = encounter(2000, 1, later)
    second |= {"partOf": {"reference": "Encounter/1001"}, "class": [{"coding": [second["class"]]}]}
    second["actualPeriod"] = second.pop("period")
    going_on = {**encounter(2001, 1, later), "period": {"start": instant(later[0])}}
    resources += [second, going_on, observation(1, later[0], "8867-4", valueQuantity=quantity(70, "/min"))]
    provenance = make_cohort(
        "fhir", write_lines(resources, tmp_path / "f"), tmp_path / "c", skip_filters=("coded",), **FULL
    )
    assert sorted(examples_of(tmp_path / "c")) == [1, 1000]
    assert left_out(provenance, "Encounter") == {"without_times_of_begin_and_end": 1}


def no_encounter(root: Path) -> None:
    (root / "Encounter.ndjson").unlink()


def cut_line(root: Path) -> None:
    path = root / "Observation.ndjson"
    path.write_bytes(path.read_bytes()[:-30])


def cut_archive(root: Path) -> None:
    import gzip

    path = root / "Observation.ndjson"
    (root / "Observation.ndjson.gz").write_bytes(gzip.compress(path.read_bytes())[:-30])
    path.unlink()


def not_gzip(root: Path) -> None:
    (root / "Observation.ndjson").rename(root / "Observation.ndjson.gz")


def lines_in_json(root: Path) -> None:
    (root / "Observation.ndjson").rename(root / "Observation.json")


def nan(root: Path) -> None:
    with (root / "Observation.ndjson").open("a") as stream:
        stream.write('{"resourceType": "Observation", "valueInteger": NaN}\n')


def deep(root: Path) -> None:
    (root / "deep.json").write_text("[" * 100_000)


def mixed_zones(root: Path) -> None:
    one = observation(1, "2150-03-01T09:00:00", "8867-4", valueQuantity=quantity(70, "/min"))
    (root / "more.ndjson").write_text(json.dumps(one))


def nothing(root: Path) -> None:
    for path in root.iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            no_encounter,
            "has no stay: 0 encounters, none of them of a patient in the files, of class ACUTE, IMP, NONAC",
        ),
        (cut_line, "Observation.ndjson: line 18: is not JSON"),
        (cut_archive, "Observation.ndjson.gz: is cut off or damaged; copy it again"),
        (not_gzip, "Observation.ndjson.gz: cannot be read (not gzip); check the file"),
        (lines_in_json, "Observation.json: is not JSON"),
        (nan, "Observation.ndjson: line 19: is not JSON"),
        (deep, "deep.json: is not JSON; the file is cut off or damaged"),
        (mixed_zones, "23 times have a time zone and 1 have none; write all with one, or all without"),
        (nothing, "has no .ndjson or .json file; give the folder of a FHIR export"),
    ],
)
def test_a_damaged_export_is_named(spoil: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    root = write_lines(resources_of(hospital(1)), tmp_path / "fhir")
    spoil(root)
    with pytest.raises(InputDataError, match=re.escape(message)):
        make_cohort("fhir", root, tmp_path / "cohort", **FULL)
    assert not (tmp_path / "cohort").exists()


def test_without_notes_a_policy_that_needs_them_is_refused(tmp_path: Path) -> None:
    resources = [one for one in resources_of(hospital(1)) if one["resourceType"] != "DocumentReference"]
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "all.json").write_text(json.dumps(bundle(resources)), encoding="utf-8")
    with pytest.raises(SettingsError, match="has no notes, which note policy 'full' needs"):
        make_cohort("fhir", tmp_path / "f", tmp_path / "cohort", **FULL)
    make_cohort("fhir", tmp_path / "f", tmp_path / "cohort", note_policy="structured")
    assert examples_of(tmp_path / "cohort")[1]["note"].startswith("Patient: 60-year-old woman")


def test_nothing_of_the_tables_is_left_in_the_cohort(tmp_path: Path) -> None:
    make_cohort("fhir", write_lines(resources_of(hospital(1)), tmp_path / "f"), tmp_path / "c", **FULL)
    names = {path.relative_to(tmp_path / "c").as_posix() for path in (tmp_path / "c").rglob("*") if path.is_file()}
    assert names == {
        *(f"data/{split}.parquet" for split in ("train", "validation", "test")),
        *("groups.parquet", "vocabulary.json", "provenance.json", "README.md"),
    }
    # Without a licence file they are taken for patients whose data must stay where they are.
    assert ((tmp_path / "c").stat().st_mode & 0o777) == 0o700


def test_a_long_file_is_read_line_by_line(tmp_path: Path) -> None:
    import tracemalloc

    from dataset_builder.fhir.json_files import resources

    line = json.dumps(observation(1, datetime(2150, 3, 1), "8867-4", valueQuantity=quantity(70, "/min")))
    path = tmp_path / "o.ndjson"
    path.write_text((line + "\n") * 20_000)
    tracemalloc.start()
    assert sum(1 for _ in resources([path])) == 20_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < path.stat().st_size / 10
