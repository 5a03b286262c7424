"""Times the cohort builder beside MEDS-extract, the engine of MIMIC_IV_MEDS, on the same tables in the same run.

    python benchmarks/extraction_peers.py --converter ENVIRONMENT/bin/meds-extract-run [--copies 1 20] [--runs 5]
        [--root MIMIC-IV-DEMO] [--folder DIR]

The tables are the MIMIC-IV demo's, each patient as many times as --copies says, under other numbers. `build` is
`clinragen build mimic-iv`; `events` is `meds-extract-run` (`pip install meds-extract`, in an environment of its own)
with recipes/meds/mimic-iv-events.yaml, the tables that a cohort is built from; `cohort` is `clinragen build meds` of
these events, so that both ways end with the same examples. MIMIC_IV_MEDS's own specification reads tables that the
reference data lack. The whole commands are timed, alternating. Memory is the largest process's own peak: of
MEDS-extract, which starts several, at least so much.
Medians go to benchmarks/results/extraction_peers.json; nothing is written if a command fails.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb
from machine import BIN, ROOT, SHARED, apart, commit, processor
from meds_parity import conversion

from dataset_builder.storage.files import write_json

RESULT = ROOT / "benchmarks" / "results" / "extraction_peers.json"
IDS = ("subject_id", "hadm_id", "stay_id")
APART = 10**9  # a copy's numbers are the demo's plus this, times the copy's number
SETTINGS = ("--note-policy", "structured", "--window", "first-48h")
Measured = tuple[float, float]
"""Seconds, and GiB of the largest process."""


def replicate(root: Path, folder: Path, copies: int) -> int:
    """Write the demo's tables with every patient `copies` times; return their size in bytes."""
    con = duckdb.connect()
    for path in sorted(root.rglob("*.csv.gz")):
        source = f"read_csv('{path}', all_varchar=true, header=true, delim=',', quote='\"', escape='\"')"
        names = [name for name, *_ in con.sql(f"DESCRIBE SELECT * FROM {source}").fetchall()]
        ids = [f"CAST(CAST({name} AS BIGINT) + copy * {APART} AS VARCHAR) AS {name}" for name in IDS if name in names]
        rows = f"SELECT * EXCLUDE (copy) REPLACE ({', '.join(ids)}) FROM {source}, range({copies}) AS copies(copy)"
        query = rows if ids else f"SELECT * FROM {source}"
        output = folder / path.relative_to(root)
        output.parent.mkdir(parents=True, exist_ok=True)
        con.execute(f"COPY ({query}) TO '{output}' (FORMAT csv, HEADER, COMPRESSION gzip)")
    return sum(path.stat().st_size for path in folder.rglob("*.csv.gz"))


def measured(words: Sequence[object], environment: Mapping[str, str] | None = None) -> Measured:
    """Run a command to its end, in an environment or in this process's."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([*map(str, words)], stdout=said, stderr=said, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            sys.exit(f"{words[0]} failed; nothing is written:\n{said.read().decode(errors='replace')[-2000:]}")
    return seconds, usage.ru_maxrss / 2**20


def once(tables: Path, folder: Path, converter: str) -> dict[str, Measured]:
    """Each of the commands once, its output removed."""
    events = folder / "events"
    build = (BIN / "clinragen", "build", "mimic-iv", "--root", tables, "--output", folder / "tables-cohort", *SETTINGS)
    cohort = (BIN / "clinragen", "build", "meds", "--root", events, "--output", folder / "events-cohort", *SETTINGS)
    found = {"build": measured(build), "events": measured(*conversion(converter, tables, events))}
    found["cohort"] = measured(cohort)
    for output in ("tables-cohort", "events", "events-cohort"):
        shutil.rmtree(folder / output)
    return found


def measure(root: Path, folder: Path, converter: str, copies: int, runs: int) -> dict[str, Any]:
    """Medians over `runs` runs at one size."""
    tables = folder / "tables"
    size = apart(replicate, root, tables, copies)
    found = []
    for run in range(runs + 1):
        this = once(tables, folder, converter)
        said = ", ".join(f"{name} {seconds:.1f} s {memory:.2f} GiB" for name, (seconds, memory) in this.items())
        print(f"{copies} copies, run {run}: {said}", flush=True)
        if run:  # the first reads the files into the page cache
            found.append(this)
    shutil.rmtree(tables)
    return {
        "copies": copies,
        "tables_mib": round(size / 2**20, 1),
        "seconds": {name: round(statistics.median(run[name][0] for run in found), 2) for name in found[0]},
        "peak_memory_gib": {name: round(max(run[name][1] for run in found), 2) for name in found[0]},
        "time_of_events": round(statistics.median(run["build"][0] / run["events"][0] for run in found), 3),
        "memory_of_events": round(statistics.median(run["build"][1] / run["events"][1] for run in found), 3),
    }


def main() -> None:
    """Measure every size and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--converter", required=True, help="meds-extract-run of an environment of its own")
    parser.add_argument("--root", type=Path, default=SHARED / "data" / "mimic-iv-demo")
    parser.add_argument("--copies", type=int, nargs="+", default=[1, 20])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the tables are made [default: a temporary folder]")
    chosen = parser.parse_args()
    asked = [
        Path(chosen.converter).parent / "python",
        "-c",
        "from importlib.metadata import version as v; print(v('meds-extract'), v('polars'))",
    ]
    engine, polars = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        sizes = [
            measure(chosen.root, Path(folder), chosen.converter, copies, chosen.runs)
            for copies in sorted(chosen.copies)
        ]
    result = {
        "command": f"python benchmarks/extraction_peers.py --converter meds-extract-run --copies "
        f"{' '.join(map(str, chosen.copies))} --runs {chosen.runs}",
        "commit": commit(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("duckdb", "ibis-framework", "pyarrow")}
        | {"meds-extract": engine, "polars": polars},
        "sizes": sizes,
    }
    write_json(RESULT, result)


if __name__ == "__main__":
    main()
