"""The builder on the real MIMIC-IV demo, against values and labels computed again with plain pandas."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny_mimic import SHIPPED, VOCABULARY, examples_of, make_cohort

from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.errors import SettingsError

CHART = {
    "diastolic_blood_pressure": [220051, 225310, 220180, 224643],
    "fraction_inspired_oxygen": [223835],
    "glucose": [225664, 220621, 226537],
    "heart_rate": [220045],
    "mean_blood_pressure": [220052, 225312, 224322, 220181],
    "oxygen_saturation": [220227, 220277],
    "respiratory_rate": [220210, 224689, 224422, 224690],
    "systolic_blood_pressure": [220050, 225309, 220179, 224167, 227243],
    "temperature": [223762, 223761],
    "weight": [224639, 226512, 226531],
    "ph": [223830, 220274],
}
LAB = {"glucose": [50931, 50809], "oxygen_saturation": [50817], "ph": [50820]}


@pytest.fixture(scope="module")
def demo(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, dict[str, Any]], dict]:
    root = shared / "data" / "mimic-iv-demo"
    output = tmp_path_factory.mktemp("demo") / "cohort"
    begun = time.monotonic()
    provenance = make_cohort("mimic-iv", root, output, note_policy="structured")
    assert time.monotonic() - begun < 30
    return root, {number + 1000: row for number, row in examples_of(output).items()}, provenance


def read(root: Path, table: str, **options: Any) -> pd.DataFrame:
    return pd.read_csv(root / f"{table}.csv.gz", **options)


def expected_stays(root: Path) -> pd.DataFrame:
    stays = read(root, "icu/icustays", parse_dates=["intime", "outtime"])
    stays = stays[stays.first_careunit == stays.last_careunit]
    stays = stays[~stays.hadm_id.duplicated(keep=False)]
    return stays.set_index("stay_id")


def expected_series(root: Path, stays: pd.DataFrame) -> pd.DataFrame:
    """hours x variable table of every stay's first 48 hours, by the rules written down in the documentation."""
    chart = read(root, "icu/chartevents", usecols=["stay_id", "charttime", "itemid", "valuenum"])
    chart = chart[chart.stay_id.isin(stays.index)]
    lab = read(root, "hosp/labevents", usecols=["subject_id", "hadm_id", "charttime", "itemid", "valuenum"])
    lab = lab.merge(stays.reset_index()[["stay_id", "subject_id", "hadm_id"]], on="subject_id", suffixes=("", "_stay"))
    lab = lab[lab.hadm_id.isna() | (lab.hadm_id == lab.hadm_id_stay)]
    parts = []
    for events, items in ((chart, CHART), (lab, LAB)):
        by_item = {item: key for key, listed in items.items() for item in listed}
        part = events[events.itemid.isin(by_item)].assign(variable=lambda e, by_item=by_item: e.itemid.map(by_item))
        parts.append(part[["stay_id", "charttime", "itemid", "variable", "valuenum"]])
    events = pd.concat(parts).dropna(subset=["valuenum"])
    value = events.valuenum.to_numpy(float).copy()
    item, variable = events.itemid.to_numpy(), events.variable.to_numpy()
    fahrenheit = ((item == 223761) & (value > 47)) | ((item == 223762) & (value > 47))
    value[fahrenheit] = (value[fahrenheit] - 32) / 1.8
    value[item == 226531] *= 0.45359237
    value[(variable == "fraction_inspired_oxygen") & (value > 1)] /= 100
    value[(variable == "oxygen_saturation") & (value <= 1)] *= 100
    bounds = {v.key: v.plausible for v in VOCABULARY.variables}
    low = np.array([bounds[key][0] for key in variable])
    high = np.array([bounds[key][1] for key in variable])
    stay = stays.loc[events.stay_id]
    times = pd.to_datetime(events.charttime).to_numpy()
    hours = (times - stay.intime.to_numpy()) / np.timedelta64(1, "s") / 3600
    length = (stay.outtime.to_numpy() - stay.intime.to_numpy()) / np.timedelta64(1, "s") / 3600
    events = events.assign(value=value, hours=hours)
    events = events[(value >= low) & (value <= high) & (hours >= 0) & (hours <= np.minimum(48, length))]
    table = events.pivot_table(index=["stay_id", "hours"], columns="variable", values="value", aggfunc="max")
    return table[[variable.key for variable in VOCABULARY.variables]].sort_index()


