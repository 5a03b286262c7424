"""What happens after the prediction time reaches no example, and the audit's numbers, each computed a second way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_mimic import SHIPPED, VOCABULARY, make_cohort

from dataset_builder.contract.schema import SPLITS

WINDOW = 24
LATER = "TAMPERED"


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dataset_builder.synthetic.hospital import fill_hospital

    root = tmp_path_factory.mktemp("synthetic") / "hospital"
    fill_hospital(root, patients=80, seed=5)
    return root


@pytest.fixture(scope="module")
def demo(shared: Path) -> Path:
    return shared / "data" / "mimic-iv-demo"


def read(root: Path, table: str) -> pd.DataFrame:
    """Cells as they are written, all of them text."""
    return pd.read_csv(root / f"{table}.csv.gz", dtype=str, keep_default_na=False)


def hours_after(times: pd.Series, start: pd.Series) -> np.ndarray:
    return (pd.to_datetime(times).to_numpy() - start.to_numpy()) / np.timedelta64(1, "h")


def tamper(root: Path, output: Path) -> int:
    """Copy a MIMIC-IV with other values, drugs, services, cultures and notes after each stay's first hours.

    Returns how many cells were changed.
    """
    stays = read(root, "icu/icustays")
    begin = pd.to_datetime(stays.set_index("stay_id").intime)
    last_begin = begin.groupby(stays.set_index("stay_id").subject_id).max()
    changed = 0

    def write(table: str, rows: pd.DataFrame, late: np.ndarray, columns: tuple[str, ...], value: str) -> None:
        nonlocal changed
        rows.loc[late, list(columns)] = value
        changed += int(late.sum()) * len(columns)
        (output / table).parent.mkdir(parents=True, exist_ok=True)
        rows.to_csv(output / f"{table}.csv", index=False)

    for table in ("hosp/patients", "hosp/admissions", "hosp/diagnoses_icd", "icu/icustays"):
        write(table, rows := read(root, table), np.zeros(len(rows), bool), (), "")
    chart = read(root, "icu/chartevents")[["stay_id", "charttime", "itemid", "value", "valuenum"]]
    late = hours_after(chart.charttime, begin.reindex(chart.stay_id)) > WINDOW
    write("icu/chartevents", chart, late, ("value", "valuenum"), "100")
    # Without a stay id: late for every stay of the patient.
    labs = read(root, "hosp/labevents")
    late = hours_after(labs.charttime, last_begin.reindex(labs.subject_id)) > WINDOW
    write("hosp/labevents", labs, late, ("value", "valuenum"), "100")
    # The note tells what was known when the stay began: of the patient's other admissions that is all of the earlier.
    for table, time, name in (
        ("hosp/prescriptions", "starttime", "drug"),
        ("hosp/services", "transfertime", "curr_service"),
        ("hosp/microbiologyevents", "charttime", "test_name"),
    ):
        rows = read(root, table)
        write(table, rows, hours_after(rows[time], last_begin.reindex(rows.subject_id)) >= 0, (name,), LATER)
    if (root / "note").is_dir():
        notes = read(root, "note/discharge")
        cut = notes.text.str.extract(
            r"(?s)^(.*?)\nPertinent Results:.*?(\nMedications on Admission:.*?)\nDischarge Medications:"
        )
        assert cut.notna().all(axis=None)
        course = f"\nPertinent Results:\n{LATER}\nBrief Hospital Course:\n{LATER}"
        notes["text"] = cut[0] + course + cut[1] + f"\nDischarge Medications:\n{LATER}\nDischarge Diagnosis:\n{LATER}"
        write("note/discharge", notes, np.zeros(len(notes), bool), (), "")
        changed += len(notes)
    return changed


@pytest.mark.parametrize(
    ("hospital", "choices"),
    [
        ("demo", [("structured", "first-24h")]),
        ("synthetic", [("structured", "first-24h"), ("admission", "first-24h"), ("structured", "stay")]),
    ],
)
def test_what_comes_later_changes_no_byte(
    hospital: str, choices: list[tuple[str, str]], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root = request.getfixturevalue(hospital)
    assert tamper(root, tmp_path / "tampered") > 1000
    for policy, window in choices:
        settings = {"note_policy": policy, "window": window}
        found = examples(build(root, tmp_path / "cohort" / policy / window, **settings))
        other = examples(build(tmp_path / "tampered", tmp_path / "other" / policy / window, **settings))
        # In the whole stay what was changed is there to be seen.
        assert found.equals(other) == (window != "stay")


def build(root: Path, output: Path, **settings: Any) -> Path:
    given = {"note_policy": "structured", "window": "first-24h", **settings}
    make_cohort("mimic-iv", root, output, **given)
    return output


def examples(folder: Path) -> pa.Table:
    """All examples in the order of their stays, with the `split` that each is in.

    Without what names the release, which is told by a licence file that tampered copies lack.
    """
    parts = [pq.read_table(folder / "data" / f"{split}.parquet") for split in SPLITS]
    named = [
        part.append_column("split", pa.array([split] * len(part))) for part, split in zip(parts, SPLITS, strict=True)
    ]
    return pa.concat_tables(named).sort_by("stay_id").drop_columns(["example_id", "source"])


def named(note: str, names: set[str]) -> bool:
    """Whether a note has one of the names as whole words, in the singular or with an s; no regular expression."""

    def plain(text: str) -> str:
        return " ".join(text.lower().replace("-", " ").split())

    text = plain(note)
    for name in map(plain, names):
        start = text.find(name)
        while start >= 0:
            before, after = text[:start][-1:], text[start + len(name) :]
            after = after.removeprefix("s")[:1] if after[:1] == "s" else after[:1]
            if not any(mark.isalnum() or mark == "_" for mark in (before, after)):
                return True
            start = text.find(name, start + 1)
    return False


@pytest.mark.parametrize("note_policy", ["admission", "full"])
def test_the_audit_s_numbers_are_those_of_a_second_count(synthetic: Path, tmp_path: Path, note_policy: str) -> None:
    provenance = make_cohort("mimic-iv", synthetic, tmp_path / "cohort", note_policy=note_policy, window="first-24h")
    found = examples(tmp_path / "cohort").to_pandas()
    names = {
        disease.name: {disease.name, disease.name.partition(" (")[0]}
        | {
            surface
            for term in SHIPPED.diseases[disease.key]["terms"]
            if term["kind"] == "name"
            for surface in [term["term"], *term.get("spellings", [])]
        }
        for disease in VOCABULARY.diseases
    }
    splits_of_note = found[found.note != ""].groupby("note").split.nunique()
    expected = {
        "patients_in_several_splits": int((found.groupby("subject_id").split.nunique() > 1).sum()),
        "notes_identical_across_splits": int((splits_of_note > 1).sum()),
        "measurements_after_prediction_time": 0,
        "labels_named_in_their_note": sum(
            named(row.note, names[disease]) for row in found.itertuples() for disease in row.diagnoses
        ),
        "labels": int(found.diagnoses.map(len).sum()),
    }
    audit = provenance["leakage_audit"]
    assert {name: audit[name] for name in expected} == expected
    assert expected["labels_named_in_their_note"] > (50 if note_policy == "full" else 0)
    assert expected["patients_in_several_splits"] == 0


@pytest.mark.parametrize("window", ["first-24h", "stay"])
def test_no_example_knows_a_later_time_than_its_prediction(demo: Path, tmp_path: Path, window: str) -> None:
    cohort = build(demo, tmp_path / "cohort", window=window)
    stays = read(demo, "icu/icustays").set_index("stay_id")
    length = hours_after(stays.outtime, pd.to_datetime(stays.intime))
    limit = {"first-24h": 24, "stay": np.inf}[window]
    known = pd.Series(np.minimum(length, limit), stays.index.astype(int))
    for row in examples(cohort).to_pandas().itertuples():
        assert row.prediction_time == pytest.approx(known[row.stay_id])
        assert row.lab_hours.max() <= row.prediction_time
