"""A checked rationale as the renderers take it, and how its parts are worded for a person."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from clinragen.claims.check import Checking
from clinragen.claims.sentences import NOTHING, CheckedSentence, Patient, check_sentences
from clinragen.claims.types import CONTRADICTED, SUPPORTED, UNVERIFIABLE, Claim

VERDICTS = (CONTRADICTED, UNVERIFIABLE, SUPPORTED, NOTHING)
"""The verdicts on a sentence, the worst first."""
WORDS = {CONTRADICTED: "contradicted", UNVERIFIABLE: "unverifiable", SUPPORTED: "supported", NOTHING: "no claim"}
MAX_READINGS = 8
"""So many of the readings that decide a claim are written out for a person."""
MAX_PLACES = 100
"""So many of the places in the note that decide a claim are marked or listed; one word may stand in it thousands of
times."""
MAX_EXCERPTS = 3
"""So many of them are written out for a person."""
MAX_EXCERPT = 100
"""So many characters of a line of the note are written out with the words that decide."""
MAX_WORDS = 80
"""So many characters of a claim's words are repeated beside it."""


@dataclass(frozen=True)
class CheckedText:
    """A rationale with its sentences, and what it was checked against and by.

    Args:
        text: The rationale.
        sentences: Its sentences, in order; their spans and those of their claims are in `text`.
        patient: The data.
        range_set: Name of the range set.
        knowledge: Where the knowledge base comes from, in words; None where there was none, so that no tie between
            evidence and disease was checked.
        diagnoses: The diseases that the rationale had to agree with; None where none were listed.
    """

    text: str
    sentences: tuple[CheckedSentence, ...]
    patient: Patient
    range_set: str
    knowledge: str | None = None
    diagnoses: tuple[str, ...] | None = None

    @property
    def contradicted(self) -> bool:
        """Whether anything in the rationale is contradicted."""
        return any(sentence.verdict == CONTRADICTED for sentence in self.sentences)

    @property
    def claims(self) -> tuple[Claim, ...]:
        """All claims, in order of appearance."""
        return tuple(claim for sentence in self.sentences for claim in sentence.claims)

    def numbered(self) -> Iterator[tuple[int, Claim]]:
        """All claims with their numbers, from 1."""
        return enumerate(self.claims, start=1)

    @cached_property
    def places(self) -> NotePlaces:
        """The lines of the note."""
        return NotePlaces(self.patient.note or "")

    def about(self, claim: Claim) -> str:
        """The names of the variable and of the disease that a claim is about; "" where it is about neither."""
        vocabulary = self.patient.series.vocabulary
        names = [vocabulary.variable(claim.variable).name] if claim.variable is not None else []
        names += [vocabulary.name_of_disease[claim.disease]] if claim.disease is not None else []
        return ", ".join(names)

    def unit(self, claim: Claim) -> str:
        """The unit of the claim's values; "" where it has none."""
        if claim.variable is None:
            return ""
        variable = self.patient.series.vocabulary.variable(claim.variable)
        return "" if variable.unitless else variable.unit

    def readings(self, claim: Claim) -> str:
        """The readings that decide, at most `MAX_READINGS` of them: "hour 0: 118 bpm; hour 6: 121 bpm"."""
        unit = f" {unit}" if (unit := self.unit(claim)) else ""
        pairs = list(zip(claim.evidence.hours, claim.evidence.values, strict=True))
        shown = "; ".join(f"hour {hour:.4g}: {value:.4g}{unit}" for hour, value in pairs[:MAX_READINGS])
        return f"{shown}; and {len(pairs) - MAX_READINGS} more" if len(pairs) > MAX_READINGS else shown

    def missing(self) -> list[str]:
        """Sentences that say which of note, measurements and knowledge were not there to check against."""
        found = []
        if self.patient.note is None:
            found.append("No note was given: what is said of it is unverifiable.")
        if not self.patient.series.observed.any():
            found.append("No measurements were given: what is said of them is unverifiable.")
        if self.knowledge is None:
            found.append("There is no knowledge base: whether evidence supports a disease was not checked.")
        return found

    def summary(self) -> str:
        """The outcome in one or two sentences."""
        if not self.sentences:
            return "There is no sentence to check."
        sentences = count_words(len(self.sentences), "sentence")
        counts = self.sentence_counts
        parts = [f"{counts[verdict]} {WORDS[verdict]}" for verdict in VERDICTS if counts[verdict]]
        claims = count_words(len(self.claims), "claim")
        return f"{sentences} with {claims}: {', '.join(parts).replace('no claim', 'without a claim')}."

    @property
    def sentence_counts(self) -> dict[str, int]:
        """Sentences by verdict."""
        return {verdict: sum(one.verdict == verdict for one in self.sentences) for verdict in VERDICTS}

    @property
    def claim_counts(self) -> dict[str, int]:
        """Claims by verdict."""
        return {verdict: sum(one.verdict == verdict for one in self.claims) for verdict in VERDICTS[:-1]}


class NotePlaces:
    """Where characters of a note stand, for a person: lines are counted from 1."""

    def __init__(self, note: str) -> None:
        self._note = note
        self._starts = [0, *(place + 1 for place, letter in enumerate(note) if letter == "\n")]

    def line(self, place: int) -> int:
        """The number of the line that a character is in."""
        return bisect_right(self._starts, place)

    def excerpt(self, span: tuple[int, int]) -> str:
        """The characters of a span, with the words of their lines around them, up to `MAX_EXCERPT` characters."""
        start, end = span
        first = self._starts[self.line(start) - 1]
        stop = self._note.find("\n", end)
        before, after = self._note[first:start], self._note[end : len(self._note) if stop < 0 else stop]
        kept = max(0, MAX_EXCERPT - (end - start)) // 2
        if len(before) > kept:
            before = f"...{before[-kept:].partition(' ')[2] if kept else ''}"
        if len(after) > kept:
            after = f"{after[:kept].rpartition(' ')[0]}..."
        return f"{before}{self._note[start:end]}{after}".strip()


def check_text(text: str, patient: Patient, checking: Checking, diagnoses: Sequence[str] | None = None) -> CheckedText:
    """Check a rationale, for rendering.

    Args:
        text: The rationale; any text is accepted.
        patient: What it is checked against.
        checking: What it is checked by.
        diagnoses: Names of the diseases that it has to agree with; None where there are none.
    """
    sentences = check_sentences(text, patient, checking, diagnoses)
    return CheckedText(
        text,
        tuple(sentences),
        patient,
        range_set=checking.range_set.name,
        knowledge=None if checking.knowledge is None else checking.knowledge.origin,
        diagnoses=None if diagnoses is None else tuple(diagnoses),
    )


def worst(claims: Sequence[Claim]) -> str:
    """The worst verdict of some claims; that there is none where there are none."""
    return min((claim.verdict for claim in claims), key=VERDICTS.index, default=NOTHING)


def count_words(number: int, noun: str) -> str:
    """A number with its noun: "1 claim", "3 claims"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
