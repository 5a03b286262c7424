"""Makes the shipped knowledge base: `python -m clinragen.knowledge.shipped`.

It is built as every other one, from the project's own short texts in `resources/corpus/` and the curated terms.
"""

from __future__ import annotations

import asyncio
import tempfile
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from clinragen.knowledge.assemble import Material, build_knowledge
from clinragen.knowledge.reader import KNOWLEDGE
from clinragen.retrieval.config import RetrievalConfig
from clinragen.retrieval.retrieve import open_sources, retrieve
from clinragen.retrieval.topics import load_topics
from dataset_builder.contract.definitions import shipped_definitions
from dataset_builder.storage.files import write_json

RESOURCES = files("clinragen.knowledge") / "resources"

PASSAGES_PER_TOPIC = 2  # as many as the corpus has about each topic


def build_shipped() -> dict[str, Any]:
    """The content of `resources/knowledge.json`."""
    definitions = shipped_definitions()
    topics = load_topics(definitions)
    with as_file(RESOURCES / "corpus") as corpus, tempfile.TemporaryDirectory() as cache:
        sources = open_sources([str(corpus)], RetrievalConfig())
        retrieved = retrieve(topics, sources, per_topic=PASSAGES_PER_TOPIC, cache_dir=Path(cache))
    origins = [{"source": source.name, "per_topic": PASSAGES_PER_TOPIC} for source in sources]
    return asyncio.run(build_knowledge(definitions, Material(topics, retrieved, origins)))


def main() -> None:
    """Write the shipped file; run it after a change of the corpus, the curated terms or the code."""
    write_json(Path(str(RESOURCES / KNOWLEDGE)), build_shipped())


if __name__ == "__main__":
    main()
