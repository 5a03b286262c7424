"""Decides which rationales may be distilled: those without a contradiction that name exactly the known diseases.

A student repeats the reasoning it is trained on, wrong steps included; similarity to a reference does not reveal them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clinragen.claims.check import Checking, PatientChecker
from clinragen.claims.lexicon import load_lexicon
from clinragen.claims.quotations import QUOTATION, has_stray_mark
from clinragen.claims.rationale import Complaint
from clinragen.claims.types import CONTRADICTED, Claim
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

# Why a rationale is rejected, in the order of reports.
REASONS = (
    "empty",  # a part is blank
    "malformed",  # it has a marker of the output format, code or markup, or a quotation mark outside a quotation
    "unfinished",  # it ends within a sentence
    "missing_disease",  # a known disease is not named
    "other_disease",  # a disease is named that is not among the known ones
    "contradicted_series",  # a statement about a variable is contradicted
    "contradicted_note",  # a quotation is not in the note, or the note does not affirm it
    "contrary_tie",  # the knowledge base ties the evidence to other diseases only, or has the opposite as a sign
    "contradicted_absence",  # what is said not to be there is there
)
_REASON_OF = {"note": "contradicted_note", "tie": "contrary_tie", "absence": "contradicted_absence"}

_MARKUP = re.compile(r"#{2,}|```|</?[a-z_]+>|\{\s*\"|\"\s*\}|\[/?[A-Z]{3,}\]|<\||\|>")
_END = re.compile(r"[.!?][\"”'’)\]]*\s*\Z")


@dataclass(frozen=True)
class FilterVerdict:
    """Whether a rationale is kept, and why not.

    Args:
        kept: Whether it may be distilled.
        reasons: Those of `REASONS` that apply.
        missing, other: Names of the known diseases that are not named, and of the named ones that are not known.
        claims: All checked claims.
    """

    kept: bool
    reasons: tuple[str, ...]
    missing: tuple[str, ...]
    other: tuple[str, ...]
    claims: tuple[Claim, ...]

    @property
    def contradicted(self) -> tuple[Claim, ...]:
        """The claims that the data contradict."""
        return tuple(claim for claim in self.claims if claim.verdict == CONTRADICTED)

    @property
    def complaints(self) -> tuple[Complaint, ...]:
        """The faults that a repair has to remove, in the order of `REASONS`."""
        found = {
            "missing_disease": [Complaint("missing_disease", name) for name in self.missing],
            "other_disease": [Complaint("other_disease", name) for name in self.other],
        }
        for claim in self.contradicted:
            found.setdefault(_reason(claim), []).append(Complaint(_reason(claim), claim.text, claim.evidence.reason))
        return tuple(one for reason in self.reasons for one in found.get(reason, [Complaint(reason)]))


def filter_rationale(
    text: str | tuple[str, str],
    example: Mapping[str, Any],
    checking: Checking,
    diseases: Sequence[str] | None = None,
) -> FilterVerdict:
    """Judge one rationale against its example.

    A disease is named by its exact name outside quotations; case and line breaks do not matter. A
    contradicted guess ("possibly febrile") counts as contradicted; what is unverifiable does not count, and neither
    does a tie that the knowledge base does not know.

    Args:
        text: The rationale, as one text or as (R_m, R_t).
        example: A row of the data contract.
        checking: What it is checked by.
        diseases: Names of the known diseases; by default those of the example.

    Raises:
        InputDataError: `diseases` has a name that the vocabulary does not have.
    """
    parts = (text,) if isinstance(text, str) else tuple(text)
    vocabulary = checking.vocabulary
    known = set(example["diagnoses"] if diseases is None else diseases)
    unknown = sorted(known - set(vocabulary.disease_names))
    if unknown:
        raise InputDataError(f"unknown disease '{unknown[0]}'; use the exact names of the vocabulary")
    found: set[str] = set()
    if any(not part.strip() for part in parts):
        found.add("empty")
    if any(_MARKUP.search(part) or has_stray_mark(part) for part in parts):
        found.add("malformed")
    if any(part.strip() and not _END.search(part) for part in parts):
        found.add("unfinished")
    named = named_diseases(" ".join(parts), vocabulary)
    missing = tuple(one.name for one in vocabulary.diseases if one.name in known and one.key not in named)
    other = tuple(one.name for one in vocabulary.diseases if one.name not in known and one.key in named)
    found |= {"missing_disease"} if missing else set()
    found |= {"other_disease"} if other else set()
    checker = PatientChecker(LabSeries.from_example(vocabulary, example), example["note"], checking)
    claims = [claim for part in parts for claim in checker.check(part)]
    found |= {_reason(claim) for claim in claims if claim.verdict == CONTRADICTED}
    reasons = tuple(reason for reason in REASONS if reason in found)
    return FilterVerdict(not reasons, reasons, missing, other, tuple(claims))


def named_diseases(text: str, vocabulary: Vocabulary) -> set[str]:
    """Keys of the diseases that a text names outside quotations; in a longer name the shorter one does not count."""
    return load_lexicon(vocabulary).diseases_in(QUOTATION.sub(" ", text))


def _reason(claim: Claim) -> str:
    return _REASON_OF.get(claim.kind, "contradicted_series")
