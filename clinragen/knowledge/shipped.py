"""Makes the shipped knowledge base as every other one is made: `python -m clinragen.knowledge.shipped`.

Its passages are the project's own short texts in `resources/corpus/`, its terms the curated ones.
"""

from __future__ import annotations

import asyncio
import tempfile
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from dataset_builder.contract.vocabulary import vocabulary_of

from clinragen.knowledge.assemble import build_knowledge
from clinragen.knowledge.curated import load_curated
from clinragen.knowledge.reader import KNOWLEDGE
from clinragen.retrieval.config import RetrievalSettings
from clinragen.retrieval.retrieve import open_sources, retrieve
from clinragen.retrieval.topics import load_topics
from dataset_builder.storage.files import write_json

RESOURCES = files("clinragen.knowledge") / "resources"

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
