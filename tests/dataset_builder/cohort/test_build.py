"""The cohort builder on hospitals of a few stays, where every value can be computed by hand."""

from __future__ import annotations

import gzip
import json
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from tiny_mimic import (
    DBP,
    HR,
    SPO2,
    START,
    VOCABULARY,
    TinyMimic,
    build,
    crowd,
    digests,
    examples_of,
    item_log,
    make_cohort,
    values_of,
)

from dataset_builder.cohort.config import FILTERS
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.schema import SPLITS, load_examples

FIO2, TEMP_F, TEMP_C, LBS = 223835, 223761, 223762, 226531
PH_LAB, GLUCOSE_LAB, URINE_GLUCOSE = 50820, 50931, 51478


def test_values_are_converted_by_their_item_and_its_rules(tmp_path: Path) -> None:
    hospital = TinyMimic()
    hospital.stay(1)
    for hours, item, value in [
        (1, FIO2, 40),  # percent
        (2, FIO2, 0.5),  # already a fraction
        (3, FIO2, 1),  # at 1 still a fraction
        (1, TEMP_F, 98.6),
        (2, TEMP_F, 37.5),  # can only be Celsius
        (3, TEMP_C, 36.5),
        (4, TEMP_C, 99.5),  # can only be Fahrenheit
        (1, LBS, 200),
        (1, SPO2, 97),
        (2, SPO2, 0.95),
    ]:
        hospital.chart(1, hours, item, value)
    rows, provenance = build(hospital, tmp_path)
    assert values_of(rows[1], "fraction_inspired_oxygen") == [(1, 0.4), (2, 0.5), (3, 1.0)]
    assert values_of(rows[1], "temperature") == [(1, 37.0), (2, 37.5), (3, 36.5), (4, 37.5)]
    assert values_of(rows[1], "weight") == [(1, 90.7185)]
    assert values_of(rows[1], "oxygen_saturation") == [(1, 97), (2, 95)]
    assert item_log(provenance, FIO2)["settled"] == {"read as a fraction": 2}
    assert item_log(provenance, TEMP_F)["settled"] == {"read as Celsius": 1}
    assert item_log(provenance, TEMP_C)["settled"] == {"read as Fahrenheit": 1}


def test_what_cannot_be_a_value_is_rejected_and_counted_per_item_and_reason(tmp_path: Path) -> None:
    hospital = TinyMimic()
    hospital.stay(1, hours=50)
    hospital.chart(1, 1, HR, 80)
    hospital.chart(1, 2, HR, "unable")
    hospital.chart(1, 3, HR, "nan")
    hospital.chart(1, 4, HR, "inf")
    hospital.chart(1, 5, HR, 301)
    hospital.chart(1, 6, HR, -1)
    hospital.chart(1, None, HR, 70)
    hospital.chart(1, -0.5, HR, 70)
    hospital.chart(1, 49, HR, 70)
    hospital.chart(1, 51, HR, 70)
    hospital.chart(1, 7, HR, " 72 ")  # the number is in the text column alone
    hospital.chart(1, 8, TEMP_F, 50)  # 10 °C
    rows, provenance = build(hospital, tmp_path)
    assert values_of(rows[1], "heart_rate") == [(1, 80), (7, 72)]
    log = item_log(provenance, HR)
    assert log["rows"] == 11
    assert log["used"] == 2
    expected = {"not_a_number": 3, "implausible": 2, "no_time": 1, "outside_stay": 2, "after_window": 1}
    assert log["rejected"] == expected
    assert item_log(provenance, TEMP_F)["rejected"] == {"implausible": 1}


def test_the_plausible_bounds_themselves_are_kept(tmp_path: Path) -> None:
    hospital = TinyMimic()
    hospital.stay(1)
    hospital.chart(1, 1, HR, 300)
    hospital.chart(1, 2, HR, 10)
    hospital.chart(1, 1, FIO2, 20)
    rows, _ = build(hospital, tmp_path)
    assert values_of(rows[1], "heart_rate") == [(1, 300), (2, 10)]
    assert values_of(rows[1], "fraction_inspired_oxygen") == [(1, 0.2)]


