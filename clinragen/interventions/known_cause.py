"""Diseases of the synthetic hospital that a single sign shows: without that sign, does the diagnosis go?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from clinragen.evaluation.bootstrap import Bootstrap
from clinragen.interventions.asking import Answers, Ask
from clinragen.interventions.citations import Explain, argued_diseases
from clinragen.interventions.patient import Case, Group, Shown, Unit
from dataset_builder.contract.truth import HospitalTruth, TrueCourse, TrueEvidence
from modeling_clinragen.lab_words_clinragen import count_levels
from modeling_clinragen.note_clinragen import clean_note, find_spans
from modeling_clinragen.vocabulary_clinragen import RangeSet, Vocabulary

NOTE, SERIES = "note", "series"
# The three numbers of one pressure: what moves one of them moves them all.
PRESSURE = "_blood_pressure"
FEWEST_NORMAL = 3
"""From so many normal readings of the patient's own on they stand in for the abnormal ones."""


@dataclass(frozen=True, eq=False)
class Cause:
    """The only sign of a disease in what a model is shown, and the patient without it.

    Args:
        case: Number of the case.
        disease: Number of the disease.
        source: `NOTE` or `SERIES`.
        shown: The patient without the sign.
        replaced: Whether normal readings of the patient stand in for the abnormal ones; else the sign was removed.
    """

    case: int
    disease: int
    source: str
    shown: Shown
    replaced: bool = False


def find_causes(
    group: Group, listed: np.ndarray, truth: HospitalTruth, vocabulary: Vocabulary, range_set: RangeSet
) -> list[Cause]:
    """The present and listed diseases that one sign alone shows, which shows no other present disease.

    Such a sign is one phrase of the note, wherever it stands, or the course of one variable (the blood pressures count
    as one) in hours in which it was measured.
    """
    found = []
    keys = [disease.key for disease in vocabulary.diseases]
    for case in group.cases:
        present = truth.of(*case.stay) or {}
        signs = {key: _signs(case, evidence, vocabulary) for key, evidence in present.items()}
        for key, (sentences, courses) in signs.items():
            if key not in keys or not listed[case.number, keys.index(key)]:
                continue
            others = [signs[other] for other in signs if other != key]
            disease = keys.index(key)
            if len(sentences) == 1 and not courses:
                units = set(next(iter(sentences.values())))
                if not any(units.intersection(own) for other, _ in others for own in other.values()):
                    found.append(Cause(case.number, disease, NOTE, case.without(units)))
            elif not sentences and _quantities(courses) == 1 and not any(set(courses) & set(own) for _, own in others):
                shown, replaced = _without_course(case, group, courses, vocabulary, range_set)
                found.append(Cause(case.number, disease, SERIES, shown, replaced))
    return [cause for cause in found if not cause.shown.empty]


