"""Places in a patient's data that something on the page is about: words, note and charts point at one another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from clinragen.checking.checked import MAX_PLACES
from clinragen.claims.sentences import CheckedSentence

Span = tuple[int, int]


@dataclass(frozen=True)
class Cited:
    """Places in the data.

    Args:
        name: Names what is about them, on the page: the elements that carry a common name light up together.
        label: The same for a person, such as "sentence 3".
        verdict: The verdict on it; it decides the colour of the places.
        spans: Characters of the note, as (first, last exclusive).
        hours: Hours of readings, by variable key.
    """

    name: str
    label: str
    verdict: str
    spans: tuple[Span, ...] = ()
    hours: Mapping[str, frozenset[float]] = field(default_factory=dict)


def cited_by(sentences: Iterable[CheckedSentence]) -> list[Cited]:
    """The places that each sentence of a rationale cites; sentences are numbered from 1."""
    return [_cited(number, sentence) for number, sentence in enumerate(sentences, start=1)]


def _cited(number: int, sentence: CheckedSentence) -> Cited:
    spans: dict[Span, None] = {}
    hours: dict[str, frozenset[float]] = {}
    for claim in sentence.claims:
        evidence = claim.evidence
        spans |= dict.fromkeys(evidence.spans[:MAX_PLACES])
        if evidence.cue_span is not None:
            spans[evidence.cue_span] = None
        if claim.variable is not None and evidence.hours:
            hours[claim.variable] = hours.get(claim.variable, frozenset()) | frozenset(evidence.hours)
    return Cited(f"s{number}", f"sentence {number}", sentence.verdict, tuple(spans), hours)
