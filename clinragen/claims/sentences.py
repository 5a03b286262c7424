"""A rationale sentence by sentence: what each one claims, and whether it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from clinragen.claims.arguments import SentenceArguments
from clinragen.claims.check import Checking, PatientChecker
from clinragen.claims.consistency import find_disagreements
from clinragen.claims.patient_evidence import KnowledgeEvidence
from clinragen.claims.types import CONTRADICTED, SUPPORTED, UNVERIFIABLE, Claim
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.note_clinragen import clean_note

# So many sentences back a pronoun may look.
_CONTEXT = 2

NOTHING = "none"
"""The verdict on a sentence that claims nothing."""


@dataclass(frozen=True)
class Patient:
    """The data that a rationale is checked against; `note`, which is cleaned, is None where there is no note."""

    series: LabSeries
    note: str | None

    def __post_init__(self) -> None:
        if self.note is not None:
            object.__setattr__(self, "note", clean_note(self.note))


@dataclass(frozen=True)
class CheckedSentence:
    """One sentence of a rationale.

    Args:
        text, span: The sentence, and its first and last character (exclusive) in the rationale.
        claims: Its claims, in order of appearance; their spans are in the rationale as well.
        faults: Its contradictions with the listed diagnoses or with earlier sentences, in words.
        unread: The words that no claim and no argument has taken up, as places in the rationale.
        arguments: What it argues, as parsed.
    """

    text: str
    span: tuple[int, int]
    claims: tuple[Claim, ...]
    faults: tuple[str, ...] = ()
    unread: tuple[tuple[int, int], ...] = ()
    arguments: SentenceArguments | None = field(default=None, repr=False, compare=False)

    @property
    def verdict(self) -> str:
        """The worst of its claims' verdicts, "contradicted" where it has a fault, "none" where it claims nothing.

        With words that nothing has checked it is "unverifiable" at best.
        """
        found = {claim.verdict for claim in self.claims}
        if self.faults or CONTRADICTED in found:
            return CONTRADICTED
        if not found:
            return NOTHING
        return UNVERIFIABLE if self.unread or UNVERIFIABLE in found else SUPPORTED

    @property
    def supported_ties(self) -> list[Claim]:
        """Its claims that tie evidence to a disease and hold."""
        return [claim for claim in self.claims if claim.kind == "tie" and claim.verdict == SUPPORTED]


class SentenceChecker:
    """Checks texts about one patient sentence by sentence; what depends on the patient alone is done once.

    Args:
        patient: The data.
        checking: What sentences are checked by.
        diagnoses: Names of the listed diseases; None without a list to agree with.
    """

    def __init__(self, patient: Patient, checking: Checking, diagnoses: Sequence[str] | None = None) -> None:
        self.patient = patient
        self._keys = checking.vocabulary.key_of_disease
        self._names = checking.vocabulary.name_of_disease
        self.list_diagnoses(diagnoses)
        self._checker = PatientChecker(patient.series, patient.note, checking)

    @property
    def evidence(self) -> KnowledgeEvidence:
        """The evidence of each disease that the knowledge base finds in the patient's data."""
        return self._checker.evidence

    def list_diagnoses(self, diagnoses: Sequence[str] | None) -> None:
        """Set the names of the listed diseases; None without a list to agree with."""
        self.diagnoses = diagnoses
        known = [self._keys[name] for name in diagnoses or () if name in self._keys]
        self._listed = None if diagnoses is None else frozenset(known)

    def check(self, text: str) -> list[CheckedSentence]:
        """The sentences of a text with their claims and faults."""
        checked = self._claims_of(text)
        faults = self._faults(checked)
        return [replace(sentence, faults=found) for sentence, found in zip(checked, faults, strict=True)]

    def check_next(self, before: Sequence[CheckedSentence], text: str) -> CheckedSentence:
        """One further sentence behind checked ones, as `check` of the whole text would find it."""
        # A pronoun refers to what was named last.
        context = " ".join(sentence.text for sentence in before[-_CONTEXT:])
        whole = f"{context} {text}" if context else text
        found = self._claims_of(whole)[-1]
        return self.follow(before, found)

    def follow(self, before: Sequence[CheckedSentence], sentence: CheckedSentence) -> CheckedSentence:
        """A checked sentence as it stands behind others: its place, and its faults in view of them."""
        start = before[-1].span[1] + 1 if before else 0
        shift = start - sentence.span[0]
        if shift:
            claims = tuple(
                replace(claim, span=(claim.span[0] + shift, claim.span[1] + shift)) for claim in sentence.claims
            )
            unread = tuple((first + shift, last + shift) for first, last in sentence.unread)
            sentence = replace(sentence, span=(start, sentence.span[1] + shift), claims=claims, unread=unread)
        return replace(sentence, faults=self._faults([*before, sentence])[-1])

    def _claims_of(self, text: str) -> list[CheckedSentence]:
        found = self._checker.read(text)
        return [
            CheckedSentence(
                text[slice(*argued.span)],
                argued.span,
                tuple(claim for claim in found.claims if argued.span[0] <= claim.span[0] < argued.span[1]),
                unread=unread,
                arguments=argued,
            )
            for argued, unread in zip(found.sentences, found.unread, strict=True)
        ]

    def _faults(self, sentences: Sequence[CheckedSentence]) -> list[tuple[str, ...]]:
        argued = [sentence.arguments for sentence in sentences if sentence.arguments is not None]
        return find_disagreements(argued, self._names, self._listed)


def check_sentences(
    text: str, patient: Patient, checking: Checking, diagnoses: Sequence[str] | None = None
) -> list[CheckedSentence]:
    """The sentences of a rationale with their claims.

    Args:
        text: The rationale; any text is accepted.
        patient: What it is checked against.
        checking: What it is checked by.
        diagnoses: Names of the listed diseases; None without a list to agree with.
    """
    return SentenceChecker(patient, checking, diagnoses).check(text)
