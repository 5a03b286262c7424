"""Checks a rationale against the patient's data: statements against the raw series, quotations against the note.

Deterministic and without a model: phrases, ranges and tolerances are data. A variable that was not measured is never
taken for normal: a statement about it is unverifiable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from clinragen.claims.lexer import tokenize
from clinragen.claims.lexicon import load_lexicon
from clinragen.claims.note_checker import NoteChecker
from clinragen.claims.parser import parse
from clinragen.claims.series_checker import SeriesChecker
from clinragen.claims.types import CONTRADICTED, KINDS, SUPPORTED, UNVERIFIABLE, VERDICTS, Claim, Evidence
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.vocabulary_clinragen import DEFAULT_RANGE_SET, RangeSet, Vocabulary

__all__ = [
    "CONTRADICTED",
    "KINDS",
    "SUPPORTED",
    "UNVERIFIABLE",
    "VERDICTS",
    "Checking",
    "Claim",
    "Evidence",
    "check_rationale",
]


@dataclass(frozen=True)
class Checking:
    """The standards that rationales are checked by.

    Args:
        vocabulary: Variables and diseases that rationales are about.
        range_set: What is low, normal and high.
        history_counts: By disease key, whether a past mention still supports the disease.
    """

    vocabulary: Vocabulary
    range_set: RangeSet
    history_counts: Mapping[str, bool]


def check_rationale(
    text: str,
    series: LabSeries,
    note: str | None = None,
    *,
    range_set: RangeSet | None = None,
    history_counts: Mapping[str, bool] | None = None,
) -> list[Claim]:
    """Every claim of a rationale about the variables and, in quotation marks, about the note, in order of appearance.

    Args:
        text: The rationale; any text is accepted.
        series: The measurements, with the vocabulary that the text is about.
        note: The note; without it, quotations are unverifiable.
        range_set: What is low, normal and high; by default the clinical one.
        history_counts: By disease key, whether a past mention still supports the disease; by default of chronic
            diseases only. A knowledge base has it.
    """
    vocabulary = series.vocabulary
    lexicon = load_lexicon(vocabulary)
    if range_set is None:
        range_set = vocabulary.range_set(DEFAULT_RANGE_SET)
    if history_counts is None:
        history_counts = {disease.key: disease.kind == "chronic" for disease in vocabulary.diseases}
    checker = SeriesChecker(series, range_set, lexicon)
    claims = NoteChecker(note, lexicon, history_counts).check(text)
    for statement in parse(tokenize(text, lexicon)):
        claims += checker.check(statement, text)
    return sorted(claims, key=lambda claim: claim.span)