def test_the_cohort_is_the_one_that_pandas_selects(demo: Any) -> None:
    root, rows, provenance = demo
    stays = expected_stays(root)
    assert set(rows) == set(stays.index)
    assert provenance["examples"]["total"] == len(stays) == 112
    assert provenance["title"] == "MIMIC-IV Clinical Database Demo"
    assert provenance["credentialed"] is False


def test_every_value_of_every_stay_agrees_with_pandas(demo: Any) -> None:
    root, rows, provenance = demo
    stays = expected_stays(root)
    table = expected_series(root, stays)
    compared = 0
    for stay_id, row in rows.items():
        series = LabSeries.from_example(VOCABULARY, row)
        expected = table.loc[stay_id]
        np.testing.assert_allclose(series.hours, expected.index.to_numpy(), rtol=1e-6)
        np.testing.assert_allclose(series.values, expected.to_numpy(), rtol=1e-5)
        compared += int(series.observed.sum())
    used, merged = provenance["series"]["measurements_used"], provenance["series"]["merged_at_the_same_time"]
    assert compared == used - merged > 30_000
    assert used == sum(item["used"] for item in provenance["items"])
    for item in provenance["items"]:
        assert item["rows"] == item["used"] + sum(item["rejected"].values())


def test_labels_and_prediction_times_agree_with_pandas(demo: Any) -> None:
    root, rows, provenance = demo
    codes = read(root, "hosp/diagnoses_icd", dtype={"icd_code": str})
    codes = codes.groupby("hadm_id").apply(lambda part: set(zip(part.icd_version, part.icd_code, strict=True)))
    stays = expected_stays(root)
    positives = 0
    for stay_id, row in rows.items():
        found = codes[row["hadm_id"]]
        expected = [
            int(any((v, c) in found for v, listed in codes.items() for c in listed))
            for codes in SHIPPED.codes.values()
        ]
        assert row["labels"] == expected
        positives += sum(expected)
        length = (stays.outtime[stay_id] - stays.intime[stay_id]).total_seconds() / 3600
        assert row["prediction_time"] == pytest.approx(min(48, length), rel=1e-6)
    assert positives == provenance["labels"]["labels"] > 500


def test_structured_notes_name_no_later_drug_and_no_code(demo: Any) -> None:
    root, rows, _ = demo
    stays = expected_stays(root)
    drugs = read(root, "hosp/prescriptions", usecols=["hadm_id", "starttime", "drug_type", "drug"])
    drugs["starttime"] = pd.to_datetime(drugs.starttime)
    codes = read(root, "hosp/diagnoses_icd", dtype=str)
    for stay_id, row in rows.items():
        listed = [
            line for line in row["note"].splitlines() if line.startswith("Medications ordered in this admission")
        ]
        mine = drugs[(drugs.hadm_id == row["hadm_id"]) & (drugs.drug_type == "MAIN")]
        # A note is cleaned, so repeated blanks are one.
        before = {" ".join(drug.split()).lower() for drug in mine[mine.starttime < stays.intime[stay_id]].drug}
        text = listed[0].split(": ", 1)[1].removesuffix(".") if listed else ""
        assert bool(text) == bool(before)
        rest = text
        for drug in sorted(before, key=len, reverse=True):
            rest = rest.replace(drug, "")
        assert not rest.strip(", ")
        words = set(row["note"].replace(".", " ").replace(",", " ").split())
        assert not words & {code for code in codes[codes.hadm_id == str(row["hadm_id"])].icd_code if len(code) > 3}


def test_a_policy_that_needs_notes_is_refused(shared: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--note-policy structured"):
        make_cohort("mimic-iv", shared / "data" / "mimic-iv-demo", tmp_path / "c", note_policy="admission")
