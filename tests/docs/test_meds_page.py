"""docs/meds.md: the source for OMOP's events reads events that are written as its converter's configuration says."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from conftest import ROOT
from tiny_meds import Event, write_meds
from tiny_mimic import START, examples_of, item_log, make_cohort, values_of

PAGE = (ROOT / "docs" / "meds.md").read_text(encoding="utf-8")


def omop_events(person: int, visit: str) -> list[Event]:
    ids = {"subject_id": person, "visit_occurrence_id": visit}
    end = START + timedelta(days=3)
    made: list[Event] = [
        {"subject_id": person, "time": None, "code": "GENDER//F"},
        {"subject_id": person, "time": START.replace(year=2090), "code": "MEDS_BIRTH"},
        {**ids, "time": START, "code": "Visit//IP//start"},
        {**ids, "time": end, "code": "Visit//IP//end"},
        {**ids, "time": START, "code": "ICD10CM//N17.9//start"},
        {**ids, "time": end, "code": "LOINC//18842-5", "text_value": "Chief Complaint:\nfever"},
    ]
    readings = (("8867-4", 90.0, "8541"), ("2345-7", 5.0, "8753"), ("2345-7", 90.0, "8840"), ("8310-5", 37.5, "1"))
    for hour, (code, value, unit) in enumerate(readings, start=1):
        time = START + timedelta(hours=hour)
        made.append({**ids, "time": time, "code": f"LOINC//{code}", "numeric_value": value, "unit": unit})
    return made


def test_events_of_omop_make_a_cohort(tmp_path: Path) -> None:
    (source,) = re.findall(r'^```yaml title="omop-meds.yaml"\n(.*?)^```$', PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / "omop-meds.yaml").write_text(source, encoding="utf-8")
    root = write_meds([*omop_events(1, "1001"), *omop_events(2, "1002")], tmp_path / "omop", ids=False)
    settings = {"note_policy": "admission"}
    provenance = make_cohort(str(tmp_path / "omop-meds.yaml"), root, tmp_path / "cohort", **settings)
    row = examples_of(tmp_path / "cohort")[1]
    assert values_of(row, "heart_rate") == [(1.0, 90.0)]
    assert values_of(row, "glucose") == [(2.0, 90.078), (3.0, 90.0)]
    assert row["diagnoses"] == ["Acute and unspecified renal failure"]
    assert "fever" in row["note"]
    # A unit whose concept has no spelling is not guessed.
    assert item_log(provenance, "LOINC//8310-5 [1]")["rejected"] == {"unknown_unit": 2}