def run_known_cause(
    causes: Sequence[Cause], group: Group, before: Answers, ask: Ask, explain: Explain | None, vocabulary: Vocabulary
) -> dict[str, Any] | None:
    """Ask again without the causes.

    Args:
        causes: From `find_causes`.
        group, before: The cases, with what their rationales cite, and the answers about them.
        ask: Whatever answers.
        explain: Writes rationales; without it nothing is said of the sentences.
        vocabulary: The diseases.

    Returns:
        For all causes, for those in the note and for those in the series: `causes`, the shares `gone` (the diagnosis
        is not listed any more), `sentence_gone` (of those that the rationale gave evidence for: it does not any more),
        `both_gone` of the same, and `others_stay` (all other decisions about the patient that are what they were), and
        `others_listed_stay` (of the other diseases listed before, those that still are). None without a cause.
    """
    if not causes:
        return None
    rows = [cause.case for cause in causes]
    after = ask([cause.shown for cause in causes])
    number = np.arange(len(causes))
    disease = np.array([cause.disease for cause in causes])
    gone = ~after.listed[number, disease]
    same = after.listed == before.listed[rows]
    still = after.listed & before.listed[rows]
    was = before.listed[rows].copy()
    for matrix in (same, still, was):
        matrix[number, disease] = False
    counts: dict[str, tuple[np.ndarray, np.ndarray]] = {
        "gone": (gone, np.ones(len(causes))),
        "others_stay": (same.sum(axis=1), np.full(len(causes), same.shape[1] - 1)),
        "others_listed_stay": (still.sum(axis=1), was.sum(axis=1)),
    }
    if explain is not None:
        keys = [one.key for one in vocabulary.diseases]
        argued = [argued_diseases(rationale.sentences) for rationale in explain([cause.shown for cause in causes])]
        silent = np.array([keys[cause.disease] not in own for cause, own in zip(causes, argued, strict=True)])
        said = np.array([_argued(group.cases[cause.case], cause.disease) for cause in causes])
        counts["sentence_gone"] = (silent & said, said)
        counts["both_gone"] = (silent & gone & said, said)
    subjects = group.subjects[rows]
    sources = np.array([cause.source for cause in causes])
    replaced = np.array([cause.replaced for cause in causes])
    found: dict[str, Any] = {}
    for source in ("all", NOTE, SERIES):
        own = np.ones(len(causes), dtype=bool) if source == "all" else sources == source
        if own.any():
            bootstrap = Bootstrap(subjects[own])
            shares = {name: bootstrap.quotient(count[own], of[own]) for name, (count, of) in counts.items()}
            found[source] = {"causes": int(own.sum()), "replaced": int(replaced[own].sum()), **shares}
    return found


def _argued(case: Case, disease: int) -> bool:
    return any(cited == disease for _, cited in case.cited or ())


Signs = tuple[dict[str, list[Unit]], dict[str, list[TrueCourse]]]


def _signs(case: Case, evidence: TrueEvidence, vocabulary: Vocabulary) -> Signs:
    """The signs of a disease in the input: sentences by phrase, and courses by variable."""
    phrases = {clean_note(phrase).casefold() for phrase in evidence.phrases}
    sentences = {phrase: case.sentences_of(find_spans(case.shown.note, phrase)) for phrase in sorted(phrases)}
    courses: dict[str, list[TrueCourse]] = {}
    for course in evidence.courses:
        if course.variable in vocabulary.variable_keys:
            column = vocabulary.variable_keys.index(course.variable)
            if (_during(case.shown, [course]) & ~np.isnan(case.shown.values[:, column])).any():
                courses.setdefault(course.variable, []).append(course)
    return {phrase: units for phrase, units in sentences.items() if units}, courses


def _during(shown: Shown, courses: Sequence[TrueCourse]) -> np.ndarray:
    inside = np.zeros(len(shown.hours), dtype=bool)
    for course in courses:
        inside |= (shown.hours >= course.from_hour) & (shown.hours <= course.to_hour)
    return inside


def _quantities(courses: Mapping[str, Any]) -> int:
    pressures = [key for key in courses if key.endswith(PRESSURE)]
    return len(courses) - len(pressures) + bool(pressures)


def _without_course(
    case: Case,
    group: Group,
    courses: Mapping[str, Sequence[TrueCourse]],
    vocabulary: Vocabulary,
    range_set: RangeSet,
) -> tuple[Shown, bool]:
    """Normal readings of the patient in place of those in the course, or where there are too few, no readings."""
    shown = case.shown
    low, high, _ = count_levels(shown.values, vocabulary, range_set)
    columns = [vocabulary.variable_keys.index(key) for key in courses]
    inside = _during(shown, [course for own in courses.values() for course in own])
    observed = ~np.isnan(shown.values)
    normal = {column: np.flatnonzero(observed[:, column] & ~inside & ~(low | high)[:, column]) for column in columns}
    if min(map(len, normal.values())) < FEWEST_NORMAL:
        return shown.with_variables(columns, kept=False), False
    values = shown.values.copy()
    for column, rows in normal.items():
        abnormal = np.flatnonzero(observed[:, column] & inside)
        values[abnormal, column] = values[group.draw(case, column).choice(rows, len(abnormal)), column]
    return replace(shown, values=values), True
