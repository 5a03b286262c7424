"""The tiny MIMIC-IV hospital as a MEDS dataset, written row by row: what a converter makes of the same tables."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tiny_mimic import TinyMimic

SCHEMA = pa.schema(
    {
        "subject_id": pa.int64(),
        "time": pa.timestamp("us"),
        "code": pa.string(),
        "numeric_value": pa.float32(),
        "text_value": pa.large_string(),
    }
)
IDS = {"hadm_id": pa.int64(), "icustay_id": pa.int64()}
UNITS = {220045: "bpm", 220277: "%", 220180: "mmHg", 223761: "°F", 223762: "°C", 50931: "mg/dL", 220621: "mg/dL"}

Event = dict[str, Any]


def events_of(hospital: TinyMimic, units: Mapping[int, str] = UNITS) -> list[Event]:
    """Every event of the hospital, with the ids of admissions and stays."""
    made: list[Event] = []
    rows = hospital.rows
    owner = {row["hadm_id"]: row for row in rows["hosp/admissions"]}
    for row in rows["hosp/patients"]:
        made.append({"subject_id": row["subject_id"], "time": None, "code": f"GENDER//{row['gender']}"})
        born = datetime(row["anchor_year"] - row["anchor_age"], 1, 1)
        made.append({"subject_id": row["subject_id"], "time": born, "code": "MEDS_BIRTH"})
    for row in rows["hosp/admissions"]:
        ids = {"subject_id": row["subject_id"], "hadm_id": row["hadm_id"]}
        code = f"HOSPITAL_ADMISSION//{row['admission_type']}//{row['admission_location'] or 'UNK'}"
        made.append({**ids, "time": row["admittime"], "code": code})
        made.append({**ids, "time": row["dischtime"], "code": "HOSPITAL_DISCHARGE//HOME"})
    for row in rows["icu/icustays"]:
        ids = {"subject_id": row["subject_id"], "hadm_id": row["hadm_id"], "icustay_id": row["stay_id"]}
        made.append({**ids, "time": row["intime"], "code": f"ICU_ADMISSION//{row['first_careunit']}"})
        made.append({**ids, "time": row["outtime"], "code": f"ICU_DISCHARGE//{row['last_careunit']}"})
    for row in rows["hosp/diagnoses_icd"]:
        ids = {"subject_id": row["subject_id"], "hadm_id": row["hadm_id"]}
        code = f"DIAGNOSIS//ICD//{row['icd_version']}//{row['icd_code']}"
        made.append({**ids, "time": owner[row["hadm_id"]]["dischtime"], "code": code})
    for row in rows["note/discharge"]:
        ids = {"subject_id": owner[row["hadm_id"]]["subject_id"], "hadm_id": row["hadm_id"]}
        made.append(
            {
                **ids,
                "time": owner[row["hadm_id"]]["dischtime"],
                "code": f"NOTE//{row['note_type']}",
                "text_value": row["text"],
            }
        )
    for table, begin, ids in (
        ("icu/chartevents", "LAB", {"icustay_id": "stay_id"}),
        ("hosp/labevents", "LAB//RESULT", {"hadm_id": "hadm_id"}),
    ):
        for row in (one for one in rows[table] if one["charttime"] is not None):
            code = f"{begin}//{row['itemid']}//{units.get(row['itemid'], 'UNK')}"
            value = None if row["value"] is None else str(row["value"])
            own = {name: row.get(column) for name, column in ids.items()}
            event = {"subject_id": row["subject_id"], "time": row["charttime"], "code": code, **own}
            made.append({**event, "numeric_value": row["valuenum"], "text_value": value})
    return made


def write_meds(
    events: Sequence[Event], root: Path, *, ids: bool = True, shards: int = 2, seed: int | None = None
) -> Path:
    """Write events as a MEDS dataset below `root`: by patient and time, or with a seed in any order."""
    kinds = [*SCHEMA, *([pa.field(name, kind) for name, kind in IDS.items()] if ids else [])]
    extra = sorted({name for event in events for name in event} - set(SCHEMA.names) - set(IDS))
    schema = pa.schema([*kinds, *(pa.field(name, pa.string()) for name in extra)])
    ordered = sorted(events, key=lambda event: (event["subject_id"], event["time"] or datetime.min))
    shard_of = [event["subject_id"] % shards for event in ordered]
    if seed is not None:
        random.Random(seed).shuffle(ordered)
        shard_of = [random.Random(seed + n).randrange(shards) for n in range(len(ordered))]
    for shard in range(shards):
        path = root / "data" / ("train", "tuning")[shard % 2] / f"{shard}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        own = [event for event, place in zip(ordered, shard_of, strict=True) if place == shard]
        rows = [{name: event.get(name) for name in schema.names} for event in own]
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return root
