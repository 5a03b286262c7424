"""MIMIC-III: what only this source has, on tables small enough to work out by hand, and parity on the real demo."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from tiny_mimic import SHIPPED, START, VOCABULARY, build, examples_of, item_log, make_cohort, values_of
from tiny_mimic_iii import TinyMimic3

from dataset_builder.sources.spec import SOURCES, load_source
from modeling_clinragen.errors import InputDataError

ROOT = Path(__file__).resolve().parents[3]
KEYS = [variable.key for variable in VOCABULARY.variables]
DISEASES = [disease.key for disease in VOCABULARY.diseases]
HR, NBP_MEAN, RR, GLUCOSE, TEMP_F, WEIGHT_OZ, FIO2 = 211, 456, 618, 811, 678, 3582, 3420
LAB_GLUCOSE, URINE_GLUCOSE = 50931, 51478


def test_transfers_several_stays_and_children_are_left_out(tmp_path: Path) -> None:
    hospital = TinyMimic3()
    hospital.stay(1)
    hospital.stay(2, units=("MICU", "SICU", 7, 7))
    hospital.stay(3, units=("MICU", "MICU", 7, 8))  # another ward of the same unit is a transfer too
    hospital.stay(4)
    hospital.stay(5, admission=104)
    hospital.stay(6, born=START - timedelta(days=365 * 10))
    hospital.stay(7, born=datetime(1850, 1, 1))  # over 89: moved back 300 years
    for number in range(1, 8):
        hospital.chart(number, 1, HR, 80, hadm_id=104 if number == 5 else 100 + number)
    rows, provenance = build(hospital, tmp_path)
    assert set(rows) == {1, 7}
    steps = {step["filter"]: step["stays"] for step in provenance["cohort"]}
    assert [steps[name] for name in ("all ICU stays", "no_transfers", "single_stay", "adults")] == [7, 5, 3, 2]
    assert rows[7]["note"].startswith("Patient: 90-year-old or older woman.")
    assert rows[1]["note"].startswith("Patient: 60-year-old woman.\nAdmission: emergency, from emergency room admit.")


def test_rows_charted_in_error_are_out_and_counted(tmp_path: Path) -> None:
    hospital = TinyMimic3()
    hospital.stay(1)
    hospital.chart(1, 1, HR, 80, error=None)  # CareVue leaves the column empty
    hospital.chart(1, 2, HR, 81, error=0)
    hospital.chart(1, 3, HR, 82, error=1)
    hospital.chart(1, -3, HR, 83, error=1)
    rows, provenance = build(hospital, tmp_path)
    assert values_of(rows[1], "heart_rate") == [(1, 80), (2, 81)]
    log = item_log(provenance, HR)
    assert log["rows"] == 4
    assert log["used"] == 2
    assert log["rejected"] == {"marked_as_error": 2}


def test_rows_without_a_stay_or_admission_find_it_by_time(tmp_path: Path) -> None:
    hospital = TinyMimic3()
    hospital.stay(1)
    hospital.stay(2)
    hospital.chart(1, 1, HR, 80)
    hospital.chart(1, 2, HR, 81, icustay_id=None)
    hospital.chart(1, 80, HR, 82, icustay_id=None)  # after the stay
    hospital.chart(1, 3, HR, 83, icustay_id=1002)  # the stay is of another admission: the row contradicts itself
    hospital.chart(2, 4, HR, 84, icustay_id=None, hadm_id=None)
    hospital.lab(2, 5, LAB_GLUCOSE, 100, hadm_id=None)
    hospital.lab(2, 6, LAB_GLUCOSE, 101, hadm_id=999)
    hospital.lab(2, 7, URINE_GLUCOSE, 102)
    rows, _ = build(hospital, tmp_path)
    assert values_of(rows[1], "heart_rate") == [(1, 80), (2, 81)]
    assert values_of(rows[2], "heart_rate") == []
    assert values_of(rows[2], "glucose") == [(5, 100)]


def test_several_values_at_one_time_are_settled_as_the_original_does(tmp_path: Path) -> None:
    hospital = TinyMimic3()
    hospital.stay(1)
    for item, values in (
        (RR, ("13", "8")),
        (NBP_MEAN, ("275", "59.5")),
        (HR, ("100", "99")),
        (GLUCOSE, ("100", "99")),
    ):
        for value in values:
            hospital.chart(1, 1, item, value, valuenum=float(value))
    hospital.chart(1, 2, HR, None, valuenum=70.0)  # a number alone, beside one that is written
    hospital.chart(1, 2, HR, "60", valuenum=60.0)
    hospital.chart(1, 3, HR, None, valuenum=70.0)
    hospital.chart(1, 3, HR, None, valuenum=71.0)
    rows, provenance = build(hospital, tmp_path)
    assert values_of(rows[1], "respiratory_rate") == [(1, 8)]
    assert values_of(rows[1], "mean_blood_pressure") == [(1, 59.5)]
    assert values_of(rows[1], "heart_rate") == [(1, 99), (2, 60), (3, 71)]
    assert values_of(rows[1], "glucose") == [(1, 100)]
    assert provenance["series"]["merged_at_the_same_time"] == 6


def test_both_charting_systems_and_all_units_are_read(tmp_path: Path) -> None:
    hospital = TinyMimic3()
    hospital.stay(1)
    hospital.chart(1, 1, TEMP_F, 98.6)
    hospital.chart(1, 2, 223761, 98.6)
    hospital.chart(1, 3, 676, 37.0)
    hospital.chart(1, 1, WEIGHT_OZ, 2822.0)
    hospital.chart(1, 2, 226531, 176.0)
    hospital.chart(1, 1, FIO2, 40)
    hospital.chart(1, 2, 189, 0.4)
    rows, provenance = build(hospital, tmp_path)
    assert values_of(rows[1], "temperature") == [(1, 37), (2, 37), (3, 37)]
    assert values_of(rows[1], "weight") == [(1, 80.0024), (2, 79.8323)]
    assert values_of(rows[1], "fraction_inspired_oxygen") == [(1, 0.4), (2, 0.4)]
    assert item_log(provenance, 189)["settled"] == {"read as a fraction": 1}


@pytest.mark.parametrize("code", ["038.9", " 0389", "0389 ", "0389", "03 89"])
def test_codes_count_however_they_are_written(tmp_path: Path, code: str) -> None:
    hospital = TinyMimic3()
    hospital.stay(1, codes=(code, "v45.1"))
    hospital.chart(1, 1, HR, 80)
    rows, _ = build(hospital, tmp_path)
    assert rows[1]["diagnoses"] == ["Septicemia (except in labor)"]


def test_codes_that_the_dictionary_lacks_do_not_count_unless_asked(tmp_path: Path) -> None:
    hospital = TinyMimic3()
    hospital.stay(1, codes=("4019", "5185", "2765"))
    hospital.chart(1, 1, HR, 80)
    rows, provenance = build(hospital, tmp_path / "a")
    assert rows[1]["diagnoses"] == ["Essential hypertension"]
    assert provenance["labels"]["rows_not_in_the_code_dictionary"] == 2
    rows, provenance = build(hospital, tmp_path / "b", all_codes=True)
    assert len(rows[1]["diagnoses"]) == 3
    assert "rows_not_in_the_code_dictionary" not in provenance["labels"]
    root = hospital.write(tmp_path / "c", leave_out=("D_ICD_DIAGNOSES",))
    with pytest.raises(InputDataError, match=r"D_ICD_DIAGNOSES.*all_codes"):
        make_cohort("mimic-iii", root, tmp_path / "d", note_policy="structured")
    provenance = make_cohort("mimic-iii", root, tmp_path / "d", note_policy="structured", all_codes=True)
    assert "code_dictionary" in provenance["absent_tables"]


def test_notes_are_the_first_valid_discharge_summary(tmp_path: Path) -> None:
    hospital = TinyMimic3()
    for number in range(1, 5):
        hospital.stay(number)
        hospital.chart(number, 1, HR, 80)
    late = START + timedelta(days=3)
    hospital.note(1, "late", chartdate=late)
    hospital.note(1, "wrong", iserror=1)
    hospital.note(1, "addendum", description="Addendum")
    hospital.note(1, "nursing", category="Nursing")
    hospital.note(2, "second, as it has the greater row number", chartdate=late)
    hospital.note(3, "first,\nof two lines", chartdate=late)
    hospital.note(3, "later row", chartdate=late)
    hospital.note(4, "only an error", iserror="1")
    rows, provenance = build(hospital, tmp_path, note_policy="full")
    assert rows[1]["note"] == "late"
    assert rows[2]["note"].startswith("second")
    assert rows[3]["note"].startswith("first,")
    assert rows[4]["note"] == ""
    assert provenance["notes"]["without_a_note"] == 1


def test_a_start_date_without_a_time_is_known_only_the_day_after(tmp_path: Path) -> None:
    hospital = TinyMimic3()
    hospital.stay(1)
    hospital.chart(1, 1, HR, 80)
    midnight = START.replace(hour=0)
    for days, drug in ((-1, "Aspirin"), (0, "Heparin"), (1, "Insulin")):
        hospital.add(
            "PRESCRIPTIONS", hadm_id=101, startdate=midnight + timedelta(days=days), drug_type="MAIN", drug=drug
        )
    hospital.add(
        "MICROBIOLOGYEVENTS", hadm_id=101, charttime=START - timedelta(hours=1), spec_type_desc="URINE", org_name="E"
    )
    rows, _ = build(hospital, tmp_path)
    assert "before the ICU: aspirin.\n" in rows[1]["note"]
    assert rows[1]["note"].endswith("before the ICU: urine.")


def test_file_names_may_be_lower_case(tmp_path: Path) -> None:
    hospital = TinyMimic3()
    hospital.stay(1)
    hospital.chart(1, 1, HR, 80)
    rows, _ = build(hospital, tmp_path / "upper")
    root = hospital.write(tmp_path / "tables", lower=True)
    make_cohort("mimic-iii", root, tmp_path / "lower", note_policy="structured")
    assert examples_of(tmp_path / "lower") == rows


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["tables"]["stays"]["columns"].pop("out_time"), "has out_time"),
        (
            lambda content: content["tables"]["patients"]["columns"].pop("birth_time"),
            "has age or birth_time or anchor",
        ),
        (lambda content: content["tables"].pop("diagnoses"), "'diagnoses'"),
        (lambda content: content.update(time_unit="fortnights"), "malformed near 'fortnights'"),
        (lambda content: content.update(last_as_text=["pulse"]), "unknown variable 'pulse'"),
    ],
)
def test_a_faulty_source_file_says_what_it_lacks(tmp_path: Path, change: Any, message: str) -> None:
    content = yaml.safe_load((SOURCES / "mimic-iii.yaml").read_text())
    change(content)
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(InputDataError, match=re.escape(str(path)) + ".*" + re.escape(message)):
        load_source(str(path), SHIPPED)


@pytest.fixture(scope="module")
def demo(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, dict[str, Any]], dict]:
    root = shared / "data" / "mimic-iii-demo"
    output = tmp_path_factory.mktemp("demo") / "cohort"
    provenance = make_cohort("mimic-iii", root, output, note_policy="full", window="stay")
    return root, {number + 1000: row for number, row in examples_of(output).items()}, provenance


def test_the_demo_gives_the_originals_cohort(demo: Any) -> None:
    _, rows, provenance = demo
    steps = {step["filter"]: step["stays"] for step in provenance["cohort"]}
    assert [steps[key] for key in ("no_transfers", "single_stay", "adults", "has_events")] == [126, 115, 114, 113]
    assert len(rows) == 113
    assert provenance["credentialed"] is False
    assert provenance["notes"]["without_a_note"] == 113  # the demo's NOTEEVENTS has no rows


def test_labels_of_every_stay_are_those_that_pandas_computes(demo: Any, shared: Path) -> None:
    root, rows, _ = demo
    definitions = yaml.safe_load((shared / "resources/mimic3-benchmarks/hcup_ccs_2015_definitions.yaml").read_text())
    phenotypes = {name: set(entry["codes"]) for name, entry in definitions.items() if entry["use_in_benchmark"]}
    names = {disease.name.lower(): disease.key for disease in VOCABULARY.diseases}
    codes = {names[name.lower()]: listed for name, listed in phenotypes.items()}
    diagnoses = pd.read_csv(root / "DIAGNOSES_ICD.csv.gz", dtype={"icd9_code": str})
    known = set(pd.read_csv(root / "D_ICD_DIAGNOSES.csv.gz", dtype=str).icd9_code)
    by_admission = diagnoses[diagnoses.icd9_code.isin(known)].groupby("hadm_id").icd9_code.agg(set)
    for row in rows.values():
        expected = [int(bool(codes[key] & by_admission.get(row["hadm_id"], set()))) for key in DISEASES]
        assert row["labels"] == expected
    assert sum(sum(row["labels"]) for row in rows.values()) > 400


def test_parity_with_the_original_pipeline(shared: Path, tmp_path: Path) -> None:
    script, output = ROOT / "benchmarks" / "parity.py", tmp_path / "parity.json"
    words = [sys.executable, str(script), "--output", str(output), "--root", str(shared / "data/mimic-iii-demo")]
    words += ["--oracle", str(shared / "oracle/mimic3-benchmarks-phenotyping")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
    result = json.loads(output.read_text())
    assert result["labels"] == {"compared": 95 * 25, "different": 0}
    assert result["unexplained"] == 0
    assert result["agreement"] >= 0.999
    assert result["values"] > 60_000


def test_parity_fails_where_the_original_says_something_else(shared: Path, tmp_path: Path) -> None:
    """Ten altered values and one altered label, in a copy of three of the original's stays."""
    oracle, given = shared / "oracle/mimic3-benchmarks-phenotyping", tmp_path / "oracle"
    given.mkdir()
    stays = pd.read_csv(oracle / "stays.csv").head(3)
    stays.to_csv(given / "stays.csv", index=False)
    listed = pd.read_csv(oracle / "listfile.csv").set_index("stay").loc[stays.stay]
    listed.loc[listed.index[0], "Shock"] = 1 - listed["Shock"].iloc[0]
    listed.to_csv(given / "listfile.csv")
    for number, stay in enumerate(stays.stay):
        table = pd.read_csv(oracle / stay)
        if number == 0:
            filled = np.flatnonzero(table["Heart Rate"].notna())[:10]
            table.loc[filled, "Heart Rate"] += 50
        table.to_csv(given / stay, index=False)
    words = [sys.executable, str(ROOT / "benchmarks" / "parity.py"), "--output", str(tmp_path / "parity.json")]
    words += ["--root", str(shared / "data/mimic-iii-demo"), "--oracle", str(given)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "FAILED" in done.stdout
    result = json.loads((tmp_path / "parity.json").read_text())
    assert result["labels"]["different"] == 1
    assert result["variables"]["heart_rate"]["unexplained"] == 10
    assert result["unexplained"] == 10
