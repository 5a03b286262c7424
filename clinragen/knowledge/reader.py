"""Reads a knowledge base and checks it: `resources/knowledge.schema.json`, and what a schema cannot express."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from clinragen.knowledge.base import (
    SCHEMA_VERSION,
    DiseaseKnowledge,
    KnowledgeBase,
    Sign,
    Term,
    TopicKnowledge,
    ValueRule,
    passage_id,
)
from clinragen.knowledge.json_schema import first_problem
from clinragen.retrieval.passages import Passage
from dataset_builder.storage.files import read_json
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

RESOURCES = files("clinragen.knowledge") / "resources"

KNOWLEDGE = "knowledge.json"


def load_knowledge(path: Path | None, vocabulary: Vocabulary) -> KnowledgeBase:
    """Read a knowledge base.

    Args:
        path: Its file; None for the shipped one.
        vocabulary: Diseases and variables that it must cover.

    Raises:
        InputDataError: The file is missing or malformed; the message names the entry.
    """
    content = shipped_content() if path is None else read_json(path)
    return parse_knowledge(content, str(path or f"the shipped {KNOWLEDGE}"), vocabulary)


def shipped_content() -> dict[str, Any]:
    """The shipped knowledge base as JSON."""
    content: dict[str, Any] = json.loads((RESOURCES / KNOWLEDGE).read_text(encoding="utf-8"))
    return content


def parse_knowledge(content: Any, source: str, vocabulary: Vocabulary) -> KnowledgeBase:
    """Make a knowledge base of JSON content.

    Args:
        content: The content of a knowledge file.
        source: Where it comes from, for messages.
        vocabulary: Diseases and variables that it must cover.

    Raises:
        InputDataError: The content is malformed; the message begins with `source` and names the entry.
    """
    if not isinstance(content, Mapping) or content.get("schema_version") != SCHEMA_VERSION:
        raise InputDataError(
            f"{source}: expected schema_version {SCHEMA_VERSION}; make it again with `clinragen knowledge`"
        )
    problem = first_problem(content, _schema())
    if problem is not None:
        raise InputDataError(f"{source}: {problem}")
    diseases, variables = [disease.key for disease in vocabulary.diseases], vocabulary.variable_keys
    _check_keys(content, "diseases", diseases, source)
    _check_keys(content, "variables", variables, source)
    passages = {name: _passage(name, entry, source) for name, entry in content["passages"].items()}
    base = KnowledgeBase(
        schema_version=SCHEMA_VERSION,
        origin=content["origin"],
        made_by=content["made_by"],
        diseases=tuple(_disease(key, content["diseases"][key]) for key in diseases),
        variables=tuple(TopicKnowledge(key=key, **_common(content["variables"][key])) for key in variables),
        passages=passages,
    )
    for topic in base.topics:
        _check_topic(topic, passages, f"{source}: {topic.key}")
    for disease in base.diseases:
        where = f"{source}: {disease.key}"
        _refuse_repeated((f"sign '{sign.variable} {sign.direction}'" for sign in disease.signs), where)
        for sign in disease.signs:
            if sign.variable not in variables:
                raise InputDataError(
                    f"{where}: unknown variable '{sign.variable}' in a sign; use one of {', '.join(variables)}"
                )
    return base


@lru_cache(maxsize=1)
def _schema() -> Mapping[str, Any]:
    schema: Mapping[str, Any] = json.loads((RESOURCES / "knowledge.schema.json").read_text(encoding="utf-8"))
    return schema


def _check_keys(content: Mapping[str, Any], section: str, keys: Iterable[str], source: str) -> None:
    odd = sorted(set(content[section]) ^ set(keys))
    if odd:
        raise InputDataError(
            f"{source}: '{odd[0]}' in {section} is missing or not in the vocabulary; make a knowledge base of this "
            "vocabulary with `clinragen knowledge`"
        )


def _disease(key: str, entry: Mapping[str, Any]) -> DiseaseKnowledge:
    return DiseaseKnowledge(
        key=key,
        history_counts=entry["history_counts"],
        values=tuple(
            ValueRule(tuple(rule["names"]), rule.get("above"), rule.get("below"), rule["unit"], rule["source"])
            for rule in entry["values"]
        ),
        signs=tuple(Sign(**sign) for sign in entry["signs"]),
        **_common(entry),
    )


def _common(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "terms": tuple(_term(item) for item in entry["terms"]),
        "extracted": tuple(_term(item) for item in entry["extracted"]),
        "passages": tuple(entry["passages"]),
    }


def _term(item: Mapping[str, Any]) -> Term:
    return Term(**{**item, "spellings": tuple(item["spellings"]), "passages": tuple(item["passages"])})


def _passage(name: str, entry: Mapping[str, Any], source: str) -> Passage:
    try:
        passage = Passage.from_dict(entry)
    except ValueError as error:
        raise InputDataError(f"{source}: passages, {name}: {error}") from error
    if passage_id(passage) != name:
        raise InputDataError(f"{source}: passages, {name}: the key must be 'source:id' of the passage; correct it")
    return passage


def _check_topic(topic: TopicKnowledge, passages: Mapping[str, Passage], where: str) -> None:
    if not topic.all_terms:
        raise InputDataError(f"{where}: no terms; add some to its YAML file, or retrieve more passages")
    _refuse_repeated((f"term '{term.term.lower()}'" for term in topic.all_terms), where)
    _refuse_unknown(topic.passages, passages, f"{where}, passages")
    own = set(topic.passages)
    for term in topic.all_terms:
        _refuse_unknown(term.passages, own, f"{where}, term '{term.term}'")


def _refuse_repeated(named: Iterable[str], where: str) -> None:
    seen: set[str] = set()
    for entry in named:
        if entry in seen:
            raise InputDataError(f"{where}: duplicate {entry}; remove one")
        seen.add(entry)


def _refuse_unknown(names: Iterable[str], known: Container[str], where: str) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputDataError(f"{where}: unknown passage '{unknown[0]}'; add it, or remove its id")
