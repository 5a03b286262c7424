"""From passages to a knowledge base: curated and extracted terms, each with the passages that support it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clinragen.knowledge.abbreviations import Abbreviations, find_definitions
from clinragen.knowledge.base import SCHEMA_VERSION, passage_id
from clinragen.knowledge.curated import Curated, load_curated, nothing_curated
from clinragen.knowledge.extraction import Candidate, Extraction, Extractor, Retrieved
from clinragen.knowledge.merge import merge
from clinragen.knowledge.reader import parse_knowledge, shipped_content
from clinragen.knowledge.support import PassageIndex
from clinragen.retrieval.passages import Passage
from clinragen.retrieval.topics import Topic, load_topics
from dataset_builder.contract.definitions import Definitions
from dataset_builder.storage.files import fingerprint


@dataclass(frozen=True)
class Material:
    """Everything that a knowledge base is made of, besides what extractors find.

    Args:
        topics: All topics of the vocabulary.
        retrieved: Their passages, best first.
        sources: What `made_by` says about the origin of the passages.
    """

    topics: Sequence[Topic]
    retrieved: Retrieved
    sources: Sequence[Mapping[str, Any]] = ()


async def build_knowledge(
    definitions: Definitions,
    material: Material,
    extractors: Sequence[Extractor] = (),
    *,
    curated: bool = True,
) -> dict[str, Any]:
    """Make a knowledge base, as JSON, from retrieved passages. The same inputs give the same result.

    Args:
        definitions: The vocabulary, and the terms, values and signs that people wrote.
        material: Topics with their passages.
        extractors: Extract further terms from the passages.
        curated: Whether the written terms, values and signs are included.

    Raises:
        InputDataError: A topic has no term at all, or a written entry is malformed.
    """
    extractions = [
        (extractor, await extractor.extract(material.topics, material.retrieved)) for extractor in extractors
    ]
    written = load_curated(definitions) if curated else nothing_curated(definitions)
    return _assembled(definitions, material, written, extractions)


def base_of(definitions: Definitions) -> dict[str, Any]:
    """The knowledge base, as JSON, of a vocabulary without retrieval.

    It has the terms, values and signs that people wrote, and the shipped passages of the topics that the shipped base
    knows. For the shipped vocabulary it is the shipped base.

    Raises:
        InputDataError: A disease or variable has no terms, or an entry is malformed.
    """
    shipped = shipped_content()
    known = {**shipped["diseases"], **shipped["variables"]}
    passages = {name: Passage.from_dict(entry) for name, entry in shipped["passages"].items()}
    topics = load_topics(definitions)
    retrieved = {
        topic.key: [passages[name] for name in known.get(topic.key, {}).get("passages", [])] for topic in topics
    }
    material = Material(topics, retrieved, shipped["made_by"]["sources"])
    return _assembled(definitions, material, load_curated(definitions), [])


def _assembled(
    definitions: Definitions,
    material: Material,
    curated: Curated,
    extractions: Iterable[tuple[Extractor, Extraction]],
) -> dict[str, Any]:
    topics, retrieved = material.topics, material.retrieved
    passages = {passage_id(passage): passage for found in retrieved.values() for passage in found}
    index = PassageIndex(passages.values())
    proposed: dict[str, list[tuple[str, Candidate]]] = {topic.key: [] for topic in topics}
    made_by = [curated.describe()] if curated.topics else []
    for extractor, extraction in extractions:
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
            "sources": list(material.sources),
            "extractors": made_by,
            "passages": fingerprint([passage.to_dict() for passage in passages.values()]),
        },
        "diseases": sections["disease"],
        "variables": sections["variable"],
        "passages": {name: passage.to_dict() for name, passage in passages.items()},
    }
    parse_knowledge(content, "knowledge", definitions.vocabulary)
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
    terms, found = (
        [{**term, "passages": list(index.holding(_surfaces(term), names))} for term in listed]
        for listed in (entry["terms"], extracted)
    )
    return {**entry, "terms": terms, "extracted": [term for term in found if term["passages"]], "passages": names}


def _surfaces(term: Mapping[str, Any]) -> list[str]:
    return [term["term"], *term["spellings"]]
