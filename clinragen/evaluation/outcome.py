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
    """A model against one other system in micro F1.

    Args:
        other: Key of the other system.
        difference: The model minus the other, paired on the same resampled patients.
        beats: Whether the whole interval of the difference lies above zero.
        worse: Whether it lies below zero.
        intervals_apart: Whether the two systems' own intervals do not overlap, a stricter and cruder question.
        model: Key of the model.
    """

    other: str
    difference: Interval
    beats: bool
    worse: bool
    intervals_apart: bool
    model: str = MAIN

    @property
    def answer(self) -> str:
        """ "yes", or "no" with the reason."""
        if self.beats:
            return "yes"
        return "no, it is worse" if self.worse else "no, the interval includes zero"


def verdicts(metrics: Mapping[str, Any]) -> list[Verdict]:
    """The full model against every other system, in the order of `in_order`."""
    return [_verdict(metrics, MAIN, name) for name, _ in in_order(metrics["systems"]) if name != MAIN]


def against_strongest(metrics: Mapping[str, Any]) -> list[Verdict]:
    """Every model against the strongest baseline that reads the same, in the order of `in_order`."""
    return [_verdict(metrics, model, other) for model, other in in_order(metrics.get("strongest", {}))]


def _verdict(metrics: Mapping[str, Any], model: str, name: str) -> Verdict:
    difference = metrics["differences"][f"{model}_minus_{name}"]["micro_f1"]
    own, other = (metrics["systems"][system]["micro_f1"] for system in (model, name))
    apart = own["low"] > other["high"] or other["low"] > own["high"]
    return Verdict(name, difference, difference["low"] > 0, difference["high"] < 0, apart, model)


def verdict_sentence(metrics: Mapping[str, Any]) -> str:
    """The result in words: how the models stand to the strongest other systems and what the full model beats, both in
    micro F1, and whether what it writes holds.
    """

    def named(which: list[Verdict]) -> str:
        return "; ".join(f"{system_name(item.other).lower()}, {format_difference(item.difference)}" for item in which)

    strongest = against_strongest(metrics)
    said = {item.other for item in strongest if item.model == MAIN}
    items = [item for item in verdicts(metrics) if item.other not in said]
    parts = [f"The full model's micro F1 is {format_score(metrics['systems'][MAIN]['micro_f1'])}."]
    parts += [_about_strongest(item, metrics) for item in strongest if item.model == MAIN]
    beaten = [item for item in items if item.beats]
    worse = [item for item in items if item.worse]
    unclear = [item for item in items if not item.beats and not item.worse]
    if beaten:
        parts.append(f"It beats: {named(beaten)}.")
    if unclear:
        parts.append(f"It is not shown to beat (the interval includes zero): {named(unclear)}.")
    if worse:
        parts.append(f"It is worse than: {named(worse)}.")
    parts += [_about_strongest(item, metrics) for item in strongest if item.model != MAIN]
    return " ".join([*parts, *_about_rationales(metrics)])


def _about_strongest(item: Verdict, metrics: Mapping[str, Any]) -> str:
    title = system_name(item.model)
    model = "It" if item.model == MAIN else title
    score = format_score(metrics["systems"][item.other]["micro_f1"])
    other = f"the strongest other system that reads the same, {system_name(item.other).lower()}, micro F1 {score}"
    difference = f"difference {format_difference(item.difference)}"
    if item.worse:
        return f"{model} loses to {other}: {difference}."
    if item.beats:
        return f"{model} beats {other}: {difference}."
    return f"{model} is not shown to beat {other}: {difference}, and the interval includes zero."


def _about_rationales(metrics: Mapping[str, Any]) -> list[str]:
    if MAIN not in metrics.get("rationale", {}):
        return []
    entries = metrics["rationale"][MAIN]
    return [sentence for score in RATIONALE_SCORES for sentence in score.verdict(entries)]
