"""Findings that the checker makes in a patient's data and that an answer does not mention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from clinragen.claims.argument_words import NOTE
from clinragen.claims.check import Checking
from clinragen.claims.patient_evidence import KnowledgeEvidence
from clinragen.claims.sentences import NOTHING, SentenceChecker
from clinragen.demo.cited import Cited
from clinragen.evaluation.scores.findings import strongest_variables
from clinragen.inference import Explanation
from clinragen.knowledge.mentions import Mention
from clinragen.verification.missing import gaps
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.series_signs import Finding
from modeling_clinragen.vocabulary_clinragen import RangeSet

LISTED, STRONG, UNLISTED = "listed", "strong", "unlisted"
"""Why to look at something: evidence of a listed disease, a strong finding, or evidence of another disease."""


@dataclass(frozen=True)
class NotMentioned:
    """A finding that no sentence mentions.

    Args:
        why: `LISTED`, `STRONG` or `UNLISTED`.
        words: What was found.
        about: The disease that it is evidence for; "" for a strong finding.
        cited: Where it is.
    """

    why: str
    words: str
    about: str
    cited: Cited


@dataclass(frozen=True)
class _Found:
    why: str
    words: str
    about: str = ""
    mention: Mention | None = None
    finding: Finding | None = None


def not_mentioned(answer: Explanation, checking: Checking) -> list[NotMentioned]:
    """The findings that no sentence of an answer mentions, those of listed diseases first.

    Args:
        answer: The whole answer.
        checking: What it was checked by.
    """
    checker = SentenceChecker(answer.patient, checking, answer.diagnoses)
    series, ranges = answer.patient.series, checking.range_set
    found = [*_of_listed(checker, answer), *_strong(checker.evidence, answer), *_of_others(checker.evidence, answer)]
    listed = []
    for number, one in enumerate(found, start=1):
        words = one.words
        hours: dict[str, frozenset[float]] = {}
        if one.finding is not None:
            words, hours[one.finding.variable] = finding_words(one.finding, series, ranges)
        spans = () if one.mention is None else ((one.mention.start, one.mention.end),)
        cited = Cited(f"n{number}", f"finding {number} that is not mentioned", NOTHING, spans, hours)
        listed.append(NotMentioned(one.why, words, one.about, cited))
    return listed


def finding_words(finding: Finding, series: LabSeries, ranges: RangeSet) -> tuple[str, frozenset[float]]:
    """A finding of a series in words, and the hours of the readings that it is about."""
    variable = series.vocabulary.variable(finding.variable)
    column = series.vocabulary.variable_keys.index(finding.variable)
    seen = series.observed[:, column]
    hours, values = series.hours[seen], series.values[seen, column]
    unit = "" if variable.unitless else f" {variable.unit}"
    if finding.direction in ("low", "high"):
        held = np.array([ranges.level(variable.key, float(value)) == finding.direction for value in values], bool)
        least = float(values.min() if finding.direction == "low" else values.max())
        reach = "down to" if finding.direction == "low" else "up to"
        words = f"{finding.direction} in {held.sum()} of {len(values)} readings, {reach} {least:.4g}{unit}"
        return f"{variable.name} is {words}", frozenset(hours[held].tolist())
    course = {"rising": "rises from {} to {}", "falling": "falls from {} to {}", "erratic": "swings between {} and {}"}
    words = course[finding.direction].format(finding.start, finding.end)
    return f"{variable.name} {words}{unit}", frozenset(hours.tolist())


def _of_listed(checker: SentenceChecker, answer: Explanation) -> Iterator[_Found]:
    evidence, had = checker.evidence, set()
    for gap in gaps(checker, answer.sentences):
        if gap.source == NOTE:
            mention = evidence.mentions[gap.disease][0]
            yield _Found(LISTED, _quoted(mention), gap.name, mention=mention)
        elif gap.disease not in had:
            had.add(gap.disease)
            finding = evidence.firmest_signs[gap.disease] if gap.variable else evidence.signs[gap.disease][0]
            yield _Found(LISTED, "", gap.name, finding=finding)


def _strong(evidence: KnowledgeEvidence, answer: Explanation) -> Iterator[_Found]:
    mentioned = {claim.variable for sentence in answer.sentences for claim in sentence.claims}
    findings = list(evidence.findings.values())
    for key in strongest_variables(findings):
        if key not in mentioned:
            finding = max((one for one in findings if one.variable == key), key=lambda one: one.weight)
            yield _Found(STRONG, "", finding=finding)


def _of_others(evidence: KnowledgeEvidence, answer: Explanation) -> Iterator[_Found]:
    names = answer.patient.series.vocabulary.name_of_disease
    for key, mentions in evidence.mentions.items():
        if names[key] not in answer.diagnoses:
            yield _Found(UNLISTED, _quoted(mentions[0]), names[key], mention=mentions[0])


def _quoted(mention: Mention) -> str:
    return f'The note has "{mention.quote}"'


def counted(found: Sequence[NotMentioned]) -> dict[str, list[NotMentioned]]:
    """The findings by why they should be looked at, without empty groups."""
    by_why = {why: [one for one in found if one.why == why] for why in (LISTED, STRONG, UNLISTED)}
    return {why: ones for why, ones in by_why.items() if ones}
