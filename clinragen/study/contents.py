"""One case as a rater sees it: the note, the series, and rationales with and without the checker's flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clinragen.checking.printable import printable
from clinragen.claims.check import Checking
from clinragen.claims.sentences import CheckedSentence, Patient, SentenceChecker
from clinragen.claims.types import CONTRADICTED
from clinragen.study.sources import SourceText
from dataset_builder.contract.lab_series import LabSeries


def patient_of(row: Mapping[str, Any], checking: Checking) -> Patient:
    """The whole patient of an example, whatever a system was shown of it."""
    return Patient(LabSeries.from_example(checking.vocabulary, row), row["note"] or None)


def check_sources(
    texts: Sequence[SourceText], patient: Patient, checking: Checking
) -> tuple[tuple[CheckedSentence, ...], ...]:
    """The sentences of every rationale of a patient with the checker's verdicts."""
    checker = SentenceChecker(patient, checking)
    found = []
    for one in texts:
        checker.list_diagnoses(one.listed)
        found.append(tuple(checker.check(one.text)))
    return tuple(found)


def patient_content(patient: Patient, checking: Checking) -> dict[str, Any]:
    """Note and series as values of JSON: variables that were never measured are left out."""
    series = patient.series
    variables = []
    for column, variable in enumerate(series.vocabulary.variables):
        seen = series.observed[:, column]
        if not seen.any():
            continue
        bounds = checking.range_set.bounds.get(variable.key) if seen.any() else None
        variables.append(
            {
                "name": variable.name,
                "unit": "" if variable.unitless else variable.unit,
                "low": None if bounds is None else bounds[0],
                "high": None if bounds is None else bounds[1],
                "hours": [round(float(hour), 2) for hour in series.hours[seen]],
                "values": [float(f"{value:.6g}") for value in series.values[seen, column]],
            }
        )
    return {"note": printable(patient.note or ""), "series": variables}


def rationale_content(
    item: str, listed: Sequence[str], sentences: Sequence[CheckedSentence], *, flags: bool
) -> dict[str, Any]:
    """A rationale as values of JSON; with `flags` each sentence has the checker's verdict and its reasons."""
    found = []
    for sentence in sentences:
        one: dict[str, Any] = {"text": printable(sentence.text)}
        if flags:
            one["flag"] = {"verdict": sentence.verdict, "reasons": _reasons(sentence)}
        found.append(one)
    return {"item": item, "listed": list(listed), "sentences": found}


def is_contradicted(sentences: Sequence[CheckedSentence]) -> bool:
    """Whether the checker contradicts any of them."""
    return any(sentence.verdict == CONTRADICTED for sentence in sentences)


def _reasons(sentence: CheckedSentence) -> list[str]:
    """Why a sentence is contradicted or unverifiable; nothing where it is neither."""
    reasons = [*sentence.faults, *(one.evidence.reason for one in sentence.claims if one.verdict == sentence.verdict)]
    return [] if sentence.verdict == "supported" else [printable(reason) for reason in dict.fromkeys(reasons)]
