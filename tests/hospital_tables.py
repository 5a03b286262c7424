"""Tables of the synthetic hospital, read and written: with one more measurement, or as another hospital has them."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from conftest import ROOT


def read_table(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def add_lactate(tables: Path) -> None:
    """Append a lactate of every few hours to the hospital's laboratory: high in admissions that are coded as shock."""
    listed = read_table(tables / "hosp" / "diagnoses_icd.csv.gz")
    shocked = {row["hadm_id"] for row in listed if row["icd_code"].startswith(("7855", "R57", "R6521"))}
    path = tables / "hosp" / "labevents.csv.gz"
    rows = read_table(path)
    for number, stay in enumerate(read_table(tables / "icu" / "icustays.csv.gz")):
        start = datetime.fromisoformat(stay["intime"])
        for hour in range(1, 24, 3):
            value = f"{(3.5 if stay['hadm_id'] in shocked else 1.0) + hour / 20:.1f}"
            new = {"labevent_id": 10**9 + 100 * number + hour, "itemid": 50813, "value": value, "valuenum": value}
            new |= {name: stay[name] for name in ("subject_id", "hadm_id")}
            new |= {"charttime": start + timedelta(hours=hour), "valueuom": "mmol/L"}
            rows.append({**dict.fromkeys(rows[0], ""), **new})
    write_table(path, rows)


def rename_hospital(source: dict[str, Any], tables: Path, target: Path) -> None:
    """Write the synthetic hospital under the file, column and item names of a source's YAML."""
    shipped = yaml.safe_load((ROOT / "dataset_builder" / "sources" / "mimic-iv.yaml").read_text(encoding="utf-8"))
    items = {
        str(old["item"]): new["item"]
        for variable, listed in source["items"].items()
        for new in listed
        for old in shipped["items"][variable]
        if (old["table"], old["label"]) == (new["table"], new["label"])
    }
    for name, table in source["tables"].items():
        before = shipped["tables"][name]
        (path,) = tables.rglob(f"{before['file']}.csv.gz")
        columns = {old: table["columns"][logical] for logical, old in before["columns"].items()}
        rows = [{new: row[old] for old, new in columns.items()} for row in read_table(path)]
        if "item" in table["columns"]:
            rows = [{**row, column: items[row[column]]} for row in rows if (column := table["columns"]["item"])]
        write_table(target / f"{table['file']}.csv.gz", rows)
