"""From passages to a knowledge base: curated and extracted terms, each with the passages that support it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clinragen.knowledge.abbreviations import Abbreviations, find_definitions
from clinragen.knowledge.base import SCHEMA_VERSION, passage_id
from clinragen.knowledge.curated import Curated
from clinragen.knowledge.extraction import Candidate, Extractor, Retrieved
from clinragen.knowledge.merge import merge
from clinragen.knowledge.reader import parse_knowledge
from clinragen.knowledge.support import PassageIndex
from clinragen.retrieval.passages import Passage
from clinragen.retrieval.topics import Topic
from dataset_builder.storage.files import fingerprint


async def build_knowledge(
    topics: Sequence[Topic],
    retrieved: Retrieved,
    curated: Curated,
    extractors: Sequence[Extractor] = (),
    sources: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The knowledge base as JSON; the same inputs give the same.

    Args:
        topics: All topics of the current vocabulary.
        retrieved: Their passages, best first.
        curated: Terms that people have judged.
        extractors: What reads further terms out of the passages.
        sources: What `made_by` says of where the passages come from.

    Raises:
        InputDataError: A topic has no term at all.
    """
    passages = {passage_id(passage): passage for found in retrieved.values() for passage in found}
    index = PassageIndex(passages.values())
    proposed: dict[str, list[tuple[str, Candidate]]] = {topic.key: [] for topic in topics}
    made_by = [curated.recorded()] if curated.topics else []
    for extractor in extractors:
        extraction = await extractor.extract(topics, retrieved)
        for key, candidates in extraction.candidates.items():
            proposed[key] += [(extractor.name, candidate) for candidate in candidates]
        made_by.append({"name": extractor.name, "settings": extractor.settings, "counts": dict(extraction.counts)})
    sections: dict[str, dict[str, Any]] = {"disease": {}, "variable": {}}
    for topic in topics:
        entry = curated.entry(topic)
        sections[topic.kind][topic.key] = _supported(entry, proposed[topic.key], retrieved[topic.key], index)
    content = {
        "schema_version": SCHEMA_VERSION,
        "origin": curated.origin,
        "made_by": {
            "sources": list(sources),
            "extractors": made_by,
            "passages": fingerprint([passage.to_dict() for passage in passages.values()]),
        },
        "diseases": sections["disease"],
        "variables": sections["variable"],
        "passages": {name: passage.to_dict() for name, passage in passages.items()},
    }
    parse_knowledge(content, "knowledge")
    return content


def _supported(
    entry: Mapping[str, Any],
    proposed: Iterable[tuple[str, Candidate]],
    passages: Sequence[Passage],
    index: PassageIndex,
) -> dict[str, Any]:
    """A curated entry with the extracted terms, and with each term's passages among those of the topic."""
    names = [passage_id(passage) for passage in passages]
    abbreviations = Abbreviations(definition for passage in passages for definition in find_definitions(passage.text))
    judged = [surface for term in entry["terms"] for surface in _surfaces(term)]
    extracted = [
        {
            "term": concept.term,
            "kind": concept.kind,
            "cited": False,
            "source": f"extracted: {', '.join(concept.found_by)}",
            "spellings": list(concept.spellings),
        }
        for concept in merge(proposed, judged, abbreviations)
    ]
    with_passages = [
        [{**term, "passages": list(index.holding(_surfaces(term), names))} for term in terms]
        for terms in (entry["terms"], extracted)
    ]
    terms, found = with_passages
    return {**entry, "terms": terms, "extracted": [term for term in found if term["passages"]], "passages": names}


def _surfaces(term: Mapping[str, Any]) -> list[str]:
    return [term["term"], *term["spellings"]]
