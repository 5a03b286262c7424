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
        files = corpus_files(folder)
        self._size = {"files": len(files), "bytes": sum(path.stat().st_size for path in files)}
        if encoder is None:
            logger.warning("%s: ranked by BM25 alone, since no sentence encoder was given", folder)

    def query(self, topic: Topic) -> None:
        """Nothing: answers are not kept, since the files are here and may change at any time."""

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
