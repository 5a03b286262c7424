"""From a source's tables to a cohort folder that `datasets.load_dataset` reads, by the contract of `schema`."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa

from dataset_builder.cohort.clocks import check_clocks
from dataset_builder.cohort.config import CohortConfig
from dataset_builder.cohort.dataset_card import write_card
from dataset_builder.cohort.example_writer import example_writer
from dataset_builder.cohort.examples import Labels, assemble
from dataset_builder.cohort.fhir_tables import with_tables
from dataset_builder.cohort.found_items import find_items, records_in_words
from dataset_builder.cohort.labels import extract_labels, known_diseases
from dataset_builder.cohort.leakage_audit import LeakageAudit
from dataset_builder.cohort.measurements import extract_measurements
from dataset_builder.cohort.notes import check_note_policy, make_note_reader
from dataset_builder.cohort.patient_groups import write_groups
from dataset_builder.cohort.provenance import origin
from dataset_builder.cohort.rejects import Rejects, counts_in_words
from dataset_builder.cohort.series_grid import SeriesReader
from dataset_builder.cohort.session import check_engine, connect, count_rows, store
from dataset_builder.cohort.splits import assign_splits
from dataset_builder.cohort.stays import refuse_empty, select_stays
from dataset_builder.contract.definitions import Definitions, load_definitions, write_definitions
from dataset_builder.contract.schema import SPLITS
from dataset_builder.sources.locate import LocatedSource, locate
from dataset_builder.sources.spec import load_source
from dataset_builder.storage.files import (
    atomic_folder,
    make_private,
    output_folder,
    private_folder,
    require_apart,
    write_json,
)
from dataset_builder.storage.garbage import collected_rarely
from dataset_builder.storage.progress import Progress, Report, no_report

logger = logging.getLogger(__name__)

SCRATCH = "scratch"
PART = 500  # stays that are in Python's memory at a time


def build_cohort(
    source: str, root: Path | str, output: Path, config: CohortConfig, report: Report = no_report
) -> dict[str, Any]:
    """Build a cohort folder and return its provenance; see `fill_cohort`. `output` appears whole or not at all.

    Raises `InputDataError` and `SettingsError` as `fill_cohort` does, and `InputDataError` where `output` contains
    files that were not written by this program.
    """
    definitions = load_definitions(config.vocabulary)
    located = _locate(source, root, config, definitions)
    output_folder(Path(output), _inputs(located))
    with atomic_folder(Path(output), private=located.release.credentialed) as folder:
        return _fill(folder, located, config, definitions, report)


def fill_cohort(
    folder: Path, source: str, root: Path | str, config: CohortConfig, report: Report = no_report
) -> dict[str, Any]:
    """Write a cohort into an existing folder and return its provenance.

    Written are data/*.parquet, groups.parquet, vocabulary.json, provenance.json and README.md. The same inputs and
    settings give byte-identical parquet files. With credentialed data the folder becomes private before its first
    byte.

    Args:
        folder: Has no cohort yet. After an error its content is incomplete: the caller removes it.
        source: A shipped source ("mimic-iii", "mimic-iv", "eicu") or the path of a source's .yaml file.
        root: Folder with the source's tables; for the engine "postgres" the database's URL as text.
        config: The settings.
        report: Called with the progress of each step.

    Raises:
        InputDataError: Tables are missing or damaged, or no stay is left.
        SettingsError: Settings cannot work with this source, such as a note policy where the source has no notes.
    """
    definitions = load_definitions(config.vocabulary)
    located = _locate(source, root, config, definitions)
    require_apart(folder, _inputs(located))
    if located.release.credentialed:
        private_folder(folder)
    provenance = _fill(folder, located, config, definitions, report)
    if located.release.credentialed:
        make_private(folder)
    return provenance


def locate_for(source: str, root: Path | str, config: CohortConfig) -> LocatedSource:
    """Find a source's tables, and refuse settings that cannot work with them."""
    return _locate(source, root, config, load_definitions(config.vocabulary))


def _locate(source: str, root: Path | str, config: CohortConfig, definitions: Definitions) -> LocatedSource:
    located = locate(load_source(source, definitions), root)
    check_engine(config.engine, located)
    check_note_policy(config.note_policy, located)
    return located


def _inputs(located: LocatedSource) -> list[Path]:
    roots = [located.root] if isinstance(located.root, Path) else []
    return [*roots, *(path.parent for path in located.files)]


@collected_rarely()
def _fill(
    folder: Path, located: LocatedSource, config: CohortConfig, definitions: Definitions, report: Report
) -> dict[str, Any]:
    write_definitions(folder, definitions)
    scratch = folder / SCRATCH  # spilled rows are patient data: they stay in the user's own folder
    scratch.mkdir()
    with ThreadPoolExecutor(max_workers=1) as thread:
        described = thread.submit(
            origin, located, config, definitions
        )  # reads every table, as the engine does meanwhile
        with connect(config.engine, located, scratch) as con:
            found = _write_examples(con, located, folder, config, definitions, report)
        shutil.rmtree(scratch)
        provenance = {**described.result(), **found}
    write_json(folder / "provenance.json", provenance)
    write_card(folder, definitions.vocabulary, provenance)
    audit = provenance["leakage_audit"]
    logger.info("built %d examples; leakage audit: %s", provenance["examples"]["total"], _in_words(audit))
    for line in (*records_in_words(provenance["records"]), *counts_in_words(provenance["items"])):
        logger.info("%s", line)
    for note in provenance["left_out"]:
        logger.info("left out: %s", note)
    for sentence in provenance["warnings"]:
        logger.warning("%s", sentence)
    return provenance


def _write_examples(
    con: Any, located: LocatedSource, folder: Path, config: CohortConfig, definitions: Definitions, report: Report
) -> dict[str, Any]:
    """Write data/<split>.parquet below `folder`; return the counts for the provenance."""
    vocabulary = definitions.vocabulary
    report(Progress(0, None, "stays"))
    located, made = with_tables(located, folder / SCRATCH)
    located, records = find_items(con, located, vocabulary.variables)
    check_note_policy(config.note_policy, located)
    check_clocks(con, located)
    rejects = Rejects(config.max_unreadable)
    stays, filter_counts = select_stays(con, located, config.filters, rejects)
    refuse_empty(filter_counts, located)
    report(Progress(0, None, "measurements"))
    end = config.window_hours
    measurements, reject_log = extract_measurements(con, located, vocabulary.variables, stays, end, rejects)
    series = SeriesReader(measurements, config.grid, len(vocabulary.variables), max_steps=config.max_steps)
    if "has_events" in config.filters:
        measured = measurements.select("stay_id").distinct()  # an engine may hold the right side of a join in memory
        stays = store(con, "stays_with_events", stays.semi_join(measured, "stay_id"))
        filter_counts.append({"filter": "has_events", "stays": count_rows(stays)})
        refuse_empty(filter_counts, located, reject_log)
    report(Progress(0, None, "labels and notes"))
    labels, label_counts = extract_labels(con, located, definitions, stays, rejects, all_codes=config.all_codes)
    known = known_diseases(located, definitions)
    if not known.all():
        unknown = [one.name for one, there in zip(vocabulary.diseases, known, strict=True) if not there]
        label_counts["diseases_with_unknown_labels"] = len(unknown)
        named = f" ({', '.join(unknown)})" if known.any() else ""
        rejects.warnings.append(
            f"{located.source.title} has no codes of {len(unknown)} of {len(known)} diseases{named}: their labels are "
            "unknown, so that nothing can be trained on or scored by them"
        )
    notes = make_note_reader(con, located, config.note_policy, stays, rejects)

    write_groups(folder, located.release.name, stays)
    table, patients = _with_splits(stays, config)
    range_set = vocabulary.range_set(config.range_set)
    audit = LeakageAudit(definitions)
    with example_writer(folder / "data", vocabulary, audit) as write:
        for start in range(0, len(table), PART):
            report(Progress(start, len(table), "examples"))
            part = table.slice(start, PART).sort_by([("split", "ascending"), ("stay_id", "ascending")])
            examples = assemble(
                located.release.name,
                part,
                series.read(part),
                labels=Labels(labels, known),
                notes=notes.read(part),
                note_policy=config.note_policy,
                vocabulary=vocabulary,
                range_set=range_set,
            )
            write(examples, part["split"].to_numpy())
    report(Progress(len(table), len(table), "examples"))
    return {
        "cohort": filter_counts,
        "patients": patients,
        "examples": {**audit.examples, "total": len(table)},
        "series": series.counts,
        "absent_tables": sorted(set(located.source.tables) - set(located.paths)),
        "records": [*made, *records],
        "items": reject_log,
        "labels": label_counts,
        "positives": audit.positives(),
        "notes": notes.counts,
        "leakage_audit": audit.result(),
        "unreadable": rejects.log,
        "warnings": rejects.warnings,
    }


def _with_splits(stays: Any, config: CohortConfig) -> tuple[pa.Table, int]:
    """Ids, prediction time and split (position in `SPLITS`) of every stay by stay_id; and the number of patients."""
    end = config.window_hours
    prediction_time = stays.stay_hours if end is None else stays.stay_hours.clip(upper=end)
    keys = stays.select("subject_id", "hadm_id", "stay_id", prediction_time=prediction_time)
    table = keys.order_by("stay_id").to_pyarrow()
    subjects = table["subject_id"].to_pylist()
    splits = assign_splits(
        sorted(set(subjects)),
        seed=config.seed,
        fractions=config.split_fractions,
        split_file=config.split_file,
    )
    split_of_stay = pa.array([SPLITS.index(splits[subject]) for subject in subjects], pa.int8())
    return table.append_column("split", split_of_stay), len(splits)


def _in_words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in counts.items())
