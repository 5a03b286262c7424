"""The bundle of FHIR: valid, complete, of nobody in particular, and with no code that says more than we know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from claim_cases import RANGES, VOCABULARY
from explained_patients import NOTE, PATIENTS
from exported_answers import HEART_FAILURE, HYPERTENSION, MALFORMED, MOMENT, ORIGIN, answer
from fhir.resources.R4B.bundle import Bundle

from clinragen.export.fhir import fhir_bundle, render_fhir
from clinragen.export.fhir_codes import coded_disease, coded_variable, quantity
from clinragen.inference import Explanation
from dataset_builder.contract.definitions import shipped_definitions
from modeling_clinragen.vocabulary_clinragen import Vocabulary


@pytest.fixture(scope="module")
def bundle() -> dict[str, Any]:
    return fhir_bundle(answer(), ORIGIN, MOMENT)


def of_kind(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    found = [entry["resource"] for entry in bundle["entry"]]
    return [resource for resource in found if resource["resourceType"] == kind]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, part in value.items():
            if key == "reference":
                yield part
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


@pytest.mark.parametrize(
    "given",
    [*(answer(name) for name in PATIENTS), MALFORMED, answer(probabilities=None, thresholds=None, verified=False)],
    ids=[*PATIENTS, "malformed", "raw"],
)
def test_it_is_a_valid_bundle_whose_references_lead_somewhere(given: Explanation) -> None:
    text = render_fhir(given, ORIGIN, MOMENT)
    read = Bundle.model_validate_json(text)
    assert json.loads(read.model_dump_json())["type"] == "collection"
    bundle = json.loads(text)
    addresses = [entry["fullUrl"] for entry in bundle["entry"]]
    assert len(set(addresses)) == len(addresses)
    assert set(references(bundle)) <= set(addresses)
    for entry in bundle["entry"]:
        assert entry["fullUrl"] == f"urn:uuid:{entry['resource']['id']}"


def test_the_report_is_preliminary_and_says_what_is_shown_alone(bundle: dict[str, Any]) -> None:
    (report,) = of_kind(bundle, "DiagnosticReport")
    given = answer()
    assert report["status"] == "preliminary"
    assert report["issued"] == "2026-03-04T15:06:07+00:00"
    lines = report["conclusion"].split("\n")
    assert "not a medical device" in lines[0]
    for sentence in given.sentences:
        assert f"+ supported: {sentence.text}" in lines
    assert "2 sentences withheld: the data do not bear out what is said." in lines
    whole = json.dumps(bundle, ensure_ascii=False)
    assert not any(sentence.text in whole for sentence in given.withheld)
    assert [code["text"] for code in report["conclusionCode"]] == [HEART_FAILURE, HYPERTENSION]
    assert "Named without evidence, so not asserted: Shock" in lines


def test_every_measurement_is_an_observation_at_its_hour(bundle: dict[str, Any]) -> None:
    series = PATIENTS["both"].series
    (report,), (stay,) = of_kind(bundle, "DiagnosticReport"), of_kind(bundle, "Encounter")
    found = of_kind(bundle, "Observation")
    assert [one["reference"] for one in report["result"]] == [f"urn:uuid:{one['id']}" for one in found]
    assert len(found) == series.observed.sum()
    read = np.full(series.values.shape, np.nan)
    names = [variable.name for variable in VOCABULARY.variables]
    for one in found:
        parts = {part["url"]: part for part in one["_effectiveDateTime"]["extension"][0]["extension"]}
        assert parts["target"]["valueReference"]["reference"] == f"urn:uuid:{stay['id']}"
        assert parts["relationship"]["valueCode"] == "after-start"
        hour, column = parts["offset"]["valueDuration"]["value"], names.index(one["code"]["text"])
        read[series.hours.tolist().index(hour), column] = one["valueQuantity"]["value"]
        level = RANGES.level(VOCABULARY.variable_keys[column], one["valueQuantity"]["value"])
        assert one["interpretation"][0]["coding"][0]["display"].lower() == level
    np.testing.assert_allclose(read, series.values, rtol=1e-5)


def test_nothing_says_who_it_is(bundle: dict[str, Any]) -> None:
    (patient,) = of_kind(bundle, "Patient")
    assert set(patient) == {"resourceType", "id"}
    assert NOTE not in json.dumps(bundle)
    quoted = [line for line in NOTE.split("\n") if line in json.dumps(bundle)]
    assert quoted == []


def test_provenance_names_software_model_and_what_was_given(bundle: dict[str, Any]) -> None:
    (provenance,), (device,) = of_kind(bundle, "Provenance"), of_kind(bundle, "Device")
    made = [*of_kind(bundle, "DiagnosticReport"), *of_kind(bundle, "RiskAssessment")]
    assert [one["reference"] for one in provenance["target"]] == [f"urn:uuid:{one['id']}" for one in made]
    assert provenance["agent"][0]["who"]["reference"] == f"urn:uuid:{device['id']}"
    assert {one["name"] for one in device["deviceName"]} == {"ClinRaGen", ORIGIN.name}
    assert ORIGIN.revision in {one["value"] for one in device["version"]}
    given = [one["what"]["display"] for one in provenance["entity"]]
    count = int(PATIENTS["both"].series.observed.sum())
    assert given[0].startswith(f"A clinical note of {len(NOTE)} characters")
    assert given[1].startswith(f"{count} measurements")


def test_probabilities_are_a_risk_assessment_in_per_cent(bundle: dict[str, Any]) -> None:
    (risks,) = of_kind(bundle, "RiskAssessment")
    found = {one["outcome"]["text"]: one["probabilityDecimal"] for one in risks["prediction"]}
    assert found == pytest.approx({name: 100 * score for name, score in (answer().probabilities or {}).items()})
    assert of_kind(fhir_bundle(answer(probabilities=None), ORIGIN, MOMENT), "RiskAssessment") == []


def test_a_malformed_output_concludes_nothing() -> None:
    (report,) = of_kind(fhir_bundle(MALFORMED, ORIGIN, MOMENT), "DiagnosticReport")
    assert "conclusionCode" not in report
    assert "No diagnosis could be read" in report["conclusion"]
    assert "Shock" not in report["conclusion"]


def test_codes_are_given_only_where_one_says_the_same(lactate_vocabulary: Vocabulary) -> None:
    known = {variable.key: coded_variable(variable) for variable in VOCABULARY.variables}
    assert known["heart_rate"]["coding"][0]["code"] == "8867-4"
    # Which specimen it was from is not known.
    assert [key for key, coded in known.items() if "coding" not in coded] == ["glucose"]
    for key, coded in known.items():
        for coding in coded.get("coding", ()):
            assert coding["code"] in shipped_definitions().loinc(key)
    other = replace(VOCABULARY.variable("temperature"), unit="°F")
    assert coded_variable(other) == {"text": "temperature"}
    assert quantity(38.9, VOCABULARY.variable("temperature"))["code"] == "Cel"
    assert "coding" not in coded_variable(lactate_vocabulary.variable("lactate"))
    for name in VOCABULARY.disease_names:
        codes = shipped_definitions().codes[VOCABULARY.key_of_disease[name]][10]
        coded = coded_disease(name, VOCABULARY)
        assert ("coding" in coded) == (len(codes) == 1)
    assert coded_disease(HYPERTENSION, VOCABULARY)["coding"][0]["code"] == "I10"
    assert coded_disease("a disease of nobody's", VOCABULARY) == {"text": "a disease of nobody's"}


def test_every_unit_of_the_shipped_variables_is_a_code_of_ucum() -> None:
    from ucumvert import get_ucum_parser

    parser = get_ucum_parser()
    for variable in VOCABULARY.variables:
        code = quantity(1.0, variable)["code"]
        parser.parse(code)


def test_the_same_answer_gives_the_same_bundle() -> None:
    assert render_fhir(answer(), ORIGIN, MOMENT) == render_fhir(answer(), ORIGIN, MOMENT)
    other = fhir_bundle(answer(warnings=()), ORIGIN, MOMENT)
    assert other["entry"][0]["fullUrl"] != fhir_bundle(answer(), ORIGIN, MOMENT)["entry"][0]["fullUrl"]
