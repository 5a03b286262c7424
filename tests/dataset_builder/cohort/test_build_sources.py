"""What holds for every source: whose row it is, and what is counted when that cannot be told."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_mimic import TinyMimic, build, item_log, values_of
from tiny_sources import SOURCES, TinySource

GLUCOSE_LAB = 50931


@pytest.mark.parametrize("tiny", SOURCES.values(), ids=SOURCES)
def test_rows_whose_stay_cannot_be_read_are_counted_and_those_of_other_stays_are_not(
    tmp_path: Path, tiny: TinySource
) -> None:
    hospital = tiny.crowd(2)
    hospital.stay(3, **tiny.child)
    hospital.heart_rate(3, 1, 80)
    rows = hospital.rows[tiny.events]
    item = {cell for row in rows for name, cell in row.items() if name in ("itemid", "nursingchartcelltypevalname")}
    for key in ("garbled", "", None, "1234567890123456789", 99):
        hospital.add(tiny.events, **{**rows[0], tiny.key: key})
    found, provenance = build(hospital, tmp_path, max_unreadable=1.0)
    assert set(found) == {1, 2}
    assert values_of(found[1], "heart_rate") == [(1, 61)]
    log = item_log(provenance, item.pop())
    assert log["rejected"] == {"unknown_stay": 4}
    assert log["rows"] == log["used"] + 4 == 6


def test_laboratory_rows_belong_to_a_patient_or_to_nobody_known(tmp_path: Path) -> None:
    hospital = TinyMimic()
    hospital.stay(1)
    hospital.stay(2, age=12)
    hospital.lab(1, 1, GLUCOSE_LAB, 100)
    hospital.lab(1, None, GLUCOSE_LAB, 101, hadm_id=None)
    hospital.lab(2, 1, GLUCOSE_LAB, 102)
    hospital.lab(2, None, GLUCOSE_LAB, 103, hadm_id=None)  # of a patient outside the cohort, at whatever time
    for subject in ("garbled", None):
        hospital.add("hosp/labevents", subject_id=subject, hadm_id=101, itemid=GLUCOSE_LAB, valuenum=104)
    hospital.add("hosp/labevents", subject_id="garbled", hadm_id=101, itemid=1, valuenum=105)  # of no item wanted
    found, provenance = build(hospital, tmp_path, max_unreadable=1.0)
    assert values_of(found[1], "glucose") == [(1, 100)]
    assert item_log(provenance, GLUCOSE_LAB)["rejected"] == {"no_time": 1, "unknown_stay": 2}
