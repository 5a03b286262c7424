"""Rates of rejection by reason and disease, and claims by kind and verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from clinragen.claims.filter import REASONS, FilterVerdict
from clinragen.claims.types import KINDS, VERDICTS
from modeling_clinragen.vocabulary_clinragen import Vocabulary


class FilterReport:
    """Adds up verdicts; keeps no text.

    Args:
        teacher: Name of the teacher in the report.
        vocabulary: Whose diseases are counted.
    """

    def __init__(self, teacher: str, vocabulary: Vocabulary) -> None:
        self._teacher = teacher
        self._examples = self._kept = 0
        self._reasons: Counter[str] = Counter()
        self._claims: Counter[tuple[str, str]] = Counter()
        self._hedged = 0
        self._by_disease: dict[str, Counter[str]] = {disease.key: Counter() for disease in vocabulary.diseases}
        self._keys = vocabulary.key_of_disease

    def add(self, verdict: FilterVerdict, diseases: Sequence[str]) -> None:
        """Count one rationale with the names of its known diseases."""
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
        """Counts and rates, JSON-able. A rate over no examples is None."""
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
