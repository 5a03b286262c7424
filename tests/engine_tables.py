"""Tables with every tricky cell that engines might read differently, and how a refused build is checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from postgres_server import PASSWORD
from tiny_eicu import TinyEicu
from tiny_mimic import DBP, HR, SPO2, START, TinyMimic, make_cohort

from modeling_clinragen.errors import ClinRaGenError

SETTINGS: dict[str, dict[str, Any]] = {
    "hospital": {"source": "mimic-iv", "note_policy": "admission"},
    "demo": {"source": "mimic-iv", "note_policy": "structured"},
    "tricky": {"source": "mimic-iv", "note_policy": "full", "grid": "hourly", "window": "stay"},
    "demo_iii": {"source": "mimic-iii", "note_policy": "structured"},
    "eicu": {"source": "eicu", "note_policy": "structured", "grid": "hourly", "window": "stay"},
    "demo_eicu": {"source": "eicu", "note_policy": "structured"},
}
SPARK = ("hospital", "demo", "eicu")  # the other tricky cells are read by Spark further down


def tricky() -> TinyMimic:
    """What the engines' own readers and casts see differently."""
    hospital = TinyMimic()
    note = 'Chief Complaint:\n"Pain", she said,\nafter\r\na fall; 5\\n6 \\" °C, ß\n\nAllergies:\nNone'
    hospital.stay(1, codes=((" 041.4 ", 9), ("i50.9", 10), ("03843", 9)), note=note, hours=60.4)
    hospital.stay(2, codes=(("0389", 9), ("41401", 9)), note="")
    hospital.stay(3, start=START.replace(microsecond=900_000))
    # Of two notes at one time and place the first in the order of character codes is taken: capitals before small.
    for text in ("b later", "a small", "B capital", "É accent"):
        hospital.note(103, f"Chief Complaint:\n{text}")
    texts = [
        "72",
        " 73 ",
        "74%",
        ".5",
        "75.",
        "7.6e1",
        "+77",
        "1_000",
        "0x40",
        "78d",
        "1e400",
        "nan",
        "inf",
        "8 1",
        "--",
    ]
    for hour, text in enumerate(texts):
        hospital.chart(1, hour + 0.1, HR, text)
    for number in (1, 2, 3):
        for event in range(40):
            # Thirds of an hour: quotients that no binary number holds.
            hospital.chart(number, event / 3, (HR, DBP, SPO2)[event % 3], 60 + (event * 7 * number) % 39 + 0.1)
    hospital.chart(2, None, HR, 80)
    hospital.add("icu/chartevents", charttime=START, itemid=HR, valuenum=80)  # of a stay that nobody knows
    # Fractions of a second are cut off; mimic-code's loader rounds those of chart times.
    for fraction in (".2", ".400"):
        cells = {"charttime": f"2150-03-02 23:00:07{fraction}", "itemid": HR, "value": 90, "valuenum": 90}
        hospital.add("icu/chartevents", subject_id=2, stay_id=1002, **cells)
    for value in (7.1, 7.35, 7.4):
        hospital.lab(3, 5.5, 50820, value, hadm_id=None)
    return hospital


def tricky_eicu() -> TinyEicu:
    """The same for tables with a column per variable, cells of several codes and times in minutes."""
    hospital = TinyEicu()
    hospital.stay(1, codes=("401.9, I10", " 038.9;a41.9/E87.2 ", "", "X, 401.9.9", None), admissionweight=81.55)
    hospital.stay(2, codes=("V45.81\t584.9",), age="> 89", uniquepid="123-45678", gender=None, unitadmitsource="É r")
    hospital.stay(3, codes=("E785",), unitdischargeoffset=29)
    hospital.stay(4, age="")
    for number in (1, 2, 3, None):
        stay = None if number is None else 1000 + number
        for event in range(40):
            cells = {"patientunitstayid": stay, "observationoffset": event * 7 - 3}
            wide = {
                "temperature": 36.65 + event * 2,
                "sao2": event * 3,
                "heartrate": None if event % 3 else 60 + event,
            }
            hospital.add("vitalPeriodic", **cells, **wide)
            hospital.add("vitalAperiodic", **cells, noninvasivesystolic=100.1 + event, noninvasivemean=event)
    for event, text in enumerate(("40", "60%", "0.5", " 1 ", "on", "1e400", "nan", "0x28", "7.35", "21 %")):
        hospital.respiratory(1, event * 11, "FiO2", text)
        hospital.lab(2, event * 11, "pH", None, text)
        hospital.lab(2, event * 11, "glucose", 100.25 + event, text)
    for minutes, name in ((-10, "COPD"), (-10, " aspirin "), (0, "late"), (None, "undated")):
        entered = {"pasthistoryoffset": 0, "pasthistoryenteredoffset": minutes}
        hospital.chart("pastHistory", 1, **entered, pasthistoryvalue=name)
        hospital.chart("medication", 1, drugstartoffset=minutes, drugname=name)
    return hospital


def same(provenance: Any, other: Any) -> None:
    """Every count is the same; what names files and licences may differ."""
    keys = ("cohort", "patients", "examples", "series", "items", "labels", "positives", "notes", "leakage_audit")
    assert {key: provenance[key] for key in keys} == {key: other[key] for key in keys}


def refused(root: Path | str, output: Path, **settings: Any) -> str:
    """The one line of the error a build ends with; nothing of the output may be left."""
    with pytest.raises(ClinRaGenError) as caught:
        make_cohort("mimic-iv", root, output, **{"note_policy": "full", "engine": "postgres", **settings})
    assert not list(output.parent.glob(f"{output.name}*"))
    message = str(caught.value)
    assert "\n" not in message
    assert PASSWORD not in message
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return message
