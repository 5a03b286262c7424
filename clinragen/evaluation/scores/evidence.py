"""Omission, against the truth of the synthetic hospital: is the evidence cited that a present disease has left?"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from clinragen.evaluation.checked import CheckedRationale, Given
from clinragen.evaluation.score_types import Entries, RationaleScore, WrittenRationales
from clinragen.evaluation.texts import each_text
from dataset_builder.contract.truth import TrueEvidence
from modeling_clinragen.note_clinragen import clean_note, find_spans
from trainers.formatting import format_percent, markdown_table

SOURCES = ("note", "series")
AMONG = ("present", "listed")


def evidence_scores(written: WrittenRationales) -> dict[str, Any] | None:
    """Shares of the present diseases whose evidence is cited; None without a truth.

    By text ("raw", "shown"), source ("note", "series") and `AMONG` which diseases: all `present` ones that show in
    what the system was given of the source, or those of them that the answer lists. `without_truth` counts examples
    that the hospital says nothing about; they are left out. Present diseases are the world's own, coded or not.
    """
    if written.truth is None:
        return None
    stays = list(zip(written.examples["hadm_id"], written.examples["stay_id"], strict=True))
    written.truth.require_any(stays)
    truths = [written.truth.of(*stay) for stay in stays]
    missing = sum(truth is None for truth in truths)
    return {**written.by_text(lambda rationales: _score(rationales, truths, written)), "without_truth": missing}


def _score(
    rationales: Sequence[CheckedRationale],
    truths: Sequence[Mapping[str, TrueEvidence] | None],
    written: WrittenRationales,
) -> dict[str, Any]:
    counts = evidence_counts(rationales, truths, written.listed, set(written.checking.vocabulary.name_of_disease))
    return {
        source: {among: written.bootstrap.quotient(*counts[source, among]) for among in AMONG} for source in SOURCES
    }


def evidence_counts(
    rationales: Sequence[CheckedRationale],
    truths: Sequence[Mapping[str, TrueEvidence] | None],
    listed_keys: Sequence[frozenset[str]],
    known: Collection[str],
) -> dict[tuple[str, str], np.ndarray]:
    """How many present diseases that show have their evidence cited, and how many there are, by example.

    Args:
        rationales: The checked rationales.
        truths: What is true of each patient; None where the hospital says nothing about it.
        listed_keys: The diseases that each answer lists.
        known: Keys of the diseases of the vocabulary.

    Returns:
        By source and by `AMONG` the two counts of each example, `(2, examples)`.
    """
    counts = {(source, among): np.zeros((2, len(rationales))) for source in SOURCES for among in AMONG}
    for row, (rationale, truth, listed) in enumerate(zip(rationales, truths, listed_keys, strict=True)):
        for key, evidence in (truth or {}).items():
            if key not in known:
                continue
            for source, cited in (
                ("note", _note(rationale, key, evidence)),
                ("series", _series(rationale, key, evidence)),
            ):
                if cited is None:
                    continue
                for among in AMONG if key in listed else ("present",):
                    counts[source, among][:, row] += (cited, 1)
    return counts


def _note(rationale: CheckedRationale, disease: str, evidence: TrueEvidence) -> bool | None:
    """Whether a true phrase is quoted in a sentence that names the disease; None where none stands in the note.

    A quotation may be part of the phrase or go beyond it.
    """
    cleaned = [clean_note(phrase) for phrase in evidence.phrases]
    phrases = [phrase for phrase in cleaned if find_spans(rationale.given.note, phrase)]
    if not phrases:
        return None
    quoted = rationale.quotations(disease)
    return any(find_spans(phrase, words) or find_spans(words, phrase) for phrase in phrases for words in quoted)


def _series(rationale: CheckedRationale, disease: str, evidence: TrueEvidence) -> bool | None:
    """Whether a sentence that names the disease makes a supported claim about a variable that the disease moves.

    None where no such variable was measured in the hours in which it is moved.
    """
    moved = _measured_courses(rationale.given, evidence)
    return bool(moved & rationale.variables(disease)) if moved else None


def _measured_courses(given: Given, evidence: TrueEvidence) -> set[str]:
    series = given.series
    found = set()
    for course in evidence.courses:
        if course.variable not in series.vocabulary.variable_keys:
            continue
        measured = series.observed[:, series.vocabulary.variable_keys.index(course.variable)]
        if (measured & (series.hours >= course.from_hour) & (series.hours <= course.to_hour)).any():
            found.add(course.variable)
    return found


def _compute(written: WrittenRationales) -> dict[str, Any]:
    return {"evidence": evidence_scores(written)}


def _section(systems: Mapping[str, Entries]) -> list[str]:
    scored = {name: entries for name, entries in systems.items() if entries["evidence"] is not None}
    if not scored:
        return []
    rows = [
        [title, *(format_percent(scores[source][among]) for source in SOURCES for among in AMONG)]
        for title, scores in each_text(scored, "evidence").items()
    ]
    header = [
        "Rationales",
        *(
            f"{source.capitalize()}, {words}"
            for source in SOURCES
            for words in ("all present diseases", "those listed")
        ),
    ]
    left_out = max(entries["evidence"]["without_truth"] for entries in scored.values())
    return [
        "## Evidence that is cited",
        "Of the diseases that are present in the synthetic hospital and show in the note or in the series, the "
        "share whose evidence is cited in a sentence that names the disease: a true phrase is quoted, or a supported "
        "claim is made about a variable that the disease moves."
        + (f" {left_out} examples without a truth are left out." if left_out else ""),
        markdown_table(header, rows),
    ]


def _terminal(source: str) -> Any:
    def cell(scores: Entries) -> str:
        found = scores["evidence"]
        return "no truth" if found is None else format_percent(found["shown"][source]["present"])

    return cell


def _verdict(scores: Entries) -> list[str]:
    if scores["evidence"] is None:
        return []
    found = scores["evidence"]["shown"]
    parts = [
        f"{format_percent(found[source]['present'])} of the present diseases that show in the {source}"
        for source in SOURCES
        if found[source]["present"]["value"] is not None
    ]
    return [f"It cites the evidence of {' and of '.join(parts)}."] if parts else []


EVIDENCE = RationaleScore(
    _compute,
    section=_section,
    terminal=(
        ("Evidence in the note cited", _terminal("note")),
        ("Evidence in the series cited", _terminal("series")),
    ),
    verdict=_verdict,
    of_teacher=True,
)
