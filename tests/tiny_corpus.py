"""A vocabulary of two diseases and a variable with passages about them, for tests of the knowledge."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clinragen.knowledge.assemble import Material, build_knowledge
from clinragen.knowledge.extraction import Extractor
from clinragen.retrieval.passages import Passage, write_passages
from clinragen.retrieval.topics import load_topics
from dataset_builder.contract.definitions import Definitions, load_definitions

VOCABULARY_FILES = {
    "vocabulary.yaml": "{format: 1, diseases: [gout, asthma], variables: [heart_rate]}\n",
    "diseases/gout.yaml": '{name: Gout, ccs: 54, kind: chronic, codes: {10: ["M10.9"]}}\n',
    "diseases/asthma.yaml": '{name: Asthma, ccs: 128, kind: acute, codes: {10: ["J45.909"]}}\n',
    "variables/heart_rate.yaml": (
        "{name: heart rate, short: HR, unit: bpm, plausible: [0, 390], fill: 86, decimals: 0}\n"
    ),
}
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


def write_vocabulary(folder: Path, **changed: str) -> Path:
    """The vocabulary as a user's folder; `changed` are other contents of its files, such as `gout="..."`."""
    for name, content in VOCABULARY_FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(changed.get(path.stem, content), encoding="utf-8")
    return folder


def tiny_definitions(folder: Path, **changed: str) -> Definitions:
    """The vocabulary, written to `folder` and read from there."""
    return load_definitions(write_vocabulary(folder / "vocabulary", **changed))


def built(
    definitions: Definitions,
    extractors: Sequence[Extractor] = (),
    retrieved: dict[str, list[Passage]] | None = None,
    *,
    curated: bool = False,
) -> dict[str, Any]:
    """The knowledge base, as it comes back from a file."""
    material = Material(load_topics(definitions), retrieved or passages())
    found = asyncio.run(build_knowledge(definitions, material, extractors, curated=curated))
    return json.loads(json.dumps(found))
