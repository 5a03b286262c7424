"""The folder of the `knowledge` stage: the base, its vocabulary, coverage (numbers and figure) and provenance."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clinragen.knowledge.base import topic_names
from clinragen.knowledge.coverage import coverage, totals
from clinragen.knowledge.coverage_plot import plot_coverage
from clinragen.knowledge.reader import KNOWLEDGE, parse_knowledge
from dataset_builder.contract.definitions import Definitions, write_definitions
from dataset_builder.storage.files import file_digest, make_private, write_json
from dataset_builder.storage.governance import (
    PROVENANCE,
    carry_provenance,
    is_credentialed,
    read_provenance,
    write_provenance,
)

logger = logging.getLogger(__name__)

COVERAGE, PLOT = "coverage.json", "coverage.png"
# The origin of published texts.
LITERATURE: dict[str, Any] = {
    "source": "literature",
    "release": "literature",
    "title": "published medical texts",
    "version": "",
    "licence": {"id": "other", "name": "see the licence of each passage"},
    "credentialed": False,
}


def fill_knowledge(
    folder: Path,
    content: Mapping[str, Any],
    definitions: Definitions,
    notes: Iterable[str] = (),
    *,
    parents: Sequence[Mapping[str, Any]] = (),
    details: Mapping[str, Any] | None = None,
    tokenizer: Any = None,
) -> dict[str, Any]:
    """Write `knowledge.json`, `vocabulary.json`, `provenance.json`, and the coverage of notes as JSON and figure.

    Args:
        folder: The folder; what is made from credentialed data becomes private (0700, files 0600).
        content: A knowledge base as `build_knowledge` or `base_of` returns it.
        definitions: Its vocabulary and definitions.
        notes: The cohort's training notes; only counts of them are written.
        parents: Provenance of the notes, and of the passages. Without any, the strictest rule holds.
        details: Further entries of this step in the provenance.
        tokenizer: A transformers tokenizer, for the size of the vocabulary in tokens; None leaves that out.

    Returns:
        Counts for the stage's report.

    Raises:
        InputDataError: `content` is not a knowledge base of this vocabulary.
    """
    knowledge = parse_knowledge(content, KNOWLEDGE, definitions.vocabulary)
    provenance = carry_provenance(parents, "knowledge", details or {})
    # First, so that the folder is private before any count is written.
    write_provenance(folder, provenance)
    write_json(folder / KNOWLEDGE, content)
    write_definitions(folder, definitions)
    measured = coverage(notes, knowledge, tokenizer)
    write_json(folder / COVERAGE, measured)
    plot_coverage(folder / PLOT, measured, topic_names(definitions.vocabulary))
    if is_credentialed(provenance):
        make_private(folder)
    counts = totals(measured)
    logger.info(
        "knowledge: %d of %d disease terms occur in %d notes",
        counts["disease_terms_in_notes"],
        counts["disease_terms"],
        measured["notes"],
    )
    digest = file_digest(folder / KNOWLEDGE)
    return {**measured["vocabulary"], **counts, "notes": measured["notes"], "sha256": digest}


def passages_provenance(folders: Iterable[Path]) -> dict[str, Any]:
    """The provenance of passages from local corpora: the recorded one where there is one, else that of literature.

    A folder that this program made from patient data keeps its restrictions when it is used as a corpus.
    """
    recorded = [read_provenance(folder) for folder in folders if (folder / PROVENANCE).is_file()]
    return carry_provenance(recorded or [LITERATURE], "retrieval", {})
