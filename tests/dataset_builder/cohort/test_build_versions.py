"""Versions of the sources: those that are known are read as published, others and mixtures are refused with a cure."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from tiny_mimic import COLUMNS, TinyMimic, build, crowd, examples_of, make_cohort
from tiny_sources import SOURCES as TINY
from tiny_sources import TinySource

from dataset_builder.sources.spec import SOURCES
from modeling_clinragen.errors import InputDataError

# All columns as MIMIC-IV 2.2, 3.0 and 3.1 publish them, in their order: 3.x added patients (anchor_year_group "2020 -
# 2022"; none of them has a note, for MIMIC-IV-Note ends with version 2.2) and no column.
PUBLISHED = COLUMNS | {
    "hosp/admissions": "subject_id hadm_id admittime dischtime deathtime admission_type admit_provider_id "
    "admission_location discharge_location insurance language marital_status race edregtime edouttime "
    "hospital_expire_flag",
    "hosp/prescriptions": "subject_id hadm_id pharmacy_id poe_id poe_seq order_provider_id starttime stoptime "
    "drug_type drug formulary_drug_cd gsn ndc prod_strength form_rx dose_val_rx dose_unit_rx form_val_disp "
    "form_unit_disp doses_per_24_hrs route",
    "hosp/microbiologyevents": "microevent_id subject_id hadm_id micro_specimen_id order_provider_id chartdate "
    "charttime spec_itemid spec_type_desc test_seq storedate storetime test_itemid test_name org_itemid org_name "
    "isolate_num quantity ab_itemid ab_name dilution_text dilution_comparison dilution_value interpretation comments",
    "hosp/labevents": "labevent_id subject_id hadm_id specimen_id itemid order_provider_id charttime storetime value "
    "valuenum valueuom ref_range_lower ref_range_upper flag priority comments",
    "icu/chartevents": "subject_id hadm_id stay_id caregiver_id charttime storetime itemid value valuenum valueuom "
    "warning",
}
by_source = pytest.mark.parametrize("tiny", TINY.values(), ids=TINY)


@pytest.mark.parametrize("version", ["2.2", "3.0", "3.1"])
def test_mimic_iv_is_read_as_published_with_its_notes_beside_it(tmp_path: Path, version: str) -> None:
    hospital = TinyMimic()
    for number in (1, 2):
        hospital.stay(number, note="Chief Complaint:\nFever" if number == 1 else None)
        hospital.heart_rate(number, 1, 80)
        hospital.lab(number, 2, 50931, 100 + number)
    hospital.rows["hosp/patients"][1]["anchor_year_group"] = "2020 - 2022"
    expected, _ = build(hospital, tmp_path / "plain")
    root = hospital.write(tmp_path / "physionet.org" / "files" / "mimiciv" / version, tables=PUBLISHED)
    notes = root.parents[1] / "mimic-iv-note" / "2.2"
    notes.mkdir(parents=True)
    (root / "note").rename(notes / "note")
    provenance = make_cohort("mimic-iv", root, tmp_path / "cohort", note_policy="full")
    assert examples_of(tmp_path / "cohort") == expected
    assert expected[1]["note"] == "Chief Complaint:\nFever"
    assert provenance["version"] == version
    assert provenance["notes"]["without_a_note"] == 1
    assert provenance["credentialed"] is True  # no licence file: the strictest case


@by_source
def test_an_unknown_version_is_refused_until_the_user_vouches_for_it(tmp_path: Path, tiny: TinySource) -> None:
    root = tiny.crowd(2).write(tmp_path / tiny.folder / tiny.other)
    source = tiny.hospital.source
    with pytest.raises(InputDataError) as caught:
        make_cohort(source, root, tmp_path / "cohort", note_policy="structured")
    content = yaml.safe_load((SOURCES / f"{source}.yaml").read_text())
    for named in (f"{content['title']} {tiny.other}", ", ".join(content["versions"]), f"copy of {source}.yaml"):
        assert named in str(caught.value)
    content["versions"].append(tiny.other)
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(content))
    provenance = make_cohort(str(tmp_path / "own.yaml"), root, tmp_path / "cohort", note_policy="structured")
    assert provenance["version"] == tiny.other
    assert provenance["source"] == source


@by_source
def test_tables_of_two_versions_are_named(tmp_path: Path, tiny: TinySource) -> None:
    made = tiny.crowd(2).write(tmp_path / "made")
    mixed = tmp_path / "mixed"
    for path in made.rglob("*.csv.gz"):
        name = path.relative_to(made)
        version = tiny.other if str(name).startswith(tiny.events) else tiny.known
        held = tmp_path / tiny.folder / version / name
        for folder in (held.parent, (mixed / name).parent):
            folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, held)
        (mixed / name).symlink_to(held)
    with pytest.raises(InputDataError) as caught:
        make_cohort(tiny.hospital.source, mixed, tmp_path / "cohort", note_policy="structured")
    for named in (f"{tiny.events}.csv.gz", f"version {tiny.other}", f"version {tiny.known}", "tables of one version"):
        assert named in str(caught.value)


@pytest.mark.parametrize(("table", "column"), [("hosp/admissions", "hadm_id"), ("hosp/patients", "subject_id")])
def test_a_mixture_that_no_folder_s_name_tells_shows_in_the_ids(tmp_path: Path, table: str, column: str) -> None:
    hospital = crowd(5)
    hospital.rows[table].pop()
    with pytest.raises(InputDataError) as caught:
        build(hospital, tmp_path)
    for named in ("icustays.csv.gz: 1 stays", f"'{column}'", f"{table}.csv.gz", "tables of one version"):
        assert named in str(caught.value)


def test_a_project_folder_s_name_is_no_version(tmp_path: Path) -> None:
    project = tmp_path / "mimic-iv-9.1-project" / "data"
    for folders, version in (("tables", "unknown"), ("mimic-iv-clinical-database-2.2", "2.2")):
        provenance = make_cohort(
            "mimic-iv", crowd(2).write(project / folders), tmp_path / f"cohort-{version}", note_policy="full"
        )
        assert provenance["version"] == version
