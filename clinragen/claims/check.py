"""Checks a rationale against the patient's data: statements against the raw series, quotations against the note, and
the ties between such evidence and diseases against the knowledge base.

Deterministic and without a model: phrases, ranges and tolerances are data. A variable that was not measured is never
taken for normal: a statement about it is unverifiable.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from clinragen.claims.absences import AbsenceChecker
from clinragen.claims.argument_words import SERIES
from clinragen.claims.arguments import SentenceArguments
from clinragen.claims.checking import Checking
from clinragen.claims.lexicon import load_lexicon
from clinragen.claims.note_checker import NoteChecker
from clinragen.claims.patient_evidence import KnowledgeEvidence
from clinragen.claims.remainder import RemainderReader
from clinragen.claims.series_checker import SeriesChecker
from clinragen.claims.text_reader import TextReader
from clinragen.claims.ties import TieChecker
from clinragen.claims.types import CONTRADICTED, KINDS, SUPPORTED, UNVERIFIABLE, VERDICTS, Claim, Evidence
from clinragen.knowledge.base import KnowledgeBase
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.note_clinragen import clean_note
from modeling_clinragen.vocabulary_clinragen import DEFAULT_RANGE_SET, RangeSet

__all__ = [
    "CONTRADICTED",
    "KINDS",
    "SUPPORTED",
    "UNVERIFIABLE",
    "VERDICTS",
    "CheckedText",
    "Checking",
    "Claim",
    "Evidence",
    "PatientChecker",
    "check_rationale",
]


@dataclass(frozen=True)
class CheckedText:
    """A text with its `claims` in order of appearance, and what each of its `sentences` argues and leaves `unread`."""

    claims: tuple[Claim, ...]
    sentences: tuple[SentenceArguments, ...]
    unread: tuple[tuple[tuple[int, int], ...], ...]


class PatientChecker:
    """Checks texts about one patient. What depends on the patient alone is worked out once, when it is first needed.

    Args:
        series: The measurements, in the vocabulary of `checking`.
        note: The note; without it, quotations are unverifiable.
        checking: What is checked by.
    """

    def __init__(self, series: LabSeries, note: str | None, checking: Checking) -> None:
        vocabulary = checking.vocabulary
        self.checking = checking
        # Places in the note are places in what the model and the teachers read.
        note = None if note is None else clean_note(note)
        self.evidence = KnowledgeEvidence(note, series, checking)
        self._lexicon = load_lexicon(vocabulary)
        self._reader = TextReader(self._lexicon)
        self._series = SeriesChecker(series, checking.range_set, self._lexicon)
        self._note = NoteChecker(note, self._lexicon, checking.history_counts, lambda: self.evidence.context)
        self._ties = TieChecker(self.evidence, checking.range_set, self._lexicon, vocabulary.name_of_disease)
        self._absences = AbsenceChecker(self.evidence)
        self._remainder = RemainderReader(self.evidence.meanings, checking.range_set, self._lexicon)

    def check(self, text: str) -> list[Claim]:
        """Every claim of a text, in order of appearance."""
        return list(self.read(text).claims)

    def read(self, text: str) -> CheckedText:
        """The claims of a text, and what its sentences argue."""
        statements, sentences = self._reader.read(text)
        claims = self._note.check(text)
        absent: set[tuple[int, int]] = set()  # where the parser has read that nothing at all was measured
        for claim in self._series.check_all(statements, text):
            if not (claim.kind == "measurement" and claim.variable is None and claim.negated):
                claims.append(claim)
            elif claim.span not in absent:
                absent.add(claim.span)
                claims.append(replace(claim, kind="absence"))
        for sentence in sentences:
            claims += self._argued(sentence, text, absent)
        unread = tuple(self._remainder.unread(text, sentence, statements) for sentence in sentences)
        return CheckedText(tuple(sorted(claims, key=lambda claim: claim.span)), sentences, unread)

    def _argued(self, sentence: SentenceArguments, text: str, absent: set[tuple[int, int]]) -> list[Claim]:
        """The ties and absences of a sentence; those at `absent` are there already."""
        found: list[Claim] = []
        for argument in sentence.arguments:
            if argument.is_whole:
                found += self._absences.check_whole(argument, text)
            elif self.evidence.has_knowledge:
                found += self._ties.check(argument, text)
        for source, (start, end) in sentence.missing:
            if not any(source == SERIES and start < last and first < end for first, last in absent):
                found.append(self._absences.check_missing(source, (start, end), text))
        return found


def check_rationale(
    text: str,
    series: LabSeries,
    note: str | None = None,
    *,
    range_set: RangeSet | None = None,
    knowledge: KnowledgeBase | None = None,
) -> list[Claim]:
    """Every claim of a rationale about the variables, the note (in quotation marks) and what they say of diseases.

    For several texts about one patient, `PatientChecker` saves work.

    Args:
        text: The rationale; any text is accepted.
        series: The measurements, with the vocabulary that the text is about.
        note: The note; without it, quotations are unverifiable.
        range_set: What is low, normal and high; by default the clinical one.
        knowledge: What supports which disease. Without it there are no claims that need it, and a past mention
            supports chronic diseases only.

    Returns:
        The claims in order of appearance.
    """
    if range_set is None:
        range_set = series.vocabulary.range_set(DEFAULT_RANGE_SET)
    return PatientChecker(series, note, Checking(series.vocabulary, range_set, knowledge)).check(text)
