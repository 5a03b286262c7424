"""Compares the cohort of the MIMIC-IV demo's tables with that of the same tables as MEDS events.

    python benchmarks/meds_parity.py [--root MIMIC-IV-DEMO] [--converter meds-extract-run] [--meds FOLDER]

The events are made by MEDS-extract (`pip install meds-extract`, in an environment of its own) with
recipes/meds/mimic-iv-events.yaml, or were before (--meds). The demo defaults to the reference data
($CLINRAGEN_SHARED, or ../shared beside the project). Both cohorts are built with the same settings, several times with
others each. Written is benchmarks/results/meds_parity.json: every column of the examples that differs, and how the
counts of rows differ. Ends with an error when an example differs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from machine import SHARED, commit

from dataset_builder.cohort.build import build_cohort
from dataset_builder.cohort.config import FILTERS, CohortConfig
from dataset_builder.contract.groups import GROUPS
from dataset_builder.contract.schema import SPLITS
from dataset_builder.storage.files import read_json, write_json

ROOT = Path(__file__).resolve().parent.parent
EVENTS = ROOT / "recipes" / "meds" / "mimic-iv-events.yaml"
LICENCE = "LICENSE.txt"
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "first 48 hours": {},
    "whole stay by the hour": {"window": "stay", "grid": "hourly", "max_steps": None},
    "every stay": {"window": "stay", "max_steps": None, "skip_filters": FILTERS},
}


def conversion(converter: str, root: Path, output: Path) -> tuple[list[str], dict[str, str]]:
    """The command that makes MEDS events of the tables below `root`, and its environment."""
    words = [converter, f"spec={EVENTS}", f"input_dir={root}", f"output_dir={output}", "do_download=false"]
    # The converter starts programs of its own environment.
    path = os.pathsep.join([str(Path(converter).parent), os.environ.get("PATH", "")])
    return words, {**os.environ, "PATH": path}


def convert(converter: str, root: Path, output: Path) -> None:
    """Make MEDS events of the tables below `root`."""
    words, environment = conversion(converter, root, output)
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{converter} failed:\n{done.stderr[-2000:]}")


def differing(one: Path, other: Path) -> dict[str, int]:
    """By column of the examples and the groups, in how many examples two cohorts differ."""
    found: Counter[str] = Counter()
    for name in (*(f"data/{split}.parquet" for split in SPLITS), GROUPS):
        left, right = (pq.read_table(cohort / name).to_pylist() for cohort in (one, other))
        found["examples"] += abs(len(left) - len(right))
        for a, b in zip(left, right, strict=False):
            found.update(column for column in a if a[column] != b.get(column))
    return {column: count for column, count in found.items() if count}


def counts(tables: Mapping[str, Any], events: Mapping[str, Any]) -> dict[str, Any]:
    """Rows by variable that one has and the other has not, and of the filters and labels what differs."""
    rows = {}
    for what in ("rows", "used"):
        of_tables, of_events = (_by_variable(provenance, what) for provenance in (tables, events))
        rows[what] = {
            variable: {"tables": count, "events": of_events[variable]}
            for variable, count in sorted(of_tables.items())
            if count != of_events[variable]
        }
    same = {name: tables[name] == events[name] for name in ("cohort", "labels", "positives", "examples")}
    return {"measurements": rows, "same_counts": same}


def _by_variable(provenance: Mapping[str, Any], what: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for item in provenance["items"]:
        found[item["variable"]] += item[what]
    return found


def compare(root: Path, meds: Path, folder: Path) -> dict[str, Any]:
    """Both cohorts with each of `SETTINGS`."""
    found: dict[str, Any] = {}
    for name, settings in SETTINGS.items():
        config = CohortConfig(note_policy="structured", **settings)
        provenances = {}
        for source, place in (("mimic-iv", root), ("meds", meds)):
            output = folder / f"{len(found)}-{source}"
            provenances[source] = build_cohort(source, place, output, config)
        cohorts = [folder / f"{len(found)}-{source}" for source in provenances]
        tables, events = provenances.values()
        found[name] = {
            "examples": tables["examples"]["total"],
            "measurements_used": tables["series"]["measurements_used"],
            "differing_examples_by_column": differing(*cohorts),
            **counts(tables, events),
            "records_of_the_events": events["records"],
        }
        differ = found[name]["differing_examples_by_column"]
        print(f"{name}: {tables['examples']['total']} examples, differing: {differ or 'none'}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=SHARED / "data" / "mimic-iv-demo")
    parser.add_argument("--converter", default="meds-extract-run")
    parser.add_argument("--meds", type=Path)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "meds_parity.json")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        meds = given.meds
        if meds is None:
            converter = shutil.which(given.converter)
            if converter is None:
                sys.exit(f"{given.converter}: is not there; install meds-extract, or give its output with --meds")
            meds = Path(scratch) / "meds"
            convert(converter, given.root, meds)
            shutil.copy(given.root / LICENCE, meds)
        found = compare(given.root, meds, Path(scratch))
        metadata = read_json(meds / "metadata" / "dataset.json")
    result = {
        "what": "MIMIC-IV demo: cohort of the tables against cohort of the same tables as MEDS events",
        "events": {
            **{name: metadata.get(name) for name in ("etl_name", "etl_version", "meds_version", "dataset_version")},
            "configuration": EVENTS.relative_to(ROOT).as_posix(),
        },
        "settings": found,
        "commit": commit(),
        "versions": {name: version(name) for name in ("duckdb", "ibis-framework", "pyarrow")},
    }
    write_json(given.output, result)
    if any(one["differing_examples_by_column"] for one in found.values()):
        sys.exit("examples differ")


if __name__ == "__main__":
    main()