def test_rows_out_of_order_and_several_values_at_one_time_are_settled_the_same_way(tmp_path: Path) -> None:
    first, second = TinyMimic(), TinyMimic()
    events = [(5, 88), (1, 70), (3, 61), (3, 64), (3, 62)]
    for hospital, order in ((first, events), (second, events[::-1])):
        hospital.stay(1)
        for hours, value in order:
            hospital.chart(1, hours, HR, value)
    rows, provenance = build(first, tmp_path / "a")
    assert values_of(rows[1], "heart_rate") == [(1, 70), (3, 64), (5, 88)]
    assert provenance["series"]["merged_at_the_same_time"] == 2
    other, _ = build(second, tmp_path / "b")
    assert other == rows


def test_lab_rows_find_their_stay_by_patient_admission_and_time(tmp_path: Path) -> None:
    hospital = TinyMimic()
    hospital.stay(1, hours=60)
    hospital.stay(2)
    hospital.chart(2, 1, HR, 80)
    hospital.lab(1, 2, PH_LAB, 7.31)
    hospital.lab(1, 3, GLUCOSE_LAB, 150, hadm_id=None)  # drawn before the admission was registered
    hospital.lab(1, 4, GLUCOSE_LAB, 333, hadm_id=999)  # another admission of the patient
    hospital.lab(1, -1, GLUCOSE_LAB, 444)
    hospital.lab(1, 61, GLUCOSE_LAB, 555)
    hospital.lab(1, 5, URINE_GLUCOSE, 300)
    rows, _ = build(hospital, tmp_path)
    assert values_of(rows[1], "ph") == [(2, 7.31)]
    assert values_of(rows[1], "glucose") == [(3, 150)]
    assert values_of(rows[2], "glucose") == []


def test_missing_values_stay_missing_and_every_series_is_valid(tmp_path: Path) -> None:
    hospital = TinyMimic()
    hospital.stay(1)
    hospital.chart(1, 1, HR, 80)
    hospital.chart(1, 1, DBP, 60)
    hospital.chart(1, 2.5, SPO2, 98)
    rows, _ = build(hospital, tmp_path)
    series = LabSeries.from_example(VOCABULARY, rows[1])
    assert series.hours.tolist() == [1.0, 2.5]
    assert series.observed.sum() == 3
    assert np.isnan(series.values).sum() == 2 * 11 - 3
    assert rows[1]["lab_summary"] == (
        "diastolic blood pressure is normal all the time; heart rate is normal all the time; "
        "oxygen saturation is normal all the time."
    )


@pytest.mark.parametrize(
    ("window", "expected", "prediction_time"),
    [("first-24h", [0.0, 24.0], 24.0), ("first-48h", [0.0, 24.0, 24.5, 48.0], 48.0), ("stay", None, 60.0)],
)
def test_nothing_after_the_window_enters(
    tmp_path: Path, window: str, expected: list[float] | None, prediction_time: float
) -> None:
    hospital = TinyMimic()
    hospital.stay(1, hours=60)
    planted = [0.0, 24.0, 24.5, 48.0, 48.001, 59.9, 60.0, 60.1]
    for hours in planted:
        hospital.chart(1, hours, HR, 80)
    rows, provenance = build(hospital, tmp_path, window=window)
    assert rows[1]["lab_hours"] == pytest.approx(expected or planted[:-1], abs=1e-3)
    assert rows[1]["prediction_time"] == prediction_time
    assert max(rows[1]["lab_hours"]) <= rows[1]["prediction_time"]
    assert provenance["leakage_audit"]["measurements_after_prediction_time"] == 0


def test_a_stay_that_ends_before_the_window_is_predicted_at_its_end(tmp_path: Path) -> None:
    hospital = TinyMimic()
    hospital.stay(1, hours=10.5)
    hospital.chart(1, 10.5, HR, 80)
    rows, _ = build(hospital, tmp_path)
    assert rows[1]["prediction_time"] == 10.5
    assert rows[1]["lab_hours"] == [10.5]


