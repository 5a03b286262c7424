"""The MIMIC-IV 2.2 tables that the synthetic hospital writes: their columns, and gzip writers for rows and columns.

Bytes depend on the content only: no time stamp in the gzip header, a fixed compression level.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from dataset_builder.contract.truth import TRUTH

COMPRESSION = 3

_COLUMNS = {
    "hosp/patients": "subject_id gender anchor_age anchor_year anchor_year_group dod",
    "hosp/admissions": (
        "subject_id hadm_id admittime dischtime deathtime admission_type admit_provider_id admission_location "
        "discharge_location insurance language marital_status race edregtime edouttime hospital_expire_flag"
    ),
    "hosp/diagnoses_icd": "subject_id hadm_id seq_num icd_code icd_version",
    "hosp/d_labitems": "itemid label fluid category",
    "hosp/labevents": (
        "labevent_id subject_id hadm_id specimen_id itemid order_provider_id charttime storetime value valuenum "
        "valueuom ref_range_lower ref_range_upper flag priority comments"
    ),
    "hosp/services": "subject_id hadm_id transfertime prev_service curr_service",
    "hosp/prescriptions": (
        "subject_id hadm_id pharmacy_id poe_id poe_seq order_provider_id starttime stoptime drug_type drug "
        "formulary_drug_cd gsn ndc prod_strength form_rx dose_val_rx dose_unit_rx form_val_disp form_unit_disp "
        "doses_per_24_hrs route"
    ),
    "hosp/microbiologyevents": (
        "microevent_id subject_id hadm_id micro_specimen_id order_provider_id chartdate charttime spec_itemid "
        "spec_type_desc test_seq storedate storetime test_itemid test_name org_itemid org_name isolate_num quantity "
        "ab_itemid ab_name dilution_text dilution_comparison dilution_value interpretation comments"
    ),
    "hosp/transfers": "subject_id hadm_id transfer_id eventtype careunit intime outtime",
    "icu/icustays": "subject_id hadm_id stay_id first_careunit last_careunit intime outtime los",
    "icu/chartevents": (
        "subject_id hadm_id stay_id caregiver_id charttime storetime itemid value valuenum valueuom warning"
    ),
    "icu/d_items": ("itemid label abbreviation linksto category unitname param_type lownormalvalue highnormalvalue"),
    "note/discharge": "note_id subject_id hadm_id note_type note_seq charttime storetime text",
}
COLUMNS: dict[str, tuple[str, ...]] = {table: tuple(names.split()) for table, names in _COLUMNS.items()}
# A builder recognises the release by the first words.
LICENCE = """Synthetic hospital in the layout of MIMIC-IV, written by ClinRaGen's dataset_builder.synthetic.

Every patient, note and measurement is generated; none describes a real person. Dedicated to the public domain under
Creative Commons Zero v1.0 Universal (CC0-1.0), https://creativecommons.org/publicdomain/zero/1.0/
"""


class TableWriters:
    """Open gzip writers for every table of a folder; use as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stack = ExitStack()
        self.streams: dict[str, gzip.GzipFile] = {}

    def __enter__(self) -> TableWriters:
        with self.stack:
            for table, columns in COLUMNS.items():
                self._open(table, self.folder / f"{table}.csv.gz").write(",".join(columns).encode() + b"\n")
            self._open(TRUTH, self.folder / TRUTH)
            self.stack = self.stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stack.close()

    def _open(self, name: str, path: Path) -> gzip.GzipFile:
        path.parent.mkdir(parents=True, exist_ok=True)
        raw = self.stack.enter_context(path.open("wb"))
        stream = gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=COMPRESSION, mtime=0)
        self.streams[name] = self.stack.enter_context(stream)
        return stream

    def rows(self, table: str, rows: Iterable[Sequence[Any]]) -> None:
        """Write rows of a small table in column order; None and "" become an empty field."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self.streams[table].write(text.getvalue().encode())

    def records(self, table: str, records: Iterable[Mapping[str, Any]]) -> None:
        """Write rows given by column name; an absent column is empty, an unknown one an error of the caller."""
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS[table], restval="", lineterminator="\n")
        writer.writerows(records)
        self.streams[table].write(text.getvalue().encode())

    def columns(self, table: str, columns: Mapping[str, Any]) -> None:
        """Write whole columns (numpy or arrow arrays of one length); absent columns are empty. No field is quoted."""
        import pyarrow as pa
        import pyarrow.csv as arrow_csv

        count = len(next(iter(columns.values())))
        nothing = pa.nulls(count, pa.string())
        content = pa.table({name: columns.get(name, nothing) for name in COLUMNS[table]})
        buffer = io.BytesIO()
        arrow_csv.write_csv(content, buffer, arrow_csv.WriteOptions(include_header=False, quoting_style="none"))
        self.streams[table].write(buffer.getbuffer())

    def truth(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Write one line of JSON for each record."""
        lines = (json.dumps(record, sort_keys=True, ensure_ascii=False) + "\n" for record in records)
        self.streams[TRUTH].write("".join(lines).encode())
