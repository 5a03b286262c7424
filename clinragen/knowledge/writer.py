"""The folder of the `knowledge` stage: the knowledge base, its coverage as numbers and picture, its provenance."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clinragen.knowledge.coverage import coverage, totals
from clinragen.knowledge.coverage_plot import plot_coverage
from clinragen.knowledge.reader import KNOWLEDGE, parse_knowledge, shipped_content
from dataset_builder.storage.files import atomic_folder, file_digest, write_json
from dataset_builder.storage.governance import (
    PROVENANCE,
    carry_provenance,
    is_credentialed,
    read_provenance,
    write_provenance,
)

logger = logging.getLogger(__name__)

COVERAGE, PLOT = "coverage.json", "coverage.png"
# What governs texts that were published.
LITERATURE: dict[str, Any] = {
    "source": "literature",
    "release": "literature",
    "title": "published medical texts",
    "version": "",
    "licence": {"id": "other", "name": "see the licence of each passage"},
    "credentialed": False,
}


def write_knowledge(
    output: Path,
    notes: Iterable[str] = (),
    content: Mapping[str, Any] | None = None,
    *,
    parents: Sequence[Mapping[str, Any]] = (),
    details: Mapping[str, Any] | None = None,
    tokenizer: Any = None,
) -> dict[str, Any]:
    """Write the folder, atomically: `knowledge.json`, `provenance.json`, and `coverage.json` and `.png` of `notes`.

    Args:
        output: The folder.
        notes: The cohort's training notes; of them only counts are written.
        content: A knowledge base as `build_knowledge` makes it; None for the shipped one.
        parents: Provenance of the notes, and of the passages. Without any, the strictest rule holds.
        details: What the provenance says of this step besides.
        tokenizer: A transformers tokenizer, for the size of the vocabulary in tokens.

    Returns counts for the stage's report.
    """
    content = shipped_content() if content is None else content
    knowledge = parse_knowledge(content, KNOWLEDGE)
    provenance = carry_provenance(parents, "knowledge", details or {})
    with atomic_folder(Path(output), private=is_credentialed(provenance)) as folder:
        write_json(folder / KNOWLEDGE, content)
        measured = coverage(notes, knowledge, tokenizer)
        write_json(folder / COVERAGE, measured)
        plot_coverage(folder / PLOT, measured)
        write_provenance(folder, provenance)
        digest = file_digest(folder / KNOWLEDGE)
    counts = totals(measured)
    logger.info(
        "knowledge: %d of %d disease terms occur in %d notes",
        counts["disease_terms_in_notes"],
        counts["disease_terms"],
        measured["notes"],
    )
    return {**measured["vocabulary"], **counts, "notes": measured["notes"], "sha256": digest}


def passages_provenance(folders: Iterable[Path]) -> dict[str, Any]:
    """What governs the passages of local corpora: the record of this program where there is one, else that of books.

    A folder that this program made of patient data, given as a corpus, stays what it is.
    """
    recorded = [read_provenance(folder) for folder in folders if (folder / PROVENANCE).is_file()]
    return carry_provenance(recorded or [LITERATURE], "retrieval", {})
