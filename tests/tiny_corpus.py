"""A vocabulary of two diseases and a variable with passages about them, for tests of the knowledge."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dataset_builder.contract.vocabulary import vocabulary_of

from clinragen.knowledge.assemble import build_knowledge
from clinragen.knowledge.curated import NOTHING_CURATED, Curated
from clinragen.knowledge.extraction import Extractor
from clinragen.retrieval.passages import Passage, write_passages
from clinragen.retrieval.topics import Topic, load_topics

PHENOTYPES = """
- {key: gout, name: Gout, ccs: 54, kind: chronic, codes: {10: ["M10.9"]}}
- {key: asthma, name: Asthma, ccs: 128, kind: acute, codes: {10: ["J45.909"]}}
"""
VARIABLES = """
- {key: heart_rate, name: heart rate, short: HR, unit: bpm, plausible: [0, 390], fill: 86, decimals: 0}
"""
TEXTS = {
    "gout": (
        "Podagra is sudden pain in the big toe. Uric acid (UA) is raised and colchicine helps.",
        "Uric acid forms crystals in joints. Podagra and tophi are typical; colchicine relieves podagra.",
    ),
    "asthma": (
        "Wheezing at night. Forced expiratory volume (FEV) is low and inhaled salbutamol widens the airways.",
        "Inhaled salbutamol stops wheezing. The FEV recovers, and triggers such as pollen are avoided.",
    ),
    "heart_rate": (
        "Tachycardia is a fast heart rate, as in fever.",
        "Bradycardia is slow; tachycardia is fast. Athletes have bradycardia.",
    ),
}


def passage(name: str, text: str, source: str = "local", title: str = "") -> Passage:
    return Passage(source, name, title, text, "2024", "CC0-1.0", "")


def passages(source: str = "local") -> dict[str, list[Passage]]:
    """The passages of each topic, whose name is their title."""
    return {
        key: [passage(f"{key}-{n}", text, source, key.replace("_", " ")) for n, text in enumerate(texts)]
        for key, texts in TEXTS.items()
    }


def write_corpus(folder: Path) -> Path:
    """The passages as a local corpus that calls its source by the name of the folder."""
    write_passages(folder / "all.jsonl", [found for listed in passages(folder.name).values() for found in listed])
    return folder


@contextmanager
def tiny_vocabulary(folder: Path) -> Iterator[tuple[Topic, ...]]:
    own = folder / "vocabulary"
    own.mkdir(exist_ok=True)
    (own / "phenotypes.yaml").write_text(PHENOTYPES)
    (own / "variables.yaml").write_text(VARIABLES)
    with vocabulary_of(folder):
        yield load_topics()


def built(
    topics: Sequence[Topic],
    extractors: Sequence[Extractor] = (),
    retrieved: dict[str, list[Passage]] | None = None,
    curated: Curated = NOTHING_CURATED,
) -> dict[str, Any]:
    """The knowledge base, as it comes back from a file."""
    found = asyncio.run(build_knowledge(topics, retrieved or passages(), curated, extractors))
    return json.loads(json.dumps(found))
