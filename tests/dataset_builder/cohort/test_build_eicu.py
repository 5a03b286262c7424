"""eICU: offsets, wide tables, cells of several codes and named patients, by hand and on the real demo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from tiny_eicu import COLUMNS, TinyEicu
from tiny_mimic import SHIPPED, VOCABULARY, build, examples_of, item_log, make_cohort, values_of

from dataset_builder.cohort.config import FILTERS
from dataset_builder.sources.spec import SOURCES
from modeling_clinragen.errors import InputDataError

KEYS = [variable.key for variable in VOCABULARY.variables]


def test_minutes_become_hours_inside_stay_and_window(tmp_path: Path) -> None:
    hospital = TinyEicu()
    hospital.stay(1, unitdischargeoffset=30 * 60)
    for minutes, value in ((-1, 90), (0, 91), (90, 92), (24 * 60, 93), (24 * 60 + 1, 94), (30 * 60 + 1, 95)):
        hospital.lab(1, minutes, "glucose", value)
    rows, provenance = build(hospital, tmp_path, window="first-24h")
    assert values_of(rows[1], "glucose") == [(0, 91), (1.5, 92), (24, 93)]
    assert rows[1]["prediction_time"] == 24
    log = item_log(provenance, "glucose")
    assert log["rejected"] == {"outside_stay": 2, "after_window": 1}


def test_wide_tables_give_a_value_per_filled_cell(tmp_path: Path) -> None:
    hospital = TinyEicu()
    hospital.stay(1, admissionweight=81.5)
    hospital.stay(2)
    hospital.chart("vitalPeriodic", 1, observationoffset=60, heartrate=80, sao2=97, temperature=37.2, respiration=18)
    hospital.chart("vitalPeriodic", 1, observationoffset=65, heartrate=82, systemicsystolic=120, systemicmean=85)
    hospital.chart("vitalAperiodic", 1, observationoffset=65, noninvasivesystolic=125, noninvasivediastolic=60)
    rows, provenance = build(hospital, tmp_path)
    assert set(rows) == {1}
    assert values_of(rows[1], "heart_rate") == [(1, 80), (1.083, 82)]
    assert values_of(rows[1], "systolic_blood_pressure") == [(1.083, 125)]  # of two at one time the larger
    assert values_of(rows[1], "diastolic_blood_pressure") == [(1.083, 60)]
    assert values_of(rows[1], "mean_blood_pressure") == [(1.083, 85)]
    assert values_of(rows[1], "oxygen_saturation") == [(1, 97)]
    assert values_of(rows[1], "temperature") == [(1, 37.2)]
    assert values_of(rows[1], "weight") == [(0, 81.5)]
    counted = {item["item"]: item["rows"] for item in provenance["items"] if item["table"] == "vital_periodic"}
    assert counted["heartrate"] == 2
    assert counted["systemicdiastolic"] == 0


def test_charted_texts_are_read_by_label_and_converted(tmp_path: Path) -> None:
    hospital = TinyEicu()
    hospital.stay(1)
    for minutes, value in ((0, "40"), (60, "60%"), (120, "0.5"), (180, "on"), (240, "0")):
        hospital.respiratory(1, minutes, "FiO2", value)
    hospital.respiratory(1, 0, "Vent Rate", "14")
    hospital.respiratory(1, 0, "RR (patient)", "22")
    hospital.lab(1, 60, "pH", 7.31)
    hospital.lab(1, 120, "Temperature", 98.6)
    hospital.lab(1, 180, "pH", None, "7.29")
    hospital.lab(1, 180, "glucose - CSF", 60)
    for minutes, name, value in (
        (0, "Temperature (F)", "98.6"),
        (60, "Heart Rate", "77"),
        (60, "Invasive BP Mean", "70"),
    ):
        cells = {"nursingchartoffset": minutes, "nursingchartcelltypevalname": name, "nursingchartvalue": value}
        hospital.chart("nurseCharting", 1, **cells)
    rows, provenance = build(hospital, tmp_path)
    assert values_of(rows[1], "fraction_inspired_oxygen") == [(0, 0.4), (1, 0.6), (2, 0.5)]
    assert values_of(rows[1], "respiratory_rate") == [(0, 22)]
    assert values_of(rows[1], "ph") == [(1, 7.31), (3, 7.29)]
    assert values_of(rows[1], "temperature") == [(0, 37), (2, 37)]
    assert values_of(rows[1], "heart_rate") == [(1, 77)]
    assert values_of(rows[1], "mean_blood_pressure") == [(1, 70)]
    assert values_of(rows[1], "glucose") == []
    log = item_log(provenance, "FiO2")
    assert log["rejected"] == {"not_a_number": 1, "implausible": 1}
    assert log["settled"] == {"read as a fraction": 1}


def test_adults_with_one_icu_stay_of_an_admission_are_chosen(tmp_path: Path) -> None:
    hospital = TinyEicu()
    hospital.stay(1, age="> 89")
    hospital.stay(2, age="17")
    hospital.stay(3, age="")
    hospital.stay(4)
    hospital.stay(5, patienthealthsystemstayid=104, unitstaytype="transfer", uniquepid="002-4")
    hospital.stay(6)
    hospital.stay(7, patienthealthsystemstayid=106, unitstaytype="stepdown/other", uniquepid="002-6")
    hospital.stay(8, unitdischargeoffset=0)
    hospital.stay(9, codes=(None, ""))
    hospital.stay(10, age="18", uniquepid="123-45678", gender="Male")
    for number in range(1, 11):
        hospital.lab(number, 5, "glucose", 100)
    rows, provenance = build(hospital, tmp_path)
    assert set(rows) == {1, 6, 10}
    steps = {step["filter"]: step["stays"] for step in provenance["cohort"]}
    names = ("all ICU stays", "known_times", "no_transfers", "single_stay", "adults", "coded")
    assert [steps[name] for name in names] == [9, 8, 8, 6, 4, 3]
    assert rows[1]["note"].startswith("Patient: 90-year-old or older woman.\nAdmission: emergency department.\n")
    assert rows[10]["note"].startswith("Patient: 18-year-old man.")
    assert "Earlier admissions" not in rows[1]["note"]  # which admission came first is not in the data
    assert {number: row["subject_id"] for number, row in rows.items()} == {
        1: 2_000_000_001,
        6: 2_000_000_006,
        10: 123_000_045_678,
    }
    assert rows[1]["hadm_id"] == 101
    everyone, _ = build(hospital, tmp_path / "all", skip_filters=FILTERS[:-1])
    assert set(everyone) == {1, 2, 3, 4, 5, 6, 9, 10}
    assert everyone[3]["note"].startswith("Patient: woman.")


def test_a_patient_name_of_another_form_is_refused(tmp_path: Path) -> None:
    hospital = TinyEicu()
    hospital.stay(1, uniquepid="X-17")
    hospital.lab(1, 5, "glucose", 100)
    with pytest.raises(InputDataError, match=r"patient\.csv.*'uniquepid'") as caught:
        build(hospital, tmp_path)
    assert "X-17" not in str(caught.value)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("401.9, I10",), ["essential_hypertension"]),
        (("i10",), ["essential_hypertension"]),
        ((" 401.9 ", "4019"), ["essential_hypertension"]),
        (("038.9,A41.9,  584.9",), ["acute_renal_failure", "septicemia"]),
        (("E87.2",), ["fluid_electrolyte_disorders"]),  # ICD-10: E and two digits before the dot
        (("E980.2",), []),  # ICD-9: poisoning; E98 is no ICD-10 code
        (("V45.81",), ["coronary_atherosclerosis"]),  # ICD-9: aortocoronary bypass status
        (("", "unknown", "I10.X.Y"), []),
        (("E11.9;I10",), ["diabetes_without_complication", "essential_hypertension"]),
        (("401.9/I10", "038.9 584.9,"), ["acute_renal_failure", "essential_hypertension", "septicemia"]),
        (("401.9\t584.9",), ["acute_renal_failure", "essential_hypertension"]),
        (("E785", "E119"), ["diabetes_without_complication", "lipid_disorders"]),  # no such causes of injury in ICD-9
    ],
)
def test_cells_of_several_codes_are_read_by_their_form(
    tmp_path: Path, cells: tuple[str, ...], expected: list[str]
) -> None:
    hospital = TinyEicu()
    hospital.stay(1, codes=cells)
    hospital.stay(2, codes=("401.9",))
    for number in (1, 2):
        hospital.lab(number, 5, "glucose", 100)
    rows, _ = build(hospital, tmp_path)
    names = {disease.name: disease.key for disease in VOCABULARY.diseases}
    assert sorted(names[name] for name in rows[1]["diagnoses"]) == sorted(expected)


def test_parts_of_a_cell_that_are_no_code_are_counted(tmp_path: Path) -> None:
    hospital = TinyEicu()
    # Left over: "X", "401.9.9", '"401.9', "38.9" (without its zero), "E11." and three cells without any code.
    hospital.stay(1, codes=("401.9, X;401.9.9", '"401.9', "38.9 / I10", "E11.", "", None, " , "))
    hospital.stay(2, codes=("401.9, I10,",))
    for number in (1, 2):
        hospital.lab(number, 5, "glucose", 100)
    _, provenance = build(hospital, tmp_path)
    assert provenance["labels"]["diagnosis_rows"] == 12
    assert provenance["labels"]["rows_without_code_or_known_version"] == 8


def test_every_listed_code_is_recognised_when_dotted(tmp_path: Path) -> None:
    """The form of a code tells its version: for each code of the phenotypes, written as eICU writes codes."""
    hospital = TinyEicu()
    chosen = [
        (key, v, code) for key, codes in SHIPPED.codes.items() for v in (9, 10) for code in sorted(codes[v])[::23]
    ]
    for number, (_, version, code) in enumerate(chosen, start=1):
        head = 4 if version == 9 and code.startswith("E") else 3
        hospital.stay(number, codes=(f"{code[:head]}.{code[head:]}" if len(code) > head else code,))
        hospital.lab(number, 5, "glucose", 100)
    rows, provenance = build(hospital, tmp_path)
    keys = [disease.key for disease in VOCABULARY.diseases]
    for number, (key, _, _) in enumerate(chosen, start=1):
        assert rows[number]["labels"][keys.index(key)] == 1
    assert provenance["labels"]["rows_without_code_or_known_version"] == 0


def test_absent_tables_are_named_and_their_variables_never_observed(tmp_path: Path) -> None:
    hospital = TinyEicu()
    hospital.stay(1)
    hospital.lab(1, 5, "glucose", 100)
    hospital.chart("vitalPeriodic", 1, observationoffset=60, heartrate=80)
    root = hospital.write(tmp_path / "t", leave_out=("vitalPeriodic", "nurseCharting", "medication"))
    provenance = make_cohort("eicu", root, tmp_path / "c", note_policy="structured")
    assert provenance["absent_tables"] == ["nurse_charting", "prescriptions", "vital_periodic"]
    row = examples_of(tmp_path / "c")[1]
    assert values_of(row, "heart_rate") == []
    assert values_of(row, "glucose") == [(0.083, 100)]


def test_without_any_table_of_measurements_the_build_is_refused(tmp_path: Path) -> None:
    content = yaml.safe_load((SOURCES / "eicu.yaml").read_text())
    del content["tables"]["admission_weight"]
    content["items"]["weight"] = [{"table": "lab", "item": "weight", "label": "weight", "unit": "kg"}]
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(content))
    hospital = TinyEicu()
    hospital.stay(1)
    root = hospital.write(
        tmp_path / "t", leave_out=tuple(name for name in COLUMNS if name not in ("patient", "diagnosis"))
    )
    with pytest.raises(InputDataError, match=r"no table of measurements.*vitalPeriodic"):
        make_cohort(str(tmp_path / "own.yaml"), root, tmp_path / "c", note_policy="structured")


def test_the_note_holds_what_was_entered_before_the_unit(tmp_path: Path) -> None:
    hospital = TinyEicu()
    hospital.stay(1)
    hospital.lab(1, 5, "glucose", 100)
    for minutes, name in ((-10, "COPD"), (7, "hypertension")):
        hospital.chart(
            "pastHistory", 1, pasthistoryoffset=-10, pasthistoryenteredoffset=minutes, pasthistoryvalue=name
        )
        hospital.chart("medication", 1, drugstartoffset=minutes, drugname=f"Drug for {name}")
    rows, _ = build(hospital, tmp_path)
    assert "Past history: copd.\n" in rows[1]["note"]
    assert rows[1]["note"].endswith("before the ICU: drug for copd.")


@pytest.fixture(scope="module")
def demo(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, dict[str, Any]], dict]:
    root = shared / "data" / "eicu-demo"
    output = tmp_path_factory.mktemp("demo") / "cohort"
    provenance = make_cohort("eicu", root, output, note_policy="structured")
    return root, {number + 1000: row for number, row in examples_of(output).items()}, provenance


def test_the_demo_cohort_and_labels_are_those_that_pandas_computes(demo: Any) -> None:
    root, rows, provenance = demo
    patient = pd.read_csv(root / "patient.csv.gz")
    patient = patient[patient.unitstaytype.isin(["admit", "transfer", "readmit"]) & (patient.unitdischargeoffset > 0)]
    patient = patient[~patient.patienthealthsystemstayid.duplicated(keep=False)]
    age = pd.to_numeric(patient.age.replace("> 89", "90"), errors="coerce")
    patient = patient[age >= 18]
    diagnosis = pd.read_csv(root / "diagnosis.csv.gz").dropna(subset=["icd9code"])
    coded = set(patient.patientunitstayid) & set(diagnosis.patientunitstayid)
    assert set(rows) <= coded
    steps = {step["filter"]: step["stays"] for step in provenance["cohort"]}
    assert steps["coded"] == len(coded) == 1692
    codes: dict[int, set[tuple[int, str]]] = {}
    for stay, cell in zip(diagnosis.patientunitstayid, diagnosis.icd9code, strict=True):
        for code in (part.strip().upper() for part in cell.split(",")):
            head = code.partition(".")[0]
            is_nine = head[0].isdigit() or head[0] == "V" or (head[0] == "E" and len(head) == 4)
            codes.setdefault(stay, set()).add((9 if is_nine else 10, code.replace(".", "")))
    for stay, row in rows.items():
        expected = [
            int(any((version, code) in codes[stay] for version, listed in of_disease.items() for code in listed))
            for of_disease in SHIPPED.codes.values()
        ]
        assert row["labels"] == expected
    parts = patient.set_index("patientunitstayid").uniquepid.str.split("-", expand=True).astype(int)
    assert all(row["subject_id"] == parts.loc[stay, 0] * 10**9 + parts.loc[stay, 1] for stay, row in rows.items())
    assert "vital_periodic" in provenance["absent_tables"]


def test_the_demo_blood_pressures_are_those_that_pandas_computes(demo: Any) -> None:
    root, rows, _ = demo
    vitals = pd.read_csv(root / "vitalaperiodic.csv.gz")
    ends = pd.read_csv(root / "patient.csv.gz").set_index("patientunitstayid").unitdischargeoffset
    end = np.minimum(ends.loc[vitals.patientunitstayid].to_numpy(), 48 * 60)
    inside = (vitals.observationoffset >= 0) & (vitals.observationoffset <= end)
    vitals = vitals[inside & vitals.patientunitstayid.isin(list(rows))]
    for column, key in (
        ("noninvasivesystolic", "systolic_blood_pressure"),
        ("noninvasivemean", "mean_blood_pressure"),
    ):
        plausible = vitals[vitals[column].between(*VOCABULARY.variable(key).plausible)]
        expected = plausible.groupby(["patientunitstayid", "observationoffset"])[column].max()
        place = KEYS.index(key)
        found = {
            (stay, round(hour * 60)): values[place]
            for stay, row in rows.items()
            for hour, values in zip(row["lab_hours"], row["lab_values"], strict=True)
            if values[place] is not None
        }
        assert found == expected.to_dict()
        assert len(found) > 100_000
