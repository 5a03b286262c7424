"""Reads a knowledge base and refuses a faulty one: `resources/knowledge.schema.json`, and what no schema can say."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from dataset_builder.contract.vocabulary import load_diseases, load_variables

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

RESOURCES = files("clinragen.knowledge") / "resources"

KNOWLEDGE = "knowledge.json"


def load_knowledge(path: Path | None = None) -> KnowledgeBase:
    """Read the shipped knowledge, or a file of the same form. Raises `InputDataError` naming the faulty entry."""
    return parse_knowledge(shipped_content() if path is None else read_json(path), str(path or KNOWLEDGE))


def shipped_content() -> dict[str, Any]:
    """The shipped knowledge base as JSON."""
    content: dict[str, Any] = json.loads((RESOURCES / KNOWLEDGE).read_text(encoding="utf-8"))
    return content


def parse_knowledge(content: Any, source: str) -> KnowledgeBase:
    """The knowledge base that `content` describes, for the current vocabulary (see `vocabulary_of`).

    Raises `InputDataError` that begins with `source` and names the faulty entry.
    """
    if not isinstance(content, Mapping) or content.get("schema_version") != SCHEMA_VERSION:
        raise InputDataError(
            f"{source}: needs schema_version {SCHEMA_VERSION}; write it again with `clinragen knowledge`"
        )
    problem = first_problem(content, _schema())
    if problem is not None:
        raise InputDataError(f"{source}: {problem}")
    variables = [variable.key for variable in load_variables()]
    _check_keys(content, "diseases", [disease.key for disease in load_diseases()], source)
    _check_keys(content, "variables", variables, source)
    passages = {name: _passage(name, entry, source) for name, entry in content["passages"].items()}
    base = KnowledgeBase(
        schema_version=SCHEMA_VERSION,
        origin=content["origin"],
        made_by=content["made_by"],
        diseases=tuple(_disease(disease.key, content["diseases"][disease.key]) for disease in load_diseases()),
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
                raise InputDataError(f"{where}: sign '{sign.variable}' is none of {', '.join(variables)}; correct it")
    return base


@lru_cache(maxsize=1)
def _schema() -> Mapping[str, Any]:
    schema: Mapping[str, Any] = json.loads((RESOURCES / "knowledge.schema.json").read_text(encoding="utf-8"))
    return schema


def _check_keys(content: Mapping[str, Any], section: str, keys: list[str], source: str) -> None:
    odd = sorted(set(content[section]) ^ set(keys))
    if odd:
        raise InputDataError(
            f"{source}: '{odd[0]}' in {section} is missing or unknown; list each key of the vocabulary, or make "
            "knowledge of your own with `clinragen knowledge --source`"
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
        raise InputDataError(f"{source}: passages, {name}: is not named by its source and id; correct its key")
    return passage


def _check_topic(topic: TopicKnowledge, passages: Mapping[str, Passage], where: str) -> None:
    if not topic.all_terms:
        raise InputDataError(f"{where}: has no term; add some, or retrieve more passages")
    _refuse_repeated((f"term '{term.term.lower()}'" for term in topic.all_terms), where)
    _refuse_unknown(topic.passages, passages, f"{where}, passages")
    own = set(topic.passages)
    for term in topic.all_terms:
        _refuse_unknown(term.passages, own, f"{where}, term '{term.term}'")


def _refuse_repeated(named: Iterable[str], where: str) -> None:
    seen: set[str] = set()
    for entry in named:
        if entry in seen:
            raise InputDataError(f"{where}: {entry} stands in it twice; remove one")
        seen.add(entry)


def _refuse_unknown(names: Iterable[str], known: Container[str], where: str) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputDataError(f"{where}: passage '{unknown[0]}' is not there; add it, or remove its id")
