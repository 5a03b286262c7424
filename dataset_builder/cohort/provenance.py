"""The provenance of a cohort: its source and licence, its settings, and the fingerprint that a rebuild must match."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from dataset_builder.cohort.config import CohortConfig
from dataset_builder.cohort.notes import STRUCTURED, is_retrospective
from dataset_builder.contract.definitions import Definitions
from dataset_builder.contract.schema import COHORT_FORMAT
from dataset_builder.sources.locate import LocatedSource
from dataset_builder.storage.code_fingerprint import code_fingerprint
from dataset_builder.storage.files import fingerprint

BUILDER = "dataset_builder.cohort.build"


def cohort_fingerprint(located: LocatedSource, config: CohortConfig) -> str:
    """Digest of everything that decides a cohort: the tables, their licence, the settings and the code.

    The location of files makes no difference; that of a database does, for two can have tables in the same state.
    """
    database = located.root if isinstance(located.root, str) else None
    found = [database, dict(located.states), located.version, asdict(located.release), code_fingerprint(BUILDER)]
    return fingerprint(config.recorded(), found, files=[*located.files, located.source.path])


def origin(located: LocatedSource, config: CohortConfig, definitions: Definitions) -> dict[str, Any]:
    """The part of a cohort's provenance that is known before it is built."""
    policy = config.note_policy
    if policy == STRUCTURED:
        sentence = (
            "The notes were not written by clinicians: they were written by rule from tables, "
            "using only what was known when the patient entered the ICU."
        )
    elif is_retrospective(policy):
        sentence = "The notes were written after the diagnoses were known: results are retrospective."
    else:
        sentence = "The notes are the admission sections of discharge summaries, which were written up at discharge."
    return {
        "format": COHORT_FORMAT,
        "source": located.source.name,
        "release": located.release.name,
        "title": located.release.title,
        "version": located.version,
        "licence": {"id": located.release.licence, "name": located.release.licence_name},
        "credentialed": located.release.credentialed,
        "synthetic": located.release.synthetic,
        "tables": {name: place.name for name, place in sorted(located.paths.items())},
        "absent_tables": sorted(set(located.source.tables) - set(located.paths)),
        "settings": config.recorded(),
        "engine": config.engine,
        "note_policy": policy,
        "notes_are_structured": policy == STRUCTURED,
        "notes_are_retrospective": is_retrospective(policy),
        "about_the_notes": sentence,
        "left_out": definitions.left_out(),
        "fingerprint": cohort_fingerprint(located, config),
    }
