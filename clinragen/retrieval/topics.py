"""What is asked for each disease and each variable: queries that hold names alone, from `resources/topics.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from dataset_builder.contract.vocabulary import load_diseases, load_variables

from modeling_clinragen.errors import InputDataError

RESOURCES = files("clinragen.retrieval") / "resources"

TOPICS = "topics.yaml"
SECTIONS = {"disease": "diseases", "variable": "variables"}


@dataclass(frozen=True)
class Topic:
    """A disease or a variable (`kind`), and how each source is asked about it.

    `pubmed` is a query in PubMed's syntax; `wikipedia` names articles, each of which is searched for where no article
    has that name; `words` are the topic's names in plain words, by which passages of a local corpus are ranked.
    """

    key: str
    name: str
    kind: str
    pubmed: str
    wikipedia: tuple[str, ...]
    words: str


def load_topics(path: Path | None = None) -> tuple[Topic, ...]:
    """The topics of all diseases, then of all variables, of the current vocabulary (see `vocabulary_of`).

    `path` replaces the shipped file. A disease or variable without an entry in it, as a user's own, is asked for by
    its name alone.

    Raises:
        InputDataError: The file is faulty, or a disease and a variable share a key.
    """
    where = str(path or TOPICS)
    content = _content(path, where)
    named = [("disease", disease.key, disease.name) for disease in load_diseases()]
    named += [("variable", variable.key, variable.name) for variable in load_variables()]
    topics = [_topic(key, name, kind, content[SECTIONS[kind]].get(key, {}), where) for kind, key, name in named]
    keys = [topic.key for topic in topics]
    if shared := sorted({key for key in keys if keys.count(key) > 1}):
        raise InputDataError(f"'{shared[0]}' is the key of a disease and of a variable; rename one of them")
    return tuple(topics)


def _content(path: Path | None, where: str) -> dict[str, Mapping[str, Any]]:
    try:
        content = yaml.safe_load((path or RESOURCES / TOPICS).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputDataError(f"{where}: cannot be read ({error.strerror}); check the path") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputDataError(f"{where}: is not a readable YAML file; check its syntax") from error
    if not isinstance(content, Mapping) or set(content) != set(SECTIONS.values()):
        raise InputDataError(f"{where}: must hold 'diseases' and 'variables', and nothing else")
    for name, section in content.items():
        if not isinstance(section, Mapping):
            raise InputDataError(f"{where}: '{name}' must map keys to entries; see the shipped {TOPICS}")
    return dict(content)


def _topic(key: str, name: str, kind: str, entry: Any, where: str) -> Topic:
    if not isinstance(entry, Mapping) or not set(entry) <= {"pubmed", "wikipedia", "words"}:
        raise InputDataError(f"{where}: '{key}' may say 'pubmed', 'wikipedia' and 'words', and nothing else")
    pubmed, titles, words = entry.get("pubmed", name), entry.get("wikipedia", [name]), entry.get("words", name)
    if not isinstance(titles, list) or not titles:
        raise InputDataError(f"{where}: '{key}': 'wikipedia' must be a list of titles")
    if not all(isinstance(text, str) and text.strip() for text in (pubmed, words, *titles)):
        raise InputDataError(f"{where}: '{key}': queries, titles and words must be texts; put them in quotes")
    return Topic(key, name, kind, pubmed, tuple(titles), words)
