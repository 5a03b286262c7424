"""MEDS datasets: the same examples as from the tables that the events were made of, and what is said of bad ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from tiny_meds import Event, events_of, write_meds
from tiny_mimic import DBP, HR, START, TinyMimic, digests, examples_of, item_log, make_cohort, values_of

from clinragen.pipeline.build import BuildConfig
from clinragen.pipeline.digests import HashCache
from clinragen.pipeline.tables import Tables
from dataset_builder.contract.definitions import shipped_definitions
from dataset_builder.sources.spec import SOURCES, load_source
from modeling_clinragen.errors import InputDataError, SettingsError

FAHRENHEIT, CELSIUS, LAB_GLUCOSE, CHART_GLUCOSE = 223761, 223762, 50931, 220621


def hospital() -> TinyMimic:
    """Stays with notes, laboratory results, temperatures in two units, and readings of a monitor."""
    made = TinyMimic()
    codes = ((("5849", 9), ("I10", 10)), (("0389", 9),), (("41401", 9),))
    for number in range(1, 7):
        made.stay(number, codes=codes[number % 3], note=f"Chief Complaint:\nDyspnea {number}")
        for hour in range(1, 8):
            made.chart(number, hour * 1.7, HR, 60 + number * hour)
            made.chart(number, hour * 1.7, DBP, f"{50 + hour}")
            made.lab(number, hour * 3, LAB_GLUCOSE, 100.3 + hour, hadm_id=None if hour % 2 else "own")
        made.chart(number, 2, FAHRENHEIT, 98.6)
        # The lowest plausible temperature: in single precision it is a little lower.
        made.chart(number, 4, CELSIUS, 14.2)
        made.chart(number, 5, HR, 999)
        made.chart(number, 100, HR, 80)
    return made


def build_both(folder: Path, events: list[Event], **settings: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The provenance of the cohort of tables and of that of events, in `tables` and `events` below `folder`."""
    settings = {"note_policy": "full", **settings}
    root = hospital().write(folder / "mimic")
    native = make_cohort("mimic-iv", root, folder / "tables", **settings)
    return native, make_cohort("meds", write_meds(events, folder / "meds"), folder / "events", **settings)


def own_source(folder: Path, change: Callable[[dict[str, Any]], None]) -> str:
    content = yaml.safe_load((SOURCES / "meds.yaml").read_text(encoding="utf-8"))
    change(content)
    path = folder / "my-meds.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return str(path)


def record(provenance: Mapping[str, Any], what: str) -> dict[str, Any]:
    return next(one for one in provenance["records"] if one["what"] == what)


@pytest.mark.parametrize("policy", ["full", "structured"])
def test_events_give_the_examples_of_the_tables(policy: str, tmp_path: Path) -> None:
    events = events_of(hospital())
    events += [{"subject_id": 1, "time": START, "code": code} for code in ("X//1", "X//2", "LAB//9//bpm", None)]
    native, provenance = build_both(tmp_path, events, note_policy=policy)
    assert digests(tmp_path / "tables") == digests(tmp_path / "events")
    groups = [pq.read_table(tmp_path / name / "groups.parquet") for name in ("tables", "events")]
    assert groups[0] == groups[1]
    assert (native["cohort"], native["labels"]) == (provenance["cohort"], provenance["labels"])
    (row,) = [row for number, row in examples_of(tmp_path / "events").items() if number == 3]
    assert values_of(row, "temperature") == [(2.0, 37.0), (4.0, 14.2)]
    assert [disease for disease in row["diagnoses"] if "renal" in disease]
    left_out = {"without_a_code": 1, "of_other_codes": 3}
    assert record(provenance, "events") == {"what": "events", "rows": len(events), "left_out": left_out}
    own, found = item_log(native, HR), item_log(provenance, f"LAB//{HR}//bpm")
    assert own["rejected"] == {"implausible": 6, "outside_stay": 6}
    assert [found[name] for name in ("rows", "used", "rejected")] == [
        own[name] for name in ("rows", "used", "rejected")
    ]


