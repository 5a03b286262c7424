"""A local corpus as a source, for machines without internet access."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import Any

from clinragen.retrieval.corpus import corpus_files, read_corpus
from clinragen.retrieval.encoder import SentenceEncoder
from clinragen.retrieval.passages import Passage
from clinragen.retrieval.ranking import Ranking
from clinragen.retrieval.topics import Topic
from dataset_builder.storage.files import fingerprint

logger = logging.getLogger(__name__)


class LocalCorpus:
    """The passages of a folder, ranked by BM25; with a sentence encoder, the best of them re-ranked by cosine.

    Files are read, and the encoder is loaded, at the first query. Raises `InputDataError` where the folder contains
    no corpus.
    """

    def __init__(self, folder: Path, encoder: str | Path | None) -> None:
        self.name = folder.resolve().name
        self._folder = folder
        self._encoder = encoder
        stats = {str(path.relative_to(folder)): path.stat() for path in corpus_files(folder)}
        self._size = {"files": len(stats), "bytes": sum(stat.st_size for stat in stats.values())}
        # Size and time stand for the content: a baseline is too large to hash in each run.
        self._state = fingerprint({name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()})
        if encoder is None:
            logger.warning("%s: ranked by BM25 alone, since no sentence encoder was given", folder)

    def query(self, topic: Topic) -> dict[str, str]:
        """Words, state of the files, and encoder."""
        return {"words": topic.words, "files": self._state, "encoder": str(self._encoder or "none")}

    def passages(self, topic: Topic, count: int) -> list[Passage]:
        """At most `count` passages, the best first; each shares at least one word with the query.

        Raises:
            InputDataError: A file is damaged.
            SettingsError: The encoder cannot be loaded.
        """
        return self._ranking.best(topic.words, count)

    def describe(self) -> dict[str, Any]:
        """The entry in the provenance: folder, size and ranking."""
        if self._encoder is None:
            how = {"ranking": "BM25 alone: no sentence encoder was given"}
        else:
            how = {"ranking": "BM25, re-ranked by a sentence encoder", "encoder": Path(self._encoder).name}
        return {"source": "local", "folder": self.name, **self._size, **how}

    @cached_property
    def _ranking(self) -> Ranking:
        encoder = None if self._encoder is None else SentenceEncoder(self._encoder)
        return Ranking(read_corpus(self._folder), encoder)
