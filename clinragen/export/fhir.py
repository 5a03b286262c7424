"""The model's answer for one patient as a bundle of FHIR R4: a preliminary report that says where it comes from.

The bundle has nothing that says who the patient is: the patient and the stay are empty resources, times are hours
since ICU admission, and the note stays out (the report has the words that its sentences quote).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from clinragen.checking.checked import WORDS, count_words
from clinragen.checking.printable import one_line
from clinragen.checking.render_html import MARKS
from clinragen.export.fhir_codes import coded_disease
from clinragen.export.fhir_observations import observations
from clinragen.export.origin import ModelOrigin
from clinragen.export.result import explanation_json
from clinragen.inference import Explanation

CAUTION = "Research software, not a medical device: preliminary, and not for care."
TERMS = "http://terminology.hl7.org/CodeSystem/"


def render_fhir(explanation: Explanation, origin: ModelOrigin, moment: datetime) -> str:
    """The bundle as a JSON document; see `fhir_bundle`."""
    bundle = fhir_bundle(explanation, origin, moment)
    return json.dumps(bundle, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def fhir_bundle(explanation: Explanation, origin: ModelOrigin, moment: datetime) -> dict[str, Any]:
    """The answer as values of JSON: a bundle with a DiagnosticReport and everything that it refers to.

    With the report come the measurements (Observation), the probabilities where there are any (RiskAssessment), the
    software (Device), and the Provenance of the report. What is withheld is counted and not written.

    Args:
        explanation: The answer.
        origin: The model that gave it.
        moment: When it did, with its time zone. The same answer, model and moment give the same bundle.
    """
    instant = moment.astimezone(UTC).isoformat(timespec="seconds")
    entries = _Entries(uuid5(NAMESPACE_URL, "\n".join((explanation_json(explanation), repr(origin), instant))))
    patient = entries.add("patient", {"resourceType": "Patient"})
    stay = entries.add("stay", {"resourceType": "Encounter", **_stay(patient)})
    device = entries.add("device", _device(origin))
    measured = [
        entries.add(name, observation)
        for name, observation in observations(explanation.patient.series, explanation.range_set, patient, stay)
    ]
    report = entries.add(
        "report", _report(explanation, {"subject": patient, "encounter": stay, "issued": instant}, measured)
    )
    made = [report]
    if explanation.probabilities is not None:
        made.append(entries.add("risks", _risks(explanation, patient, stay, measured)))
    entries.add("provenance", _provenance(explanation, made, device, instant))
    return {"resourceType": "Bundle", "type": "collection", "timestamp": instant, "entry": entries.listed}


class _Entries:
    """The resources of a bundle, known by names of their own, which become identifiers."""

    def __init__(self, namespace: UUID) -> None:
        self._namespace = namespace
        self.listed: list[dict[str, Any]] = []

    def add(self, name: str, resource: Mapping[str, Any]) -> dict[str, str]:
        """Add a resource; returns the reference to it."""
        own = str(uuid5(self._namespace, name))
        address = f"urn:uuid:{own}"
        resource = {"resourceType": resource["resourceType"], "id": own, **resource}
        self.listed.append({"fullUrl": address, "resource": resource})
        return {"reference": address}


def _stay(patient: Mapping[str, str]) -> dict[str, Any]:
    inpatient = {"system": f"{TERMS}v3-ActCode", "code": "IMP", "display": "inpatient encounter"}
    return {"status": "unknown", "class": inpatient, "subject": patient}


def _device(origin: ModelOrigin) -> dict[str, Any]:
    return {
        "resourceType": "Device",
        "deviceName": [
            {"name": "ClinRaGen", "type": "user-friendly-name"},
            {"name": one_line(origin.name), "type": "model-name"},
        ],
        "version": [
            {"type": {"text": "software"}, "value": version("clinragen")},
            {"type": {"text": "model revision"}, "value": one_line(origin.revision)},
        ],
        "note": [{"text": f"Trained on: {one_line(origin.data)}."}, {"text": CAUTION}],
    }


def _report(explanation: Explanation, context: Mapping[str, Any], measured: list[dict[str, str]]) -> dict[str, Any]:
    vocabulary = explanation.patient.series.vocabulary
    lines = list(_conclusion(explanation))
    found: dict[str, Any] = {
        "resourceType": "DiagnosticReport",
        "text": {"status": "generated", "div": _narrative(lines)},
        "status": "preliminary",
        "code": {"text": "Diagnoses suggested by a language model, with a rationale"},
        **context,
        "conclusion": "\n".join(lines),
    }
    if measured:
        found["result"] = measured
    asserted = _asserted(explanation)
    if asserted:
        found["conclusionCode"] = [coded_disease(name, vocabulary) for name in asserted]
    return found


def _asserted(explanation: Explanation) -> list[str]:
    """The diagnoses that a sentence gives evidence for; none where the output could not be read."""
    if explanation.problem is not None:
        return []
    return list(explanation.asserted)


def _conclusion(explanation: Explanation) -> Iterator[str]:
    yield CAUTION
    for warning in explanation.warnings:
        yield f"Warning: {one_line(warning)}"
    asserted = _asserted(explanation)
    if explanation.problem is not None:
        yield f"No diagnosis could be read: the output is malformed ({one_line(explanation.problem)})."
    else:
        if not asserted:
            yield "No disease is diagnosed with evidence." if explanation.diagnoses else "No disease is diagnosed."
        for name in asserted:
            yield f"Diagnosis: {one_line(name)}"
        for name in explanation.without_evidence:
            yield f"Named without evidence, so not asserted: {one_line(name)}"
    if not explanation.verified:
        yield "The rationale is as generated: a sentence may say what the data do not bear out."
    for sentence in explanation.sentences:
        yield f"{MARKS[sentence.verdict]} {WORDS[sentence.verdict]}: {one_line(sentence.text)}"
    if explanation.withheld:
        yield f"{count_words(len(explanation.withheld), 'sentence')} withheld: the data do not bear out what is said."


def _narrative(lines: list[str]) -> str:
    from html import escape

    body = "".join(f"<p>{escape(line, quote=False)}</p>" for line in lines)
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{body}</div>'


def _risks(
    explanation: Explanation, patient: Mapping[str, str], stay: Mapping[str, str], measured: list[dict[str, str]]
) -> dict[str, Any]:
    vocabulary = explanation.patient.series.vocabulary
    scores = explanation.probabilities or {}
    found: dict[str, Any] = {
        "resourceType": "RiskAssessment",
        "status": "preliminary",
        "method": {"text": explanation.probability_of},
        "subject": patient,
        "encounter": stay,
        "prediction": [
            # FHIR has per cent here.
            {"outcome": coded_disease(name, vocabulary), "probabilityDecimal": float(f"{100 * score:.6g}")}
            for name, score in scores.items()
        ],
        "note": [{"text": CAUTION}],
    }
    if measured:
        found["basis"] = measured
    return found


def _provenance(
    explanation: Explanation, made: list[dict[str, str]], device: Mapping[str, str], instant: str
) -> dict[str, Any]:
    note, series = explanation.patient.note, explanation.patient.series
    given = [] if note is None else [f"A clinical note of {len(note)} characters, which is not part of this bundle"]
    if series.observed.any():
        given.append(f"{count_words(int(series.observed.sum()), 'measurement')}, the observations of this bundle")
    author = {"system": f"{TERMS}provenance-participant-type", "code": "author", "display": "Author"}
    return {
        "resourceType": "Provenance",
        "target": made,
        "recorded": instant,
        "agent": [{"type": {"coding": [author]}, "who": device}],
        "entity": [{"role": "source", "what": {"display": words}} for words in given],
    }
