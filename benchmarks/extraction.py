"""Times the cohort builder on chart events of three sizes against a bare scan of the same files.

    python benchmarks/extraction.py [--events 1 10 100] [--runs 5] [--format csv.gz] [--folder DIR]

The tables have MIMIC-IV's layout and the demo's proportions: about 4,800 chart events a stay, one in seven of an item
that the builder wants. `scan` is DuckDB reading the columns that the builder needs, once; `build` is the whole of
`build_cohort`. Both run in processes of their own, alternating, and are timed from the start of Python until the
result is there: Python's imports count, its exit and the making of the tables do not.
Medians and peak memory go to benchmarks/results/extraction.json, with the projection for MIMIC-IV 3.1. Nothing is
written if a run fails. The default sizes take about ten minutes on two cores, and 1 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import duckdb
from machine import apart, commit

from dataset_builder.engines.duckdb import MEMORY, THREADS

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "extraction.json"
MILLION = 1_000_000
MIMIC_IV_3_1_EVENTS = 433  # millions
EVENTS_PER_STAY = 4800
WANTED = (220045, 220277, 220210, 220179, 220180, 220181, 223762, 220050, 220051, 220052, 223835, 225664)
OTHER_ITEMS = 400

CHART = """
SELECT 10000000 + stay AS subject_id, 20000000 + stay AS hadm_id, 30000000 + stay AS stay_id, 7 AS caregiver_id,
       strftime(TIMESTAMP '2150-01-01' + INTERVAL 1 MINUTE * CAST(step * 0.6 AS INTEGER), '%Y-%m-%d %H:%M:%S')
           AS charttime,
       strftime(TIMESTAMP '2150-01-01' + INTERVAL 1 MINUTE * CAST(step * 0.6 + 3 AS INTEGER), '%Y-%m-%d %H:%M:%S')
           AS storetime,
       CASE WHEN hash(number) % 7 = 0 THEN list_extract([{wanted}], 1 + CAST(hash(number, 1) % {count} AS INTEGER))
            ELSE 226000 + CAST(hash(number, 2) % {others} AS INTEGER) END AS itemid,
       CAST(60 + hash(number, 3) % 60 AS VARCHAR) AS value, CAST(60 + hash(number, 3) % 60 AS DOUBLE) AS valuenum,
       'units' AS valueuom, 0 AS warning
