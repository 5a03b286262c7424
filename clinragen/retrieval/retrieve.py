"""`retrieve`: passages from every source for every topic, kept on disk so that an interrupted run goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from clinragen.retrieval.config import MOST_RECORDS, RetrievalSettings
from clinragen.retrieval.local import LocalCorpus
from clinragen.retrieval.passages import Passage
from clinragen.retrieval.pubmed import PubMed
from clinragen.retrieval.topics import Topic
from clinragen.retrieval.wikipedia import Wikipedia
from dataset_builder.storage.files import fingerprint, read_json, write_json
from modeling_clinragen.errors import InputDataError, SettingsError

logger = logging.getLogger(__name__)

OnProgress = Callable[[int, int, str], None]
"""Answers that are here, answers in all, and the source that gave the last one."""


class Source(Protocol):
    """Where passages come from. Nothing but names of diseases and variables ever goes to a source."""

    name: str

    def asked(self, topic: Topic) -> dict[str, Any]:
        """What, JSON-able, decides the answer for a topic."""
        ...

    def passages(self, topic: Topic, count: int) -> list[Passage]:
        """At most `count` passages about a topic, the best first."""
        ...

    def recorded(self) -> dict[str, Any]:
        """What the provenance says of the source."""
        ...


def open_sources(names: Iterable[str], settings: RetrievalSettings) -> tuple[Source, ...]:
    """The sources of these names: "pubmed", "wikipedia", or a folder with a local corpus.

    Raises:
        SettingsError: A name is none of these or stands twice, or a setting cannot work.
        InputDataError: A folder holds no corpus.
    """
    sources = tuple(_open(name, settings) for name in names)
    known = [source.name for source in sources]
    if repeated := sorted({name for name in known if known.count(name) > 1}):
        raise SettingsError(f"two sources are named '{repeated[0]}'; leave one out, or rename its folder")
    return sources


def _open(name: str, settings: RetrievalSettings) -> Source:
    if name == PubMed.name:
        return PubMed(settings)
    if name == Wikipedia.name:
        return Wikipedia(settings)
    if not Path(name).is_dir():
        raise SettingsError(f"source '{name}' is unknown; give pubmed, wikipedia or a folder with a local corpus")
    return LocalCorpus(Path(name), settings.encoder)


def retrieve(
    topics: Sequence[Topic],
    sources: Sequence[Source],
    *,
    per_topic: int,
    cache_dir: Path,
    on_progress: OnProgress | None = None,
) -> dict[str, list[Passage]]:
    """At most `per_topic` passages of each source for each topic, by topic key, in the order of `sources` and rank.

    What a source is asked for are names of diseases and variables: `topics` come from the vocabulary, never from a
    patient, and nothing else goes into a query. Each whole answer is written to the folder `cache_dir`, and the source
    is not asked again for what lies there. A passage that two sources give (the same source and id) counts once for a
    topic.

    Raises:
        SettingsError: `per_topic` cannot work.
        InputDataError: A source gives no answer, its files are damaged, or a file of the cache is.
    """
    if not 1 <= per_topic <= MOST_RECORDS:
        raise SettingsError(f"per_topic is {per_topic}; give a number of passages from 1 to {MOST_RECORDS}")
    found: dict[str, list[Passage]] = {}
    for place, topic in enumerate(topics):
        passages: dict[tuple[str, str], Passage] = {}
        for number, source in enumerate(sources, start=1):
            for passage in _answer(topic, source, per_topic, cache_dir):
                passages.setdefault(passage.key, passage)
            if on_progress is not None:
                on_progress(place * len(sources) + number, len(topics) * len(sources), source.name)
        found[topic.key] = list(passages.values())
    return found


def _answer(topic: Topic, source: Source, count: int, cache_dir: Path) -> list[Passage]:
    asked = {"source": source.name, "topic": topic.key, "passages": count, **source.asked(topic)}
    path = cache_dir / f"{fingerprint(asked)}.json"
    if path.exists():
        return _kept(path)
    passages = source.passages(topic, count)
    if not passages:
        logger.warning("%s: finds nothing for '%s'", source.name, topic.key)
    write_json(path, {"asked": asked, "passages": [passage.to_dict() for passage in passages]})
    return passages


def _kept(path: Path) -> list[Passage]:
    try:
        return [Passage.from_dict(entry) for entry in read_json(path)["passages"]]
    except (KeyError, TypeError, ValueError) as error:
        raise InputDataError(f"{path}: is not what was written there; delete the file and run again") from error