def test_the_order_of_events_and_shards_makes_no_difference(tmp_path: Path) -> None:
    events = events_of(hospital())
    made = []
    for name, settings in {"sorted": {"shards": 1}, "any": {"seed": 3, "shards": 4}}.items():
        root = write_meds(events, tmp_path / name, **settings)
        make_cohort("meds", root, tmp_path / f"{name}-cohort", note_policy="full")
        made.append(digests(tmp_path / f"{name}-cohort"))
    assert made[0] == made[1]


def without_ids(content: dict[str, Any]) -> None:
    """A source of events that have the five columns of MEDS alone."""
    tables = content["tables"]
    for name in ("admissions", "stays"):
        del tables[name]["key"]
    tables["admissions"]["columns"]["hadm_id"] = "period"
    tables["stays"]["columns"] |= {"hadm_id": "within/admissions", "stay_id": "period"}
    for name in ("diagnoses", "notes", "services", "prescriptions", "microbiology"):
        tables[name]["columns"]["hadm_id"] = "within/admissions"
    del tables["chart"]["columns"]["stay_id"]
    tables["chart"]["columns"]["subject_id"] = "subject_id"
    for name in ("chart", "lab"):
        tables[name] |= {"optional_columns": {}, "constants": {"hadm_id": None}}


def test_five_columns_are_enough(tmp_path: Path) -> None:
    made = hospital()
    # A patient comes back, and has two stays in the second admission.
    made.stay(7, patient=2, start=START + timedelta(days=30), codes=(("I10", 10),), note="Chief Complaint:\nFever")
    made.stay(8, patient=2, admission=107, start=START + timedelta(days=33, hours=1), hours=20)
    for number in (7, 8):
        made.chart(number, 24 * 30 + (number == 8) * 73 + 2, HR, 90 + number)
        made.rows["icu/chartevents"][-1]["subject_id"] = 2
    settings = {"note_policy": "full", "skip_filters": ("single_stay",)}
    make_cohort("mimic-iv", made.write(tmp_path / "mimic"), tmp_path / "tables", **settings)
    events = events_of(made)
    # Neither begins a stay that ends, nor is one in an admission, nor ends one.
    events += [
        {"subject_id": 3, "time": START + timedelta(days=90), "code": "ICU_ADMISSION//MICU"},
        {"subject_id": 3, "time": START + timedelta(days=91), "code": "ICU_DISCHARGE//MICU"},
        {"subject_id": 3, "time": START + timedelta(days=92), "code": "ICU_ADMISSION//MICU"},
        {"subject_id": 4, "time": START - timedelta(days=92), "code": "ICU_DISCHARGE//MICU"},
    ]
    source = own_source(tmp_path, without_ids)
    root = write_meds(events, tmp_path / "meds", ids=False)
    provenance = make_cohort(source, root, tmp_path / "events", **settings)
    ids = ("example_id", "hadm_id", "stay_id", "rationale_note", "rationale_lab")

    def by_time(folder: Path) -> list[dict[str, Any]]:
        rows = sorted(examples_of(folder).values(), key=lambda row: (row["subject_id"], row["stay_id"]))
        return [{name: value for name, value in row.items() if name not in ids} for row in rows]

    assert by_time(tmp_path / "tables") == by_time(tmp_path / "events")
    assert len(by_time(tmp_path / "events")) == 8
    assert record(provenance, "beginnings of stays")["left_out"] == {
        "repeated_or_without_a_time_or_key": 0,
        "without_an_end": 1,
        "outside_every_admission": 2,
    }
    assert record(provenance, "ends of stays")["left_out"] == {"without_a_beginning": 1}


