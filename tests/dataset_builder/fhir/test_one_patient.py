"""One patient's resources as a note and a series: what is read, converted, left out and refused."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_fhir import Resource, bundle, document, encounter, instant, loinc, observation, quantity

from dataset_builder.contract.definitions import Definitions
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.fhir.elements import RELATIVE
from dataset_builder.fhir.one_patient import FROM_THE_FIRST, FhirPatient, read_patient
from dataset_builder.sources.fhir_terms import fhir_terms
from modeling_clinragen.errors import InputDataError

START = datetime(2150, 3, 1, 8)
PATIENT: Resource = {"resourceType": "Patient", "id": "1"}
STAY = encounter("stay", 1, (START, START + timedelta(days=2)))


def measured(hours: float, code: str, value: Any, unit: str, **more: Any) -> Resource:
    return observation(1, START + timedelta(hours=hours), code, valueQuantity=quantity(value, unit), **more)


def read(folder: Path, shipped: Definitions, *resources: Resource, at_most: int | None = None) -> FhirPatient:
    path = folder / "bundle.json"
    path.write_text(json.dumps(bundle(resources)), encoding="utf-8")
    return read_patient(path, shipped.vocabulary, fhir_terms(shipped), at_most=at_most)


def cells(series: LabSeries) -> dict[tuple[float, str], float]:
    """What was measured, by hour and variable."""
    keys = series.vocabulary.variable_keys
    return {
        (float(series.hours[row]), keys[column]): pytest.approx(float(series.values[row, column]), rel=1e-5)
        for row, column in np.argwhere(series.observed)
    }


def test_values_are_converted_merged_and_those_of_components_read(tmp_path: Path, shipped: Definitions) -> None:
    pressure = [
        {"code": loinc(code), "valueQuantity": quantity(value, unit)}
        for code, value, unit in (("8480-6", 12.0, "kPa"), ("8462-4", 60, "mm[Hg]"), ("99999-9", 1, "1"))
    ]
    over = {"effectivePeriod": {"start": instant(START), "end": instant(START + timedelta(hours=3))}}
    of_period = {**measured(0, "9279-1", 18, "/min"), **over}
    del of_period["effectiveDateTime"]
    found = read(
        tmp_path,
        shipped,
        PATIENT,
        STAY,
        measured(1, "8867-4", 80, "/min"),
        measured(1, "8867-4", 90, "{beats}/min"),
        measured(1, "8310-5", 101.3, "[degF]"),
        measured(2, "2345-7", 5, "mmol/L"),
        measured(2, "29463-7", 150, "[lb_av]"),
        observation(1, START + timedelta(hours=2), "2744-1", valueQuantity={"value": 7.31}),
        observation(1, START + timedelta(hours=2), "85354-9", component=pressure),
        of_period,
    )
    assert cells(found.series) == {
        (1.0, "heart_rate"): 90,
        (1.0, "temperature"): 38.5,
        (2.0, "glucose"): 90.078,
        (2.0, "weight"): 68.0389,
        (2.0, "ph"): 7.31,
        (2.0, "systolic_blood_pressure"): 90.0074,
        (2.0, "diastolic_blood_pressure"): 60,
        (3.0, "respiratory_rate"): 18,
    }
    assert found.note is None
    assert found.remarks == ("Left out of the FHIR file: values of other codes 1.",)


def test_what_is_left_out_is_said(tmp_path: Path, shipped: Definitions) -> None:
    found = read(
        tmp_path,
        shipped,
        PATIENT,
        STAY,
        measured(1, "8867-4", 80, "/min"),
        measured(1, "8867-4", 80, "mg"),
        measured(1, "8867-4", 900, "/min"),
        measured(-1, "8867-4", 80, "/min"),
        measured(50, "8867-4", 80, "/min"),
        measured(1, "8867-4", 80, "/min", status="entered-in-error"),
        observation(1, "2150-03-01", "8867-4", valueQuantity=quantity(80, "/min")),
        document(1, "x", "application/pdf"),
    )
    assert cells(found.series) == {(1.0, "heart_rate"): 80}
    (remark,) = found.remarks
    assert remark == (
        "Left out of the FHIR file: values of an unknown unit 1, implausible values 1, observations entered in error "
        "1, values without a time of day 1, values outside the encounter 2, documents not plain text or html 1."
    )


def test_the_latest_stay_and_its_first_note_are_read(tmp_path: Path, shipped: Definitions) -> None:
    before = encounter("before", 1, (START - timedelta(days=30), START - timedelta(days=28)))
    visit = encounter("visit", 1, (START + timedelta(days=9), START + timedelta(days=9, hours=1)), "AMB")
    of_stay = {"context": {"encounter": [{"reference": "Encounter/stay"}]}}
    found = read(
        tmp_path,
        shipped,
        *(visit, STAY, before, PATIENT),
        document(1, "later", date=instant(START + timedelta(hours=2)), **of_stay),
        document(1, "<p>first <b>note</b></p>", "text/html", date=instant(START), **of_stay),
        document(1, "before", context={"encounter": [{"reference": "Encounter/before"}]}),
        measured(1, "8867-4", 80, "/min"),
        measured(-24 * 30 + 1, "8867-4", 70, "/min"),
    )
    assert (found.note, cells(found.series)) == ("first note", {(1.0, "heart_rate"): 80})
    assert found.remarks[:2] == (
        "There are 2 encounters: the latest is read.",
        "There are 2 notes: the first is read.",
    )
    assert "documents of another encounter 1" in found.remarks[2]


def test_without_an_encounter_hours_are_counted_from_the_first_measurement(
    tmp_path: Path, shipped: Definitions
) -> None:
    found = read(tmp_path, shipped, measured(5, "8867-4", 80, "/min"), measured(7, "8867-4", 85, "/min"))
    assert cells(found.series) == {(0.0, "heart_rate"): 80, (2.0, "heart_rate"): 85}
    assert found.remarks == (FROM_THE_FIRST,)


def test_hours_since_the_begin_are_read_as_they_are(tmp_path: Path, shipped: Definitions) -> None:
    def after(hours: float) -> Resource:
        offset = {"url": "offset", "valueDuration": {"value": hours, "code": "h"}}
        parts = [{"url": "relationship", "valueCode": "after-start"}, offset]
        one = measured(0, "8867-4", 80 + hours, "/min")
        del one["effectiveDateTime"]
        return {**one, "_effectiveDateTime": {"extension": [{"url": RELATIVE, "extension": parts}]}}

    found = read(tmp_path, shipped, PATIENT, after(3.5), after(4))
    assert cells(found.series) == {(3.5, "heart_rate"): 83.5, (4.0, "heart_rate"): 84}
    assert found.remarks == ()


def test_a_long_series_is_thinned(tmp_path: Path, shipped: Definitions) -> None:
    many = [measured(minute / 60, "8867-4", 80, "/min") for minute in range(40)]
    found = read(tmp_path, shipped, PATIENT, STAY, *many, at_most=10)
    assert len(found.series) == 8
    assert "thinned to 8" in found.remarks[0]


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ((PATIENT, {"resourceType": "Patient", "id": "2"}), "has resources of 2 patients; give one patient's"),
        ((PATIENT, observation(2, START, "8867-4")), "has resources of 2 patients"),
        ((observation(2, START, "8867-4"), observation(3, START, "8867-4")), "has resources of 2 patients"),
        ((), "has no FHIR resource"),
        (
            (
                measured(1, "8867-4", 80, "/min"),
                {**measured(1, "8867-4", 80, "/min"), "effectiveDateTime": "2150-03-01T09:00:00"},
            ),
            "only some times have a time zone",
        ),
    ],
)
def test_a_file_that_cannot_be_one_patient_s_is_refused(
    resources: tuple[Resource, ...], message: str, tmp_path: Path, shipped: Definitions
) -> None:
    with pytest.raises(InputDataError, match=re.escape(message)):
        read(tmp_path, shipped, *resources)


def test_a_missing_file_is_named(tmp_path: Path, shipped: Definitions) -> None:
    with pytest.raises(InputDataError, match=r"none[.]json: cannot be read"):
        read_patient(tmp_path / "none.json", shipped.vocabulary, fhir_terms(shipped))
