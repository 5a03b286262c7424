"""Makes the shipped knowledge base as every other one is made: `python -m dataset_builder.knowledge.shipped`.

Its passages are the project's own short texts in `resources/corpus/`, its terms the curated ones.
"""

from __future__ import annotations

import asyncio
import tempfile
from importlib.resources import as_file
from pathlib import Path
from typing import Any

from dataset_builder.files import write_json
from dataset_builder.knowledge.building import build_knowledge
from dataset_builder.knowledge.curated import load_curated
from dataset_builder.knowledge.reading import KNOWLEDGE
from dataset_builder.retrieval.retrieving import open_sources, retrieve
from dataset_builder.retrieval.settings import RetrievalSettings
from dataset_builder.retrieval.topics import load_topics
from dataset_builder.vocabulary import RESOURCES, vocabulary_of

# As many as the corpus has about each topic.
PASSAGES_PER_TOPIC = 2


def build_shipped() -> dict[str, Any]:
    """The content of `resources/knowledge.json`."""
    with (
        vocabulary_of(None),
        as_file(RESOURCES / "corpus") as corpus,
        tempfile.TemporaryDirectory() as cache,
    ):
        topics = load_topics()
        sources = open_sources([str(corpus)], RetrievalSettings())
        retrieved = retrieve(topics, sources, per_topic=PASSAGES_PER_TOPIC, cache_dir=Path(cache))
        recorded = [{"source": source.name, "per_topic": PASSAGES_PER_TOPIC} for source in sources]
        return asyncio.run(build_knowledge(topics, retrieved, load_curated(), sources=recorded))


def main() -> None:
    """Write the shipped file again, after a change of the corpus, the curated terms or the code."""
    write_json(Path(str(RESOURCES / KNOWLEDGE)), build_shipped())


if __name__ == "__main__":
    main()
