"""Merges terms that differ in case, plural or hyphens, or of which one abbreviates the other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from clinragen.knowledge.abbreviations import Abbreviations
from clinragen.knowledge.base import RELATED
from clinragen.knowledge.extraction import Candidate
from clinragen.text.normal_form import NormalForm, normal_form
from clinragen.text.term_index import split_words


@dataclass(frozen=True)
class Concept:
    """All candidates that mean the same. `forms` are the normal forms of all its surfaces."""

    term: str
    kind: str
    spellings: tuple[str, ...]
    found_by: tuple[str, ...]
    forms: frozenset[NormalForm]


def merge(
    proposed: Iterable[tuple[str, Candidate]], judged: Iterable[str], abbreviations: Abbreviations
) -> list[Concept]:
    """Merge the candidates of one topic into concepts, in order of appearance.

    Args:
        proposed: Candidates, each with the name of its extractor.
        judged: Surfaces of judged terms; a candidate that means the same as one of them is left out.
        abbreviations: Those that the topic's passages define.
    """
    taken = {form for surface in judged for form in _forms([surface], abbreviations)}
    concepts: list[Concept] = []
    for extractor, candidate in proposed:
        new = _concept(extractor, candidate, abbreviations)
        same = [concept for concept in concepts if concept.forms & new.forms]
        if not same:
            concepts.append(new)
            continue
        # A candidate may show that two concepts are one.
        index = concepts.index(same[0])
        concepts = [concept for concept in concepts if concept not in same]
        concepts.insert(index, _joined([*same, new]))
    return [concept for concept in concepts if not concept.forms & taken]


def _forms(surfaces: Iterable[str], abbreviations: Abbreviations) -> frozenset[NormalForm]:
    return frozenset(
        form for surface in surfaces for form in (normal_form(surface), normal_form(abbreviations.expand(surface)))
    )


def _concept(extractor: str, candidate: Candidate, abbreviations: Abbreviations) -> Concept:
    surfaces = [candidate.term, *candidate.spellings]
    long = abbreviations.long_forms.get(candidate.term)
    if long is not None:
        surfaces.insert(0, long)
    term, *spellings = _distinct(surfaces)
    return Concept(term, candidate.kind, tuple(spellings), (extractor,), _forms(surfaces, abbreviations))


def _joined(concepts: list[Concept]) -> Concept:
    term, *spellings = _distinct(surface for concept in concepts for surface in (concept.term, *concept.spellings))
    return Concept(
        term=term,
        # A specific kind wins over "related".
        kind=next((concept.kind for concept in concepts if concept.kind != RELATED), RELATED),
        spellings=tuple(spellings),
        found_by=tuple(dict.fromkeys(name for concept in concepts for name in concept.found_by)),
        forms=frozenset[NormalForm]().union(*(concept.forms for concept in concepts)),
    )


def _distinct(surfaces: Iterable[str]) -> list[str]:
    """The surfaces without those that match the same text as an earlier one."""
    kept: dict[NormalForm, str] = {}
    for surface in surfaces:
        kept.setdefault(tuple(word.folded for word in split_words(surface)), surface)
    return list(kept.values())
