"""Omission on any data: which of the findings that the checker makes itself does a rationale mention?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from clinragen.evaluation.checked import CheckedRationale, is_finding
from clinragen.evaluation.score_types import Entries, RationaleScore, WrittenRationales
from clinragen.evaluation.texts import each_text
from clinragen.knowledge.mentions import Mention
from dataset_builder.contract.series_signs import Finding
from modeling_clinragen.note_clinragen import find_spans
from trainers.formatting import NOTHING, format_percent, markdown_table

STRONGEST = 3
"""How many variables of a series are expected in its rationale, whatever the disease."""
COUNTED = ("note", "series", "strongest")


def finding_scores(written: WrittenRationales) -> dict[str, Any]:
    """Shares of findings that are mentioned, by text ("raw", "shown"), with intervals (`Bootstrap.quotient`).

    `note` and `series` are about the diseases that an answer lists and for which the knowledge base finds evidence
    there: the share whose evidence is cited in a sentence that names the disease. `strongest` is about the `STRONGEST`
    variables of each series, whatever the disease: those with the largest share of abnormal readings, where a trend or
    a swing counts as half (`dataset_builder.contract.series_signs`); of equal ones the vocabulary's first. Without a
    knowledge base the first two have nothing to count.
    """
    return written.by_text(lambda rationales: _score(rationales, written))


def strongest_variables(findings: Iterable[Finding]) -> list[str]:
    """Keys of the variables with the strongest findings, at most `STRONGEST`, strongest first."""
    strength: dict[str, float] = {}
    for finding in findings:
        strength[finding.variable] = max(finding.weight, strength.get(finding.variable, 0.0))
    return sorted(strength, key=lambda variable: -strength[variable])[:STRONGEST]


def mentioned_findings(rationale: CheckedRationale, listed: frozenset[str]) -> dict[str, tuple[int, int]]:
    """For one rationale and the keys of the listed diseases: by `COUNTED`, how many are mentioned, and of how many."""
    own = rationale.given.checker.evidence
    noted = [_quotes(rationale, key, own.mentions[key]) for key in listed & own.mentions.keys()]
    signed = [
        bool({finding.variable for finding in own.signs[key]} & rationale.variables(key))
        for key in listed & own.signs.keys()
    ]
    strongest = strongest_variables(own.findings.values())
    mentioned = {claim.variable for claim in rationale.claims if is_finding(claim)}
    return {
        "note": (sum(noted), len(noted)),
        "series": (sum(signed), len(signed)),
        "strongest": (len(mentioned.intersection(strongest)), len(strongest)),
    }


def _score(rationales: Sequence[CheckedRationale], written: WrittenRationales) -> dict[str, Any]:
    found = [mentioned_findings(*pair) for pair in zip(rationales, written.listed, strict=True)]
    counts = {name: np.array([row[name] for row in found], dtype=float).T for name in COUNTED}
    return {name: written.bootstrap.quotient(*counts[name]) for name in COUNTED}


def _quotes(rationale: CheckedRationale, disease: str, mentions: Sequence[Mention]) -> bool:
    """Whether a sentence that names the disease quotes words that stand, in part at least, where it is mentioned."""
    quoted = [span for words in rationale.quotations(disease) for span in find_spans(rationale.given.note, words)]
    return any(start < one.end and one.start < end for start, end in quoted for one in mentions)


def _compute(written: WrittenRationales) -> dict[str, Any]:
    return {"findings": finding_scores(written)}


def _section(systems: Mapping[str, Entries]) -> list[str]:
    rows = [
        [title, *(format_percent(scores[name]) for name in COUNTED)]
        for title, scores in each_text(systems, "findings").items()
    ]
    header = [
        *("Rationales", "Listed diseases with evidence in the note", "Listed diseases with evidence in the series"),
        f"The {STRONGEST} strongest findings of the series",
    ]
    return [
        "## Findings that are mentioned",
        "What the checker finds by itself, without a truth: of the listed diseases for which the knowledge base finds "
        "evidence, the share whose evidence is cited in a sentence that names the disease; and of the variables with "
        "the strongest findings in the series, whatever the disease, the share that is mentioned anywhere.",
        markdown_table(header, rows),
    ]


def _verdict(scores: Entries) -> list[str]:
    # On synthetic patients the truth itself is at hand (`evidence`).
    found = scores["findings"]["shown"]
    if scores["evidence"] is not None or (found["note"]["value"] is None and found["series"]["value"] is None):
        return []
    note, series = (format_percent(found[source]) for source in ("note", "series"))
    parts = [
        f"{share} of those with evidence in the {source}"
        for share, source in ((note, "note"), (series, "series"))
        if share != NOTHING
    ]
    return [f"Of the diseases that it lists, it cites the evidence of {' and of '.join(parts)}."]


FINDINGS = RationaleScore(_compute, section=_section, verdict=_verdict, of_teacher=True)
