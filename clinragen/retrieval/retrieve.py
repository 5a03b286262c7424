"""`retrieve`: passages from every source for every topic, kept on disk so that an interrupted run continues."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from clinragen.retrieval.config import MAX_RECORDS, RetrievalConfig
from clinragen.retrieval.local import LocalCorpus
from clinragen.retrieval.passages import Passage
from clinragen.retrieval.pubmed import PubMed
from clinragen.retrieval.topics import Topic
from clinragen.retrieval.wikipedia import Wikipedia
from dataset_builder.storage.code_fingerprint import code_fingerprint
from dataset_builder.storage.files import (
    PRIVATE_FILE,
    fingerprint,
    make_private,
    private_folder,
    read_json,
    write_json,
)
from dataset_builder.storage.progress import Progress, Report, no_report
from modeling_clinragen.errors import InputDataError, SettingsError

logger = logging.getLogger(__name__)


class Source(Protocol):
    """A source of passages. Only names of diseases and variables are ever sent to a source."""

    name: str

    def query(self, topic: Topic) -> dict[str, Any] | None:
        """Everything, JSON-able, that decides the answer for a topic; None where the answer is not kept."""
        ...

    def passages(self, topic: Topic, count: int) -> list[Passage]:
        """At most `count` passages about a topic, the best first."""
        ...

    def describe(self) -> dict[str, Any]:
        """The source's entry in the provenance."""
        ...


def open_sources(names: Iterable[str], config: RetrievalConfig) -> tuple[Source, ...]:
    """Open sources by name: "pubmed", "wikipedia", or a folder with a local corpus.

    Raises:
        SettingsError: A name is unknown or listed twice, or a setting cannot work.
        InputDataError: A folder contains no corpus.
    """
    sources = tuple(_open(name, config) for name in names)
    known = [source.name for source in sources]
    if repeated := sorted({name for name in known if known.count(name) > 1}):
        raise SettingsError(f"two sources are named '{repeated[0]}'; leave one out, or rename its folder")
    return sources


def _open(name: str, config: RetrievalConfig) -> Source:
    if name == PubMed.name:
        return PubMed(config)
    if name == Wikipedia.name:
        return Wikipedia(config)
    if not Path(name).is_dir():
        raise SettingsError(f"unknown source '{name}'; give pubmed, wikipedia or a folder with a local corpus")
    return LocalCorpus(Path(name), config.encoder)


def retrieve(
    topics: Sequence[Topic],
    sources: Sequence[Source],
    *,
    per_topic: int,
    cache_dir: Path,
    report: Report = no_report,
) -> dict[str, list[Passage]]:
    """Retrieve passages for all topics.

    Args:
        topics: Made from the vocabulary, never from a patient: queries contain nothing else.
        sources: In the order in which their passages are listed.
        per_topic: At most so many passages from each source for each topic.
        cache_dir: Folder that keeps every complete answer of the web, for its owner only; while the code that reads
            answers is the same, no query is sent twice.
        report: Called after each answer.

    Returns:
        The passages by topic key, in the order of `sources` and rank. A passage that two sources give (same source
        and id) is listed once per topic.

    Raises:
        SettingsError: `per_topic` is out of range.
        InputDataError: A source gives no answer, its files are damaged, or a file of the cache is.
    """
    if not 1 <= per_topic <= MAX_RECORDS:
        raise SettingsError(f"per_topic is {per_topic}; give a number of passages from 1 to {MAX_RECORDS}")
    if cache_dir.is_dir():
        make_private(cache_dir)
    found: dict[str, list[Passage]] = {}
    for index, topic in enumerate(topics):
        passages: dict[tuple[str, str], Passage] = {}
        for number, source in enumerate(sources, start=1):
            for passage in _answer(topic, source, per_topic, cache_dir):
                passages.setdefault(passage.key, passage)
            done = index * len(sources) + number
            report(Progress(done, len(topics) * len(sources), "queries", source.name))
        found[topic.key] = list(passages.values())
    return found


def _answer(topic: Topic, source: Source, count: int, cache_dir: Path) -> list[Passage]:
    asked = source.query(topic)
    if asked is None:
        return _asked(topic, source, count)
    # What other code made of an answer may be another list of passages.
    query = {"source": source.name, "topic": topic.key, "passages": count, **asked, "code": code_fingerprint(__name__)}
    path = cache_dir / f"{fingerprint(query)}.json"
    if path.exists():
        return _cached(path)
    passages = _asked(topic, source, count)
    private_folder(cache_dir)
    write_json(path, {"query": query, "passages": [passage.to_dict() for passage in passages]})
    path.chmod(PRIVATE_FILE)
    return passages


def _asked(topic: Topic, source: Source, count: int) -> list[Passage]:
    passages = source.passages(topic, count)
    if not passages:
        logger.warning("%s: no passages for '%s'", source.name, topic.key)
    return passages


def _cached(path: Path) -> list[Passage]:
    try:
        return [Passage.from_dict(entry) for entry in read_json(path)["passages"]]
    except (KeyError, TypeError, ValueError) as error:
        raise InputDataError(f"{path}: malformed; delete the file and run again") from error
