"""Which rationales may be distilled: those that contradict nothing, name every known disease and no other, and parse.

A student repeats the reasoning it is taught, wrong steps included; likeness to a reference does not show them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataset_builder.contract.vocabulary import Disease, RangeSet, load_diseases

from clinragen.claims.check import check_rationale
from clinragen.claims.types import CONTRADICTED, KINDS, VERDICTS, Claim
from clinragen.evaluation.diagnosis import fold
from clinragen.teachers.teacher import Complaint
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.errors import InputDataError

# Why a rationale is rejected, in the order in which reasons are told.
REASONS = (
    "empty",  # a part is blank
    "malformed",  # it holds a mark of the output format, code or markup, or a quotation that is not closed
    "unfinished",  # it ends within a sentence
    "missing_disease",  # a known disease is not named
    "other_disease",  # a disease is named that is not known
    "contradicted_series",  # a statement about a variable is contradicted
    "contradicted_note",  # a quotation is not in the note, or the note does not affirm it
)

_MARKUP = re.compile(r"#{2,}|```|</?[a-z_]+>|\{\s*\"|\"\s*\}|\[/?[A-Z]{3,}\]|<\||\|>")
_END = re.compile(r"[.!?][\"”'’)\]]*\s*\Z")
_QUOTE = re.compile(r"[\"“„«][^\"“”„«»\n]{0,400}[\"”»]")


@dataclass(frozen=True)
class FilterVerdict:
    """Whether a rationale is kept. `reasons` are of `REASONS`; the diseases are keys; `claims` are those checked."""

    kept: bool
    reasons: tuple[str, ...]
    missing: tuple[str, ...]
    other: tuple[str, ...]
    claims: tuple[Claim, ...]

    @property
    def contradicted(self) -> tuple[Claim, ...]:
        """The claims that speak against it."""
        return tuple(claim for claim in self.claims if claim.verdict == CONTRADICTED)

    @property
    def complaints(self) -> tuple[Complaint, ...]:
        """What a repair has to change, in the order of `REASONS`."""
        names = {disease.key: disease.name for disease in load_diseases()}
        found = {
            "missing_disease": [Complaint("missing_disease", names[key]) for key in self.missing],
            "other_disease": [Complaint("other_disease", names[key]) for key in self.other],
        }
        for claim in self.contradicted:
            found.setdefault(_reason(claim), []).append(Complaint(_reason(claim), claim.text, claim.evidence.reason))
        return tuple(one for reason in self.reasons for one in found.get(reason, [Complaint(reason)]))


def filter_rationale(
    text: str | tuple[str, str],
    example: Mapping[str, Any],
    diseases: Sequence[str] | None = None,
    *,
    range_set: RangeSet | None = None,
) -> FilterVerdict:
    """Judge one rationale, as one text or as (R_m, R_t), against its example of the data contract.

    `diseases` are the names of the known diseases, those of the example unless told otherwise. A disease is named by
    its exact name, case and line breaks aside, outside quotations. A contradicted guess ("possibly febrile") counts as
    contradicted; what cannot be verified does not count. Raises `InputDataError` for a name that is no disease of the
    vocabulary.
    """
    parts = (text,) if isinstance(text, str) else tuple(text)
    vocabulary = load_diseases()
    known = list(example["diagnoses"]) if diseases is None else list(diseases)
    unknown = sorted(set(known) - {disease.name for disease in vocabulary})
    if unknown:
        raise InputDataError(f"disease '{unknown[0]}' is not in phenotypes.yaml; give the exact name")
    found: set[str] = set()
    if any(not part.strip() for part in parts):
        found.add("empty")
    if any(_MARKUP.search(part) or _unclosed(part) for part in parts):
        found.add("malformed")
    if any(part.strip() and not _END.search(part) for part in parts):
        found.add("unfinished")
    named = named_diseases(" ".join(parts), vocabulary)
    missing = tuple(disease.key for disease in vocabulary if disease.name in known and disease.key not in named)
    other = tuple(disease.key for disease in vocabulary if disease.name not in known and disease.key in named)
    found |= {"missing_disease"} if missing else set()
    found |= {"other_disease"} if other else set()
    series = LabSeries.from_example(example)
    claims: list[Claim] = []
    for part in parts:
        claims += check_rationale(
            part, series.hours, series.values, series.observed, note=example["note"], range_set=range_set
        )
    found |= {_reason(claim) for claim in claims if claim.verdict == CONTRADICTED}
    reasons = tuple(reason for reason in REASONS if reason in found)
    return FilterVerdict(not reasons, reasons, missing, other, tuple(claims))


def named_diseases(text: str, diseases: Sequence[Disease]) -> set[str]:
    """Keys of the diseases that a text names outside quotations; in a longer name the shorter one does not count."""
    keys = {fold(disease.name): disease.key for disease in diseases}
    names = sorted(keys, key=len, reverse=True)
    # A line may break within a name.
    spelled = "|".join(r"\s+".join(map(re.escape, name.split())) for name in names)
    pattern = re.compile(rf"(?<!\w)(?:{spelled})(?!\w)", re.IGNORECASE)
    return {keys[fold(found.group())] for found in pattern.finditer(_QUOTE.sub(" ", text))}


def _reason(claim: Claim) -> str:
    return "contradicted_note" if claim.kind == "note" else "contradicted_series"


def _unclosed(text: str) -> bool:
    return text.count('"') % 2 == 1 or text.count("“") != text.count("”")


class FilterReport:
    """Adds up verdicts: rates by reason and disease, and claims by kind and verdict. Keeps no text."""

    def __init__(self, teacher: str) -> None:
        self._teacher = teacher
        self._examples = self._kept = 0
        self._reasons: Counter[str] = Counter()
        self._claims: Counter[tuple[str, str]] = Counter()
        self._hedged = 0
        self._by_disease: dict[str, Counter[str]] = {disease.key: Counter() for disease in load_diseases()}
        self._keys = {disease.name: disease.key for disease in load_diseases()}

    def add(self, verdict: FilterVerdict, diseases: Sequence[str]) -> None:
        """Count one rationale, whose known diseases have these names."""
        self._examples += 1
        self._kept += verdict.kept
        self._reasons.update(verdict.reasons)
        self._claims.update((claim.kind, claim.verdict) for claim in verdict.claims)
        self._hedged += sum(claim.hedged for claim in verdict.contradicted)
        for name in diseases:
            counts = self._by_disease[self._keys[name]]
            counts["examples"] += 1
            counts["rejected"] += not verdict.kept
            counts.update(verdict.reasons)

    def report(self) -> dict[str, Any]:
        """JSON-able: counts and rates. A rate over no examples is None."""
        rejected = self._examples - self._kept
        return {
            "teacher": self._teacher,
            "examples": self._examples,
            "kept": self._kept,
            "rejected": rejected,
            "rejection_rate": _rate(rejected, self._examples),
            "reasons": {reason: _counted(self._reasons[reason], self._examples) for reason in REASONS},
            "diseases": {
                key: {
                    "examples": counts["examples"],
                    "rejected": counts["rejected"],
                    "rejection_rate": _rate(counts["rejected"], counts["examples"]),
                    "reasons": {reason: counts[reason] for reason in REASONS if counts[reason]},
                }
                for key, counts in self._by_disease.items()
            },
            "claims": {
                kind: {verdict: self._claims[kind, verdict] for verdict in VERDICTS}
                for kind in KINDS
                if any(self._claims[kind, verdict] for verdict in VERDICTS)
            },
            "contradicted_guesses": self._hedged,
        }


def _rate(count: int, total: int) -> float | None:
    return count / total if total else None


def _counted(count: int, total: int) -> dict[str, Any]:
    return {"count": count, "rate": _rate(count, total)}
