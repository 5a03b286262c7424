"""From a source's tables to a cohort folder that `datasets.load_dataset` reads, by the contract of `schema`."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa

from dataset_builder.cohort.config import CohortSettings
from dataset_builder.cohort.dataset_card import write_card
from dataset_builder.cohort.example_writer import example_writer
from dataset_builder.cohort.examples import assemble
from dataset_builder.cohort.labels import extract_labels
from dataset_builder.cohort.leakage_audit import LeakageAudit
from dataset_builder.cohort.measurements import extract_measurements, window_hours
from dataset_builder.cohort.notes import check_note_policy, make_note_reader
from dataset_builder.cohort.provenance import origin
from dataset_builder.cohort.series_grid import SeriesReader
from dataset_builder.cohort.session import check_engine, connect, count_rows, store
from dataset_builder.cohort.splits import assign_splits
from dataset_builder.cohort.stays import refuse_empty, select_stays
from dataset_builder.contract.schema import SPLITS
from dataset_builder.contract.vocabulary import (
    load_diseases,
    load_range_set,
    load_variables,
    vocabulary_of,
    write_vocabulary,
)
from dataset_builder.sources.locate import LocatedSource, locate
from dataset_builder.sources.spec import load_source
from dataset_builder.storage.files import atomic_folder, output_folder, write_json

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
PART = 500  # stays that are in Python's memory at a time


def build_cohort(
    source: str, root: Path | str, output: Path, *, on_progress: Progress | None = None, **settings: Any
) -> dict[str, Any]:
    """Build a cohort folder (data/*.parquet, README.md, provenance.json) and return its provenance.

    The same inputs and settings give byte-identical parquet files. `output` appears whole or not at all.

    Args:
        source: A shipped source ("mimic-iii", "mimic-iv", "eicu") or the path of a source's .yaml file.
        root: Folder with the source's tables; for the engine "postgres" the database's URL as text.
        output: The folder to write. With the user's own variables or phenotypes it carries them.
        on_progress: Called with a step's name, and what is done and what there is to do of it.
        settings: See `CohortSettings`; `note_policy` has no default.

    Raises `InputDataError` for missing or damaged tables and an empty cohort, `SettingsError` for settings that cannot
    work, `note_policy` among them when the source has no notes.
    """
    chosen = CohortSettings.of(settings)
    located = locate_for(source, root, chosen)
    roots = [located.root] if isinstance(located.root, Path) else []
    output_folder(Path(output), [*roots, *(path.parent for path in located.files)])
    with atomic_folder(Path(output), private=located.release.credentialed) as folder:
        write_vocabulary(folder, variables=chosen.variables, phenotypes=chosen.phenotypes)
        scratch = folder / "scratch"  # spilled rows are patient data: they stay in the user's own folder
        scratch.mkdir()
        with vocabulary_of(folder), ThreadPoolExecutor(max_workers=1) as thread:
            described = thread.submit(origin, located, chosen)  # reads every table, as the engine does meanwhile
            with connect(chosen.engine, located, scratch) as con:
                found = _write_examples(con, located, folder, chosen, on_progress or _silent)
            shutil.rmtree(scratch)
            provenance = {**described.result(), **found}
            write_json(folder / "provenance.json", provenance)
            write_card(folder, provenance)
    audit = provenance["leakage_audit"]
    logger.info("built %d examples; leakage audit: %s", provenance["examples"]["total"], _in_words(audit))
    return provenance


def locate_for(source: str, root: Path | str, settings: CohortSettings) -> LocatedSource:
    """Find a source's tables, and refuse what the settings cannot do with them."""
    located = locate(load_source(source, load_variables(settings.variables)), root)
    check_engine(settings.engine, located)
    check_note_policy(settings.note_policy, located)
    return located


def _write_examples(
    con: Any,
    located: LocatedSource,
    folder: Path,
    settings: CohortSettings,
    on_progress: Progress,
) -> dict[str, Any]:
    """Write data/<split>.parquet below `folder`; return the counts for the provenance."""
    variables, diseases = load_variables(), load_diseases()
    on_progress("stays", 0, 1)
    stays, filter_counts = select_stays(con, located, settings.filters)
    refuse_empty(filter_counts, located)
    on_progress("measurements", 0, 1)
    measurements, reject_log = extract_measurements(con, located, variables, stays, settings.window)
    series = SeriesReader(measurements, settings.grid, len(variables), max_steps=settings.max_steps)
    if "has_events" in settings.filters:
        stays = store(con, "stays_with_events", stays.semi_join(measurements, "stay_id"))
        filter_counts.append({"filter": "has_events", "stays": count_rows(stays)})
        refuse_empty(filter_counts, located, reject_log)
    on_progress("labels and notes", 0, 1)
    labels, label_counts = extract_labels(con, located, diseases, stays, only_known_codes=settings.only_known_codes)
    notes = make_note_reader(con, located, settings.note_policy, stays)

    end = window_hours(settings.window)
    prediction_time = stays.stay_hours if end is None else stays.stay_hours.clip(upper=end)
    keys = stays.select("subject_id", "hadm_id", "stay_id", prediction_time=prediction_time)
    table = keys.order_by("stay_id").to_pyarrow()
    splits = assign_splits(
        sorted(set(table["subject_id"].to_pylist())),
        seed=settings.seed,
        fractions=settings.split_fractions,
        split_file=settings.split_file,
    )
    split_of_stay = pa.array([SPLITS.index(splits[subject]) for subject in table["subject_id"].to_pylist()], pa.int8())
    table = table.append_column("split", split_of_stay)
    audit = LeakageAudit(diseases)
    with example_writer(folder / "data", audit) as write:
        for start in range(0, len(table), PART):
            on_progress("examples", start, len(table))
            part = table.slice(start, PART).sort_by([("split", "ascending"), ("stay_id", "ascending")])
            examples = assemble(
                located.release.name,
                part,
                series.read(part),
                labels=labels,
                notes=notes.read(part),
                note_policy=settings.note_policy,
                diseases=diseases,
                range_set=load_range_set(settings.range_set),
            )
            write(examples, part["split"].to_numpy())
    on_progress("examples", len(table), len(table))
    return {
        "cohort": filter_counts,
        "patients": len(splits),
        "examples": {**audit.examples, "total": len(table)},
        "series": series.counts,
        "items": reject_log,
        "labels": label_counts,
        "positives": audit.positives(),
        "notes": notes.counts,
        "leakage_audit": audit.result(),
    }


def _in_words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in counts.items())


def _silent(step: str, done: int, total: int) -> None:
    """No progress wanted."""