def test_the_hourly_grid_keeps_the_last_value_of_each_hour(tmp_path: Path) -> None:
    hospital = TinyMimic()
    hospital.stay(1)
    for hours, value in [(0.9, 71), (0.1, 70), (2.0, 72), (2.99, 73), (2.5, 99), (48.0, 74)]:
        hospital.chart(1, hours, HR, value)
    hospital.chart(1, 2.1, DBP, 60)
    rows, provenance = build(hospital, tmp_path, grid="hourly")
    assert values_of(rows[1], "heart_rate") == [(0, 71), (2, 73), (48, 74)]
    assert values_of(rows[1], "diastolic_blood_pressure") == [(2, 60)]
    assert provenance["series"]["steps"] == 3


def test_a_long_series_keeps_its_first_thousand_rows(tmp_path: Path) -> None:
    hospital = TinyMimic()
    hospital.stay(1, hours=200)
    for minute in range(1003):
        hospital.chart(1, minute / 60, HR, 60 + minute % 7)
    rows, provenance = build(hospital, tmp_path, window="stay")
    assert len(rows[1]["lab_hours"]) == 1000
    assert rows[1]["lab_hours"][-1] == pytest.approx(999 / 60)
    assert provenance["series"]["steps_cut"] == 3


def test_cohort_filters_are_counted_and_can_be_switched_off(tmp_path: Path) -> None:
    hospital = TinyMimic()
    hospital.stay(1)
    hospital.stay(2, age=17)
    hospital.stay(3, units=("MICU", "SICU"))
    hospital.stay(4)
    hospital.stay(14, admission=104, patient=4, start=START + timedelta(hours=80))
    hospital.stay(5, codes=())
    hospital.stay(6)
    hospital.stay(7, hours=-1)
    for number in (1, 2, 3, 4, 5, 7):
        hospital.chart(number, 1, HR, 80)
    hospital.chart(14, 81, HR, 80)
    hospital.chart(6, 71, HR, 80)  # after the window
    rows, provenance = build(hospital, tmp_path)
    assert set(rows) == {1}
    assert [(step["filter"], step["stays"]) for step in provenance["cohort"]] == [
        ("all ICU stays", 8),
        ("known_times", 7),
        ("no_transfers", 6),
        ("single_stay", 4),
        ("adults", 3),
        ("coded", 2),
        ("has_events", 1),
    ]
    everyone, _ = build(hospital, tmp_path / "all", skip_filters=FILTERS)
    assert set(everyone) == {1, 2, 3, 4, 14, 5, 6}
    assert everyone[6]["lab_hours"] == []
    assert everyone[6]["lab_summary"] == ""
    assert LabSeries.from_example(VOCABULARY, everyone[6]) == LabSeries.empty(VOCABULARY)


def test_age_is_counted_at_the_admission(tmp_path: Path) -> None:
    hospital = TinyMimic()
    hospital.stay(1, age=17)
    hospital.rows["hosp/patients"][0]["anchor_year"] = START.year - 1  # 17 a year before: an adult now
    hospital.chart(1, 1, HR, 80)
    rows, _ = build(hospital, tmp_path)
    assert set(rows) == {1}


def test_tables_may_be_parquet_or_plain_csv_and_lie_in_the_root(tmp_path: Path) -> None:
    import pyarrow.csv
    import pyarrow.parquet

    hospital = TinyMimic()
    hospital.stay(1, codes=(("0389", 9),))
    hospital.chart(1, 1, HR, 80)
    hospital.lab(1, 2, PH_LAB, 7.31)
    expected, _ = build(hospital, tmp_path / "gz")
    root = tmp_path / "flat"
    root.mkdir()
    for path in (tmp_path / "gz" / "tables").rglob("*.csv.gz"):
        stem = path.name.removesuffix(".csv.gz")
        if stem in ("chartevents", "labevents", "icustays"):
            pyarrow.parquet.write_table(pyarrow.csv.read_csv(path), root / f"{stem}.parquet")
        else:
            (root / f"{stem}.csv").write_bytes(gzip.decompress(path.read_bytes()))
    make_cohort("mimic-iv", root, tmp_path / "cohort", note_policy="full")
    assert examples_of(tmp_path / "cohort") == expected


