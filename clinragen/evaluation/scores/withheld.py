"""How much of what a model wrote is not shown, because it did not hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from clinragen.evaluation.score_types import Entries, RationaleScore, WrittenRationales
from trainers.formatting import format_percent, format_rate, markdown_table


def withheld_scores(written: WrittenRationales) -> dict[str, Any]:
    """Shares with their intervals (`Bootstrap.quotient`).

    Of the sentences as written, `withheld` is the share with nothing shown in its place and `rewritten` the share that
    another sentence is shown for. `asked` is how many sentences a rationale were added because evidence was missing,
    and `silenced` the share of rationales of which nothing is left.
    """
    quotient = written.bootstrap.quotient
    answers = written.answers
    sentences = np.array([answer.sentences for answer in answers])
    parsed = np.array([answer.raw is not None for answer in answers])
    silenced = np.array([answer.withheld > 0 and not (answer.shown or "").strip() for answer in answers])
    return {
        "withheld": quotient(np.array([answer.withheld for answer in answers]), sentences),
        "rewritten": quotient(np.array([answer.rewritten for answer in answers]), sentences),
        "asked": quotient(np.array([answer.asked for answer in answers]), parsed),
        "silenced": quotient(silenced, parsed),
    }


def _compute(written: WrittenRationales) -> dict[str, Any]:
    return {"sentences": withheld_scores(written)}


def _section(systems: Mapping[str, Entries]) -> list[str]:
    if not any(_changes(entries) for entries in systems.values()):
        return []
    rows = [
        [
            system,
            format_percent(scores["sentences"]["withheld"]),
            format_percent(scores["sentences"]["rewritten"]),
            format_rate(scores["sentences"]["asked"]),
            format_percent(scores["sentences"]["silenced"]),
        ]
        for system, scores in systems.items()
    ]
    header = ["System", "Withheld", "Written again", "Added a rationale", "Rationales of which nothing is left"]
    return [
        "### Sentences that are not shown as written",
        "A sentence that does not hold is written again; where every try fails, it is withheld. Sentences are added "
        "where a rationale leaves evidence out.",
        markdown_table(header, rows),
    ]


def _changes(scores: Entries) -> bool:
    return any(scores["sentences"][name]["count"] for name in ("withheld", "rewritten", "asked"))


def _verdict(scores: Entries) -> list[str]:
    if not _changes(scores):
        return []
    return [f"{format_percent(scores['sentences']['withheld'])} of its sentences are withheld."]


WITHHELD = RationaleScore(
    _compute,
    section=_section,
    terminal=(("Sentences withheld", lambda scores: format_percent(scores["sentences"]["withheld"])),),
    verdict=_verdict,
)
