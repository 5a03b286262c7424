"""A written synthetic hospital, with its tables to query and its notes to read."""

from __future__ import annotations

import csv
import gzip
import json
import re
from pathlib import Path
from typing import Any

import duckdb

from dataset_builder.contract.truth import TRUTH
from dataset_builder.storage.files import file_digest

PATIENTS = 500
HEADING = re.compile(r"\n \n(?=[A-Z][A-Za-z ]+:)")


class Hospital:
    """A written hospital: its folder, its counts, and its tables through duckdb."""

    def __init__(self, folder: Path, counts: dict[str, int]) -> None:
        self.folder = folder
        self.counts = counts
        self.connection = duckdb.connect()
        self.connection.execute("set threads = 1")
        with gzip.open(folder / TRUTH, "rt", encoding="utf-8") as stream:
            self.truth: list[dict[str, Any]] = [json.loads(line) for line in stream]
        self.notes = dict(self.query("select hadm_id, text from {note/discharge}"))

    def query(self, sql: str) -> list[tuple]:
        """Run SQL; {folder/table} stands for a table."""
        sql = re.sub(r"\{(.+?)\}", lambda found: f"read_csv('{self.folder}/{found[1]}.csv.gz')", sql)
        return self.connection.execute(sql).fetchall()

    def sections(self, hadm_id: int) -> dict[str, str]:
        """The note's sections by heading, split independently of the project's parser."""
        parts = [part.split(":", 1) for part in HEADING.split(self.notes[hadm_id])]
        return {part[0]: part[1] for part in parts}


def digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): file_digest(path) for path in sorted(folder.rglob("*.gz"))}


def rows_of(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        return [json.dumps(row) for row in csv.reader(stream)]
