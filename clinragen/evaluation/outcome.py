"""Does the full model beat the others, and does what it writes hold? Computed, never written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clinragen.evaluation.scores import RATIONALE_SCORES
from clinragen.evaluation.systems import MAIN, in_order, system_name
from trainers.formatting import format_difference, format_score

Interval = Mapping[str, float]


@dataclass(frozen=True)
class Verdict:
    """The full model against one other system in micro F1.

    Args:
        other: Key of the other system.
        difference: Full model minus the other, paired on the same resampled patients.
        beats: Whether the whole interval of the difference lies above zero.
        worse: Whether it lies below zero.
        intervals_apart: Whether the two systems' own intervals do not overlap, a stricter and cruder question.
    """

    other: str
    difference: Interval
    beats: bool
    worse: bool
    intervals_apart: bool

    @property
    def answer(self) -> str:
        """ "yes", or "no" with the reason."""
        if self.beats:
            return "yes"
        return "no, it is worse" if self.worse else "no, the interval includes zero"


def verdicts(metrics: Mapping[str, Any]) -> list[Verdict]:
    """One verdict per compared system, in the order of `in_order`."""
    result = []
    full = metrics["systems"][MAIN]["micro_f1"]
    for name, scores in in_order(metrics["systems"]):
        if name == MAIN:
            continue
        difference = metrics["differences"][f"{MAIN}_minus_{name}"]["micro_f1"]
        other = scores["micro_f1"]
        apart = full["low"] > other["high"] or other["low"] > full["high"]
        result.append(Verdict(name, difference, difference["low"] > 0, difference["high"] < 0, apart))
    return result


def verdict_sentence(metrics: Mapping[str, Any]) -> str:
    """The result in words: what the full model beats in micro F1, and whether what it writes holds."""

    def named(which: list[Verdict]) -> str:
        return "; ".join(f"{system_name(item.other).lower()}, {format_difference(item.difference)}" for item in which)

    items = verdicts(metrics)
    parts = [f"The full model's micro F1 is {format_score(metrics['systems'][MAIN]['micro_f1'])}."]
    beaten = [item for item in items if item.beats]
    worse = [item for item in items if item.worse]
    unclear = [item for item in items if not item.beats and not item.worse]
    if beaten:
        parts.append(f"It beats: {named(beaten)}.")
    if unclear:
        parts.append(f"It is not shown to beat (the interval includes zero): {named(unclear)}.")
    if worse:
        parts.append(f"It is worse than: {named(worse)}.")
    return " ".join([*parts, *_about_rationales(metrics)])


def _about_rationales(metrics: Mapping[str, Any]) -> list[str]:
    if MAIN not in metrics.get("rationale", {}):
        return []
    entries = metrics["rationale"][MAIN]
    return [sentence for score in RATIONALE_SCORES for sentence in score.verdict(entries)]