FROM (SELECT range AS number, range // {per_stay} AS stay, range % {per_stay} AS step FROM range({events}))
"""
OTHERS = {
    "hosp/patients": "SELECT 10000000 + range AS subject_id, 'F' AS gender, 60 AS anchor_age, 2150 AS anchor_year",
    "hosp/admissions": "SELECT 10000000 + range AS subject_id, 20000000 + range AS hadm_id, '2149-12-31 20:00:00' AS "
    "admittime, '2150-01-09 00:00:00' AS dischtime, 'URGENT' AS admission_type, 'ER' AS admission_location",
    "hosp/diagnoses_icd": "SELECT 20000000 + range AS hadm_id, '5849' AS icd_code, 9 AS icd_version",
    "icu/icustays": "SELECT 10000000 + range AS subject_id, 20000000 + range AS hadm_id, 30000000 + range AS stay_id, "
    "'MICU' AS first_careunit, 'MICU' AS last_careunit, '2150-01-01 00:00:00' AS intime, '2150-01-05 00:00:00' AS "
    "outtime",
    "hosp/labevents": "SELECT 10000000 + range AS subject_id, 20000000 + range AS hadm_id, '2150-01-01 05:00:00' AS "
    "charttime, 50820 AS itemid, '7.3' AS value, 7.3 AS valuenum",
}
SCAN = """
import sys, duckdb
con = duckdb.connect(config={"threads": int(sys.argv[2]), "memory_limit": sys.argv[3]})
source = f"read_parquet('{sys.argv[1]}')" if sys.argv[1].endswith("parquet") else \\
    f"read_csv('{sys.argv[1]}', all_varchar=true, header=true, delim=',', quote='\\"', escape='\\"')"
columns = ("stay_id", "charttime", "itemid", "value", "valuenum")
print(con.sql(f"SELECT {', '.join(f'count({column})' for column in columns)} FROM {source}").fetchall())
"""
BUILD = """
import sys
from pathlib import Path
from dataset_builder.cohort.build import build_cohort
from dataset_builder.cohort.config import CohortConfig
config = CohortConfig(note_policy="structured", window="stay")
build_cohort("mimic-iv", Path(sys.argv[1]), Path(sys.argv[2]), config)
"""


def make_tables(folder: Path, events: int, suffix: str) -> Path:
    """Write the tables of a hospital with `events` chart events; return the chart events' file."""
    stays = -(-events // EVENTS_PER_STAY)
    con = duckdb.connect()
    kind = "(FORMAT parquet)" if suffix == "parquet" else "(FORMAT csv, HEADER, COMPRESSION gzip)"
    chart = CHART.format(
        wanted=", ".join(map(str, WANTED)),
        count=len(WANTED),
        others=OTHER_ITEMS,
        per_stay=EVENTS_PER_STAY,
        events=events,
    )
    queries = {name: f"{query} FROM range({stays})" for name, query in OTHERS.items()} | {"icu/chartevents": chart}
    for name, query in queries.items():
        path = folder / f"{name}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        con.execute(f"COPY ({query}) TO '{path}' {kind}")
    return folder / f"icu/chartevents.{suffix}"


def measured(code: str, *words: object) -> tuple[float, float]:
    """Seconds until Python code has run, in a process of its own, and that process's peak memory (GiB)."""
    command = [sys.executable, "-W", "ignore", "-c", f"{code}\nimport time\nprint(time.monotonic())"]
    started = time.monotonic()
    with subprocess.Popen([*command, *map(str, words)], stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"a measured process ended with {process.returncode}; nothing is written")
    # The clock is the machine's: it reads the same in every process.
    return float(printed.splitlines()[-1]) - started, usage.ru_maxrss / 2**20


def measure(folder: Path, millions: float, runs: int, suffix: str) -> dict[str, float]:
    """Medians over `runs` alternating runs at one size."""
    tables = folder / "tables"
    chart = apart(make_tables, tables, int(millions * MILLION), suffix)
    scans, builds, memory = [], [], []
    for run in range(runs + 1):
        scan, _ = measured(SCAN, chart, THREADS, MEMORY)
        build, peak = measured(BUILD, tables, folder / "out")
        shutil.rmtree(folder / "out")
        if run:  # the first reads the files into the page cache
            scans.append(scan)
            builds.append(build)
            memory.append(peak)
        print(f"{millions} million, run {run}: scan {scan:.1f} s, build {build:.1f} s, {peak:.2f} GiB", flush=True)
    size = chart.stat().st_size / 2**30
    shutil.rmtree(tables)
    return {
        "million_events": millions,
        "file_gib": round(size, 3),
        "scan_seconds": round(statistics.median(scans), 2),
        "build_seconds": round(statistics.median(builds), 2),
        "ratio": round(statistics.median(b / s for b, s in zip(builds, scans, strict=True)), 2),
        "peak_memory_gib": round(max(memory), 2),
    }


def projection(sizes: list[dict[str, float]]) -> dict[str, float]:
    """Straight line through the smallest and the largest size, to MIMIC-IV 3.1."""
    first, last = sizes[0], sizes[-1]
    span = last["million_events"] - first["million_events"]
    line = {}
    for name in ("build_seconds", "scan_seconds"):
        slope = (last[name] - first[name]) / span
        line[name] = round(last[name] + slope * (MIMIC_IV_3_1_EVENTS - last["million_events"]), 0)
    return {"million_events": MIMIC_IV_3_1_EVENTS, **line}


def main() -> None:
    """Measure every size and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=float, nargs="+", default=[1, 10, 100], help="millions of chart events")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--format", choices=("csv.gz", "parquet"), default="csv.gz")
    parser.add_argument("--folder", type=Path, help="where the tables are made [default: a temporary folder]")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        sizes = [measure(Path(folder), millions, chosen.runs, chosen.format) for millions in sorted(chosen.events)]
    result = {
        "command": f"python benchmarks/extraction.py --events {' '.join(f'{size:g}' for size in chosen.events)} "
        f"--runs {chosen.runs} --format {chosen.format}",
        "commit": commit(),
        "timed": "from the start of Python until the result is there, alternating; the tables were made before",
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("duckdb", "ibis-framework", "pyarrow")},
        "sizes": sizes,
        "projection_mimic_iv_3_1": projection(sizes) if len(sizes) > 1 else None,
    }
    recorded = json.loads(RESULT.read_text()) if RESULT.is_file() else {}
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    beside = RESULT.with_suffix(".partial")
    beside.write_text(json.dumps({**recorded, chosen.format: result}, indent=2, sort_keys=True) + "\n")
    beside.replace(RESULT)


if __name__ == "__main__":
    main()