def test_the_unit_of_each_value_decides(tmp_path: Path) -> None:
    made = TinyMimic()
    made.stay(1)
    for hour, (value, item) in enumerate([(90.0, LAB_GLUCOSE), (5.0, LAB_GLUCOSE), (7.0, LAB_GLUCOSE)], start=1):
        made.lab(1, hour, item, value)
    events = events_of(made)
    units = ["mg/dL", "mmol/L", "furlong"]
    for event in events:
        if event["code"].startswith("LAB//RESULT"):
            event["code"], event["unit"] = "LAB//RESULT//50931", units.pop(0)

    def by_column(content: dict[str, Any]) -> None:
        content["tables"]["lab"]["unit"] = "unit"
        content["items"]["glucose"] = [
            {"table": "lab", "item": "LAB//RESULT//50931", "label": "Glucose", "unit": "mg/dL"}
        ]

    source = own_source(tmp_path, by_column)
    provenance = make_cohort(source, write_meds(events, tmp_path / "m"), tmp_path / "c", note_policy="structured")
    assert values_of(examples_of(tmp_path / "c")[1], "glucose") == [(1.0, 90.0), (2.0, 90.078)]
    log = {entry["item"]: entry for entry in provenance["items"] if entry["rows"]}
    assert {item: entry["rejected"] for item, entry in log.items()} == {
        "LAB//RESULT//50931 [furlong]": {"unknown_unit": 1},
        "LAB//RESULT//50931 [mg/dL]": {},
        "LAB//RESULT//50931 [mmol/L]": {},
    }
    assert any("furlong" in warning for warning in provenance["warnings"])


def test_a_unit_in_the_code_converts_and_doubts_are_settled_in_the_file_s_own(tmp_path: Path) -> None:
    made = TinyMimic()
    made.stay(1)
    made.chart(1, 1, FAHRENHEIT, 98.6)
    made.chart(1, 2, FAHRENHEIT, 37.5)
    made.chart(1, 3, CHART_GLUCOSE, 5.0)
    plain = {**{HR: "bpm"}, FAHRENHEIT: "°F", CHART_GLUCOSE: "mmol/L"}
    root = write_meds(events_of(made, plain), tmp_path / "m")
    provenance = make_cohort("meds", root, tmp_path / "c", note_policy="structured")
    row = examples_of(tmp_path / "c")[1]
    assert values_of(row, "temperature") == [(1.0, 37.0), (2.0, 37.5)]
    assert values_of(row, "glucose") == [(3.0, 90.078)]
    assert item_log(provenance, f"LAB//{FAHRENHEIT}//°F")["settled"] == {"read as Celsius": 1}


