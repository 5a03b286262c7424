"""Where a cohort comes from, under which licence, and what a rebuild would have to match."""

from __future__ import annotations

from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from dataset_builder.cohort.config import CohortSettings
from dataset_builder.cohort.notes import STRUCTURED, is_retrospective
from dataset_builder.sources.locate import LocatedSource
from dataset_builder.storage.files import fingerprint


def cohort_fingerprint(located: LocatedSource, settings: CohortSettings) -> str:
    """Digest of the tables, their licence, the settings and the code: with another one it is another cohort.

    Where files lie makes no difference; a database is told by its URL, for two can have tables in the same state.
    """
    package = Path(str(files("dataset_builder")))
    # A file more than the build reads only causes a rebuild too many; one less would hide a change.
    code = {path for path in package.rglob("*.*") if path.is_file() and path.suffix != ".pyc"}
    database = None if isinstance(located.root, Path) else located.root
    found = [database, dict(located.states), located.version, asdict(located.release)]
    return fingerprint(settings.recorded(), found, files=[*located.files, *sorted({*code, located.source.path})])


def origin(located: LocatedSource, settings: CohortSettings) -> dict[str, Any]:
    """The part of a cohort's provenance that is known before it is built."""
    inputs = {name: place.name for name, place in sorted(located.paths.items())}
    policy = settings.note_policy
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
        "source": located.source.name,
        "release": located.release.name,
        "title": located.release.title,
        "version": located.version,
        "licence": {"id": located.release.licence, "name": located.release.licence_name},
        "credentialed": located.release.credentialed,
        "tables": inputs,
        "absent_tables": sorted(set(located.source.tables) - set(located.paths)),
        "settings": settings.recorded(),
        "engine": settings.engine,
        "note_policy": policy,
        "notes_are_structured": policy == STRUCTURED,
        "notes_are_retrospective": is_retrospective(policy),
        "about_the_notes": sentence,
        "fingerprint": cohort_fingerprint(located, settings),
    }
