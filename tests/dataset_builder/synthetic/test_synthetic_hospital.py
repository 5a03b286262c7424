"""The synthetic hospital: reproducible, streaming, in the layout of MIMIC-IV, with the world it claims to have."""

from __future__ import annotations

import csv
import gzip
import json
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from synthetic_hospital import PATIENTS, Hospital, digests, rows_of
from tiny_mimic import SHIPPED, VOCABULARY, make_cohort

from dataset_builder.storage.governance import provenance_notices
from dataset_builder.storage.progress import Progress
from dataset_builder.synthetic.hospital import fill_hospital
from dataset_builder.synthetic.patients import PatientMaker
from dataset_builder.synthetic.tables import COLUMNS
from dataset_builder.synthetic.world_file import load_world
from modeling_clinragen.errors import SettingsError


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        fill_hospital(tmp_path / name, patients=40, seed=seed)
    first, second, other = (digests(tmp_path / name) for name in "abc")
    assert len(first) == len(COLUMNS) + 1
    assert first == second
    assert {path for path in first if first[path] == other[path]} <= {"hosp/d_labitems.csv.gz", "icu/d_items.csv.gz"}


def test_a_patient_does_not_depend_on_the_number_of_patients(tmp_path: Path) -> None:
    fill_hospital(tmp_path / "few", patients=15)
    fill_hospital(tmp_path / "many", patients=40)
    for table in COLUMNS:
        few = rows_of(tmp_path / "few" / f"{table}.csv.gz")
        many = rows_of(tmp_path / "many" / f"{table}.csv.gz")
        assert many[: len(few)] == few, table
        assert len(many) > len(few) or table.rsplit("/", 1)[1].startswith("d_")


def test_progress_and_counts(hospital: Hospital, tmp_path: Path) -> None:
    reported: list[Progress] = []
    fill_hospital(tmp_path / "h", patients=3, report=reported.append)
    assert reported == [Progress(3, 3, "patients")]
    for name, table in (
        ("patients", "hosp/patients"),
        ("admissions", "hosp/admissions"),
        ("stays", "icu/icustays"),
        ("chart_events", "icu/chartevents"),
        ("lab_events", "hosp/labevents"),
        ("notes", "note/discharge"),
    ):
        assert hospital.query(f"select count(*) from {{{table}}}") == [(hospital.counts[name],)], name
    assert len(hospital.truth) == hospital.counts["admissions"]


@pytest.mark.parametrize(("patients", "seed"), [(0, 0), (10_000_000, 0), (5, -1)])
def test_impossible_requests_are_refused(tmp_path: Path, patients: int, seed: int) -> None:
    with pytest.raises(SettingsError, match="must"):
        fill_hospital(tmp_path / "h", patients=patients, seed=seed)
    assert not (tmp_path / "h").exists()


def test_an_existing_folder_is_filled_with_the_same_bytes(hospital: Hospital, tmp_path: Path) -> None:
    reported: list[Progress] = []
    (tmp_path / "marker").touch()
    counts = fill_hospital(tmp_path, patients=PATIENTS, seed=3, report=reported.append)
    assert counts == hospital.counts
    assert digests(tmp_path) == digests(hospital.folder)
    assert (tmp_path / "marker").exists()
    assert reported[-1].done == PATIENTS


def test_memory_does_not_grow_with_the_number_of_patients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A quarter of the chunk keeps the ratio of patients to chunks and makes the test four times faster.
    monkeypatch.setattr("dataset_builder.synthetic.hospital.CHUNK", 100)
    fill_hospital(tmp_path / "warm", patients=2)
    peaks = []
    for patients in (100, 400):
        tracemalloc.start()
        fill_hospital(tmp_path / str(patients), patients=patients)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.6 * peaks[0]


def test_headers_are_those_of_mimic_iv(hospital: Hospital, shared: Path) -> None:
    demo = shared / "data" / "mimic-iv-demo"
    for table, columns in COLUMNS.items():
        header = rows_of(hospital.folder / f"{table}.csv.gz")[0]
        assert header == json.dumps(columns)
        if table != "note/discharge":
            with gzip.open(demo / f"{table}.csv.gz", "rt", encoding="utf-8") as stream:
                assert header == json.dumps(next(csv.reader(stream))), table


