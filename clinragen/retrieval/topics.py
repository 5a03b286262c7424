"""Topics: each disease and variable, with the queries that find passages about it. Queries contain names only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dataset_builder.contract.definitions import Definitions
from modeling_clinragen.errors import InputDataError

QUERY_FIELDS = ("pubmed", "wikipedia", "words")


@dataclass(frozen=True)
class Topic:
    """A disease or a variable, with a query for each kind of source.

    Args:
        key, name: Those of the vocabulary.
        kind: "disease" or "variable".
        pubmed: A query in PubMed's syntax.
        wikipedia: Titles of articles; a title without an article is searched for.
        words: Names of the topic in plain words, by which passages of a local corpus are ranked.
    """

    key: str
    name: str
    kind: str
    pubmed: str
    wikipedia: tuple[str, ...]
    words: str


def load_topics(definitions: Definitions) -> tuple[Topic, ...]:
    """The topics of all diseases, then of all variables, in model order.

    A disease or variable without `queries` in its file is searched for by its name.

    Raises:
        InputDataError: Queries are malformed, or a disease and a variable share a key.
    """
    vocabulary = definitions.vocabulary
    topics = [_topic(one.key, one.name, "disease", definitions.diseases[one.key]) for one in vocabulary.diseases]
    topics += [_topic(one.key, one.name, "variable", definitions.variables[one.key]) for one in vocabulary.variables]
    keys = [topic.key for topic in topics]
    if shared := sorted({key for key in keys if keys.count(key) > 1}):
        raise InputDataError(f"'{shared[0]}' is the key of a disease and of a variable; rename one of them")
    return tuple(topics)


def _topic(key: str, name: str, kind: str, written: Mapping[str, Any]) -> Topic:
    queries, where = written.get("queries", {}), f"{kind} '{key}': queries"
    if not isinstance(queries, Mapping) or not set(queries) <= set(QUERY_FIELDS):
        raise InputDataError(f"{where} must map {', '.join(QUERY_FIELDS)} to texts; see the shipped {kind}s")
    pubmed, titles, words = queries.get("pubmed", name), queries.get("wikipedia", [name]), queries.get("words", name)
    if not isinstance(titles, list | tuple) or not titles:
        raise InputDataError(f"{where}: 'wikipedia' must be a list of titles")
    if not all(isinstance(text, str) and text.strip() for text in (pubmed, words, *titles)):
        raise InputDataError(f"{where}, titles and words must be texts that are not empty; put them in quotes")
    return Topic(key, name, kind, pubmed, tuple(titles), words)