def test_the_splits_of_the_dataset_can_be_taken(tmp_path: Path) -> None:
    root = write_meds(events_of(hospital()), tmp_path / "meds")
    names = {1: "train", 2: "tuning", 3: "held_out", 4: "train", 5: "held_out", 6: "train"}
    rows = pa.table({"subject_id": list(names), "split": list(names.values())})
    (root / "metadata").mkdir()
    pq.write_table(rows, root / "metadata" / "subject_splits.parquet")
    settings = {"note_policy": "full", "split_file": root / "metadata" / "subject_splits.parquet"}
    provenance = make_cohort("meds", root, tmp_path / "cohort", **settings)
    assert provenance["examples"] == {"train": 3, "validation": 1, "test": 2, "total": 6}
    (root / "metadata" / "subject_splits.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputDataError, match="not readable parquet with the columns subject_id and split"):
        make_cohort("meds", root, tmp_path / "again", **settings)


def test_a_changed_shard_is_another_input(tmp_path: Path) -> None:
    events = events_of(hospital())
    root = write_meds(events, tmp_path / "meds")
    config = BuildConfig(source="meds", note_policy="full")
    before = Tables(root, config).input_digest(HashCache(), ("*",))
    assert before == Tables(root, config).input_digest(HashCache(), ("*",))
    write_meds([*events, {"subject_id": 1, "time": START, "code": "X"}], root)
    assert before != Tables(root, config).input_digest(HashCache(), ("*",))


def cut(root: Path) -> None:
    path = root / "data" / "train" / "0.parquet"
    path.write_bytes(path.read_bytes()[:-100])


def without_column(root: Path) -> None:
    path = root / "data" / "train" / "0.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["code"]), path)


def with_text_times(root: Path) -> None:
    path = root / "data" / "train" / "0.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(1, "time", table["time"].cast(pa.string())), path)


def without_shards(root: Path) -> None:
    for path in (root / "data").rglob("*.parquet"):
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (cut, "0.parquet: is not readable parquet; it is damaged or cut off"),
        (without_column, "0.parquet: has no column 'code', so it is not a shard of a MEDS dataset"),
        (with_text_times, "0.parquet: column 'time' is of type string, not as MEDS has it"),
        (without_shards, "has no parquet file in data/; give the folder of a MEDS dataset"),
    ],
)
def test_a_damaged_dataset_is_named(spoil: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    root = write_meds(events_of(hospital()), tmp_path / "meds")
    spoil(root)
    with pytest.raises(InputDataError, match=re.escape(message)):
        make_cohort("meds", root, tmp_path / "cohort", note_policy="full")
    assert not (tmp_path / "cohort").exists()


def test_a_dataset_without_codes_or_with_others_is_named(tmp_path: Path) -> None:
    events = events_of(hospital())
    blank = write_meds([{**event, "code": None} for event in events], tmp_path / "blank")
    with pytest.raises(InputDataError, match="no event has a code; give a MEDS dataset"):
        make_cohort("meds", blank, tmp_path / "cohort", note_policy="full")
    others = [event for event in events if not event["code"].startswith("ICU")]
    others.append({"subject_id": 1, "time": START, "code": "John Doe 3/4"})
    with pytest.raises(InputDataError) as caught:
        make_cohort("meds", write_meds(others, tmp_path / "others"), tmp_path / "cohort", note_policy="full")
    message = str(caught.value)
    assert "codes (they begin with LAB, " in message
    assert "is like ICU_ADMISSION//*, which the table 'stays' of meds.yaml needs" in message
    assert "John" not in message


def test_without_notes_or_diagnoses_it_is_said(tmp_path: Path) -> None:
    events = [event for event in events_of(hospital()) if not event["code"].startswith(("NOTE", "DIAGNOSIS"))]
    root = write_meds(events, tmp_path / "meds")
    with pytest.raises(SettingsError, match="has no notes, which note policy 'full' needs"):
        make_cohort("meds", root, tmp_path / "cohort", note_policy="full")
    settings = {"note_policy": "structured", "skip_filters": ("coded",)}
    provenance = make_cohort("meds", root, tmp_path / "cohort", **settings)
    assert {"notes", "diagnoses"} <= set(provenance["absent_tables"])
    assert {label for row in examples_of(tmp_path / "cohort").values() for label in row["labels"]} == {None}


def test_two_variables_cannot_have_one_code(tmp_path: Path) -> None:
    def wider(content: dict[str, Any]) -> None:
        content["items"]["weight"].append({"table": "chart", "item": "LAB//2200*", "label": "x", "unit": "kg"})

    root = write_meds(events_of(hospital()), tmp_path / "meds")
    with pytest.raises(InputDataError, match=r"a code is like LAB//2200.* and LAB//220045.*, of two variables"):
        make_cohort(own_source(tmp_path, wider), root, tmp_path / "cohort", note_policy="full")


def change(table: str, **entries: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["tables"][table].update(entries)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (change("diagnoses", codes=[]), "table 'diagnoses': codes must be patterns"),
        (change("diagnoses", codes=[7]), "table 'diagnoses': codes must be patterns"),
        (change("patients", columns={"subject_id": "subject_id", "sex": "code/1"}), "column 'sex' must map patterns"),
        (change("notes", columns={"hadm_id": {"A": "time"}}), "column 'hadm_id' maps patterns, which needs one_per"),
        (change("notes", columns={"hadm_id": "within/stay"}), "'within/stay' needs a table 'stay' with ends"),
        (change("notes", columns={"hadm_id": "end/time"}), "has columns of a period and no events that end one"),
        (change("notes", columns={"hadm_id": "code/x"}), "'code/x' is not a part of a code"),
        (change("notes", columns={"hadm_id": "a/b"}), "'a/b' does not say where a value comes from"),
        (lambda content: content.update(layout="event"), "unknown layout 'event'"),
    ],
)
def test_a_faulty_source_file_is_named(made: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match=re.escape(message)):
        load_source(own_source(tmp_path, made), shipped_definitions())


def test_a_column_that_the_events_lack_is_named(tmp_path: Path) -> None:
    root = write_meds(events_of(hospital()), tmp_path / "meds", ids=False)
    with pytest.raises(
        InputDataError, match="the events have no column 'icustay_id', which the source's file refers to"
    ):
        make_cohort("meds", root, tmp_path / "cohort", note_policy="full")