def test_the_items_are_those_of_mimic_iv(hospital: Hospital, shared: Path) -> None:
    demo = shared / "data" / "mimic-iv-demo"
    for table in ("icu/d_items", "hosp/d_labitems"):
        ours = set(hospital.query(f"select itemid, label, category from {{{table}}}"))
        theirs = set(hospital.query(f"select itemid, label, category from '{demo}/{table}.csv.gz'"))
        assert ours <= theirs


def test_identifiers_are_unique_and_in_range(hospital: Hospital) -> None:
    for table, column, first in (
        ("hosp/patients", "subject_id", 1),
        ("hosp/admissions", "hadm_id", 2),
        ("icu/icustays", "stay_id", 3),
        ("hosp/transfers", "transfer_id", 3),
        ("hosp/labevents", "labevent_id", 0),
        ("hosp/prescriptions", "pharmacy_id", 0),
        ("note/discharge", "note_id", 0),
    ):
        values = [value for (value,) in hospital.query(f"select {column} from {{{table}}}")]
        assert len(set(values)) == len(values), table
        if first:
            assert {value // 10_000_000 for value in values} == {first}


def test_times_are_in_order(hospital: Hospital) -> None:
    assert hospital.query(
        "select count(*) from {icu/icustays} s join {hosp/admissions} a using (hadm_id) where not "
        "(a.admittime < s.intime and s.intime < s.outtime and s.outtime < a.dischtime) or abs(s.los - "
        "(epoch(s.outtime) - epoch(s.intime)) / 86400) > 1e-6"
    ) == [(0,)]
    assert hospital.query("select count(*) from {hosp/transfers} where intime > outtime") == [(0,)]
    assert hospital.query("select min(anchor_age) >= 18, max(anchor_age) <= 91 from {hosp/patients}") == [(True, True)]


def test_the_untidiness_that_cohort_filters_remove_is_there(hospital: Hospital) -> None:
    twice = "select count(*) from (select {} from {{{}}} group by 1 having count(*) = 2)"
    (second,) = hospital.query(twice.format("hadm_id", "icu/icustays"))
    (moved,) = hospital.query("select count(*) from {icu/icustays} where first_careunit != last_careunit")
    (outside,) = hospital.query(
        "select count(distinct stay_id) from {icu/chartevents} e join {icu/icustays} s using (stay_id) "
        "where e.charttime < s.intime - interval 5 minute or e.charttime > s.outtime"
    )
    (again,) = hospital.query(twice.format("subject_id", "hosp/admissions"))
    for (count,), rate in ((second, 0.05), (moved, 0.05), (outside, 0.03), (again, 0.08)):
        assert 0.3 * rate * PATIENTS < count < 2.5 * rate * PATIENTS


def test_untidy_readings(hospital: Hospital) -> None:
    (wrong,) = hospital.query(
        "select sum((itemid = 220277 and valuenum = 0)::int), sum((itemid = 220045 and valuenum = 999)::int), "
        "sum((itemid = 223761 and valuenum < 60)::int), sum((itemid = 223762 and valuenum > 60)::int) "
        "from {icu/chartevents}"
    )
    assert all(1 <= count < 0.05 * PATIENTS for count in wrong)
    (kinds,) = hospital.query(
        "select sum((itemid = 223762)::int), sum((itemid = 223761)::int), "
        "sum((itemid = 223835 and valuenum <= 1)::int), sum((itemid = 223835 and valuenum > 20)::int), "
        "sum((itemid = 220052)::int), sum((itemid = 220181)::int) from {icu/chartevents}"
    )
    assert all(kinds)
    assert kinds[0] < kinds[1]
    assert kinds[2] < kinds[3]
    distinct = "count(distinct (stay_id, itemid, charttime, valuenum))"
    assert hospital.query(f"select count(*) > {distinct} from {{icu/chartevents}}") == [(True,)]
    per_stay = hospital.counts["chart_events"] / hospital.counts["stays"]
    assert 200 < per_stay < 420


def test_prevalences_exclusions_and_correlations() -> None:
    world = load_world(None, SHIPPED)
    maker = PatientMaker(world)
    counts: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    together = (("pneumonia", "septicemia"), ("chronic_kidney_disease", "acute_renal_failure"))
    size = 6000
    for index in range(size):
        present = maker.make(index, np.random.default_rng([11, index])).admissions[0].findings
        counts.update(list(present))
        pairs.update(pair for pair in (*world.exclusive, *together) if set(pair) <= set(present))
    for key, disease in world.diseases.items():
        assert abs(counts[key] / size - disease.prevalence) < 0.02, key
    assert not any(pairs[pair] for pair in world.exclusive)
    for first, second in together:
        assert pairs[first, second] > 1.3 * counts[first] * counts[second] / size


def test_chronic_diseases_stay_on_the_next_admission(hospital: Hospital) -> None:
    chronic = {disease.key for disease in VOCABULARY.diseases if disease.kind == "chronic"}
    seen: dict[int, set[str]] = {}
    repeated = 0
    for record in hospital.truth:
        here = chronic & set(record["diseases"])
        if record["subject_id"] in seen:
            repeated += 1
            assert seen[record["subject_id"]] == here
        seen[record["subject_id"]] = here
    assert repeated > 10


def test_every_code_of_the_world_belongs_to_its_disease() -> None:
    world = load_world(None, SHIPPED)
    known = SHIPPED.codes
    for key, disease in world.diseases.items():
        for version, codes in disease.codes.items():
            assert codes
            assert set(codes) <= known[key][version], key
    listed = {(version, code) for codes in known.values() for version in codes for code in codes[version]}
    for condition in world.conditions:
        assert not {(version, code) for version, code in condition.codes.items()} & listed, condition.names


def test_coded_diseases_are_those_of_the_truth(hospital: Hospital) -> None:
    owners: dict[tuple[int, str], set[str]] = {}
    for key, listed in SHIPPED.codes.items():
        for version, codes in listed.items():
            for code in codes:
                owners.setdefault((version, code), set()).add(key)
    labels: dict[int, set[str]] = {}
    for hadm_id, code, version in hospital.query("select hadm_id, icd_code, icd_version from {hosp/diagnoses_icd}"):
        labels.setdefault(hadm_id, set()).update(owners.get((version, code), set()))
    uncoded = total = 0
    for record in hospital.truth:
        coded = {key for key, disease in record["diseases"].items() if disease["coded"]}
        assert labels.get(record["hadm_id"], set()) == coded
        total += len(record["diseases"])
        uncoded += len(record["diseases"]) - len(coded)
    assert 0.008 < uncoded / total < 0.035
    versions = dict(hospital.query("select icd_version, count(distinct hadm_id) from {hosp/diagnoses_icd} group by 1"))
    assert 0.36 < versions[9] / sum(versions.values()) < 0.54


def test_a_cohort_built_from_it_has_the_labels_and_the_phrases_of_the_truth(
    hospital: Hospital, tmp_path: Path
) -> None:
    from dataset_builder.contract.schema import SPLITS, load_examples

    provenance = make_cohort("mimic-iv", hospital.folder, tmp_path / "cohort", note_policy="admission")
    assert not provenance["credentialed"]
    assert provenance["synthetic"] is True
    assert provenance_notices(provenance)[0].startswith("The patients are synthetic: ")
    card = (tmp_path / "cohort" / "README.md").read_text()
    assert "no number says anything about real patients" in card.replace("\n", " ")
    truth = {record["stay_id"]: record["diseases"] for record in hospital.truth}
    keys = [disease.key for disease in VOCABULARY.diseases]
    seen = 0
    for split, examples in load_examples(tmp_path / "cohort").items():
        assert split in SPLITS
        for example in examples:
            diseases = truth[example["stay_id"]]
            labelled = {key for key, label in zip(keys, example["labels"], strict=True) if label}
            assert labelled == {key for key, disease in diseases.items() if disease["coded"]}
            assert all(disease["phrase"] in example["note"] for disease in diseases.values() if disease["phrase"])
            assert "Brief Hospital Course" not in example["note"]
            seen += 1
    assert 0.8 * PATIENTS < seen < PATIENTS
