"""A rationale taken apart for scoring: its sentences, the diseases that each names, and the claims that each makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clinragen.claims.arguments import SentenceArguments
from clinragen.claims.check import Checking, PatientChecker
from clinragen.claims.filter import named_diseases
from clinragen.claims.types import SUPPORTED, Claim
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.note_clinragen import clean_note

NOTE, TIE, ABSENCE = "note", "tie", "absence"
# A statement that nothing is wrong, or that nothing was measured, is no evidence of a disease.
_NO_FINDING = frozenset(("normality", "measurement"))


class Given:
    """One patient as a system was shown it, with the checker of texts about it.

    Args:
        row: A row of the data contract.
        checking: What is checked by.
        note, labs: Whether the system reads the note and the series; what it does not read is empty.
    """

    def __init__(self, row: Mapping[str, Any], checking: Checking, *, note: bool = True, labs: bool = True) -> None:
        vocabulary = checking.vocabulary
        self.note: str = clean_note(row["note"]) if note else ""
        self.series = LabSeries.from_example(vocabulary, row) if labs else LabSeries.empty(vocabulary)
        self.checker = PatientChecker(self.series, self.note, checking)


@dataclass(frozen=True)
class JudgedSentence:
    """One sentence of a rationale.

    Args:
        named: Keys of the diseases that it names outside quotations, without those that it only argues against.
        claims: Its claims.
        argued: What it argues for and against.
    """

    named: frozenset[str]
    claims: tuple[Claim, ...]
    argued: SentenceArguments


@dataclass(frozen=True)
class CheckedRationale:
    """A rationale with its claims.

    Args:
        text: The rationale; None where the output could not be parsed, which claims nothing.
        given: What it was written from.
        sentences: Its sentences, in order.
    """

    text: str | None
    given: Given
    sentences: tuple[JudgedSentence, ...]

    @property
    def claims(self) -> tuple[Claim, ...]:
        """All claims, in order of appearance."""
        return tuple(claim for sentence in self.sentences for claim in sentence.claims)

    def quotations(self, disease: str) -> list[str]:
        """The words between the marks of the supported quotations in sentences that name a disease."""
        return [
            claim.text[1:-1].strip(" .,;:\t")
            for sentence in self.sentences
            if disease in sentence.named
            for claim in sentence.claims
            if claim.kind == NOTE and claim.verdict == SUPPORTED and not claim.negated
        ]

    def variables(self, disease: str) -> set[str]:
        """Keys of the variables of which a finding is claimed, and supported, in sentences that name a disease."""
        return {
            claim.variable
            for sentence in self.sentences
            if disease in sentence.named
            for claim in sentence.claims
            if claim.variable is not None and is_finding(claim)
        }


def is_finding(claim: Claim) -> bool:
    """Whether a claim is about the series, holds, and says that something is there."""
    is_series = claim.kind not in (NOTE, TIE, ABSENCE)
    return is_series and claim.verdict == SUPPORTED and not claim.negated and claim.kind not in _NO_FINDING


def check_text(text: str | None, given: Given) -> CheckedRationale:
    """Check a rationale against what it was written from."""
    if text is None:
        return CheckedRationale(None, given, ())
    read = given.checker.read(text)
    by_sentence: list[list[Claim]] = [[] for _ in read.sentences]
    for claim in read.claims:
        # A claim belongs to the sentence that it begins in.
        number = next(number for number, one in enumerate(read.sentences) if claim.span[0] < one.span[1])
        by_sentence[number].append(claim)
    return CheckedRationale(
        text,
        given,
        tuple(
            JudgedSentence(_named(text, argued, given.checker.checking), tuple(claims), argued)
            for argued, claims in zip(read.sentences, by_sentence, strict=True)
        ),
    )


def _named(text: str, argued: SentenceArguments, checking: Checking) -> frozenset[str]:
    supported = {key for argument in argued.arguments if not argument.negated for key in argument.diseases}
    denied = {key for argument in argued.arguments if argument.negated for key in argument.diseases}
    return frozenset(named_diseases(text[slice(*argued.span)], checking.vocabulary) - (denied - supported))