def test_a_second_build_is_byte_identical(tmp_path: Path) -> None:
    hospital = crowd(30)
    _, first = build(hospital, tmp_path)
    before = digests(tmp_path / "cohort")
    _, second = build(hospital, tmp_path)
    assert digests(tmp_path / "cohort") == before
    assert first == second == json.loads((tmp_path / "cohort" / "provenance.json").read_text())


def test_the_datasets_library_reads_the_folder(tmp_path: Path) -> None:
    import datasets

    _, provenance = build(crowd(40), tmp_path)
    loaded = datasets.load_dataset(str(tmp_path / "cohort"), cache_dir=str(tmp_path / "cache"))
    direct = load_examples(tmp_path / "cohort")
    assert {split: len(rows) for split, rows in loaded.items()} == {
        split: provenance["examples"][split] for split in SPLITS
    }
    for split in SPLITS:
        assert loaded[split].features == direct[split].features
        assert loaded[split].to_list() == direct[split].to_list()


def test_the_datasets_library_reads_a_cohort_with_empty_splits(tmp_path: Path) -> None:
    import datasets

    rows, provenance = build(crowd(1), tmp_path)
    loaded = datasets.load_dataset(str(tmp_path / "cohort"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(split_rows) for split, split_rows in loaded.items()} == {
        split: count for split, count in provenance["examples"].items() if count and split != "total"
    }
    assert len(rows) == 1


def test_the_audit_counts_planted_leaks(tmp_path: Path) -> None:
    hospital = crowd(60)
    for row in hospital.rows["note/discharge"]:
        row["text"] = "Chief Complaint:\nthe same acute and UNSPECIFIED renal failure"
    _, provenance = build(hospital, tmp_path)
    audit = provenance["leakage_audit"]
    assert audit["notes_identical_across_splits"] == 1
    assert audit["labels_named_in_their_note"] == 60
    assert audit["labels"] == 90
    assert audit["patients_in_several_splits"] == 0


def test_the_fingerprint_follows_inputs_and_settings(tmp_path: Path) -> None:
    hospital = crowd(5)
    _, first = build(hospital, tmp_path)
    _, other_window = build(hospital, tmp_path, window="stay")
    hospital.chart(1, 3, HR, 99)
    _, other_input = build(hospital, tmp_path)
    assert len({first["fingerprint"], other_window["fingerprint"], other_input["fingerprint"]}) == 3


def test_a_small_build_is_quick(tmp_path: Path) -> None:
    root = crowd(50).write(tmp_path / "tables")
    begun = time.monotonic()
    make_cohort("mimic-iv", root, tmp_path / "cohort", note_policy="full")
    assert time.monotonic() - begun < 20


def test_the_synthetic_hospital_keeps_its_planted_truth(tmp_path: Path) -> None:
    from dataset_builder.synthetic.hospital import fill_hospital

    fill_hospital(tmp_path / "hospital", patients=60, seed=3)
    provenance = make_cohort("mimic-iv", tmp_path / "hospital", tmp_path / "cohort", note_policy="admission")
    rows = {row["stay_id"]: row for row in examples_of(tmp_path / "cohort").values()}
    keys = [disease.key for disease in VOCABULARY.diseases]
    with gzip.open(tmp_path / "hospital" / "truth.jsonl.gz", "rt", encoding="utf-8") as stream:
        planted = [json.loads(line) for line in stream]
    compared = 0
    for truth in planted:
        row = rows.get(truth["stay_id"])
        if row is None:
            continue
        coded = [key for key in keys if truth["diseases"].get(key, {}).get("coded")]
        assert [key for key, label in zip(keys, row["labels"], strict=True) if label] == coded
        note = " ".join(row["note"].split())
        for disease in truth["diseases"].values():
            assert " ".join((disease["phrase"] or "").split()) in note
        compared += 1
    assert compared == len(rows) == provenance["examples"]["total"] > 40
