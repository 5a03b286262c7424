"""Units: the vocabulary's spellings, UCUM's codes and plain names, and only such as measure the same quantity."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_mimic import VOCABULARY

from dataset_builder.contract.measurement_units import unit_spelled
from modeling_clinragen.vocabulary_clinragen import Unit


def spelled(key: str, text: str) -> Unit | None:
    variable = VOCABULARY.variable(key)
    return unit_spelled(text, variable.units, dict(variable.words.units))


@pytest.mark.parametrize(
    ("key", "text", "written", "own"),
    [
        ("temperature", "[degF]", 98.6, 37),
        ("temperature", "Cel", 37, 37),
        ("temperature", "K", 310.15, 37),
        ("temperature", "℃", 37, 37),
        ("systolic_blood_pressure", "mm[Hg]", 120, 120),
        ("systolic_blood_pressure", "torr", 120, 120),
        ("systolic_blood_pressure", "cm[H2O]", 100, 73.56),
        ("systolic_blood_pressure", "hPa", 160, 120.01),
        ("glucose", "µmol/L", 5600, 100.89),
        ("glucose", "g/L", 1, 100),
        ("glucose", "mg%", 90, 90),
        ("glucose", "milligram per deciliter", 90, 90),
        ("heart_rate", "{beats}/min", 80, 80),
        ("heart_rate", "beats per minute", 80, 80),
        ("heart_rate", "min-1", 80, 80),
        ("heart_rate", "/s", 1.5, 90),
        ("weight", "lb_av", 220, 99.79),  # as "weight [lb_av]" is read, whose brackets are the code's
        ("weight", "pounds", 220, 99.79),
        ("weight", "stone", 10, 63.5),
        ("weight", "mg", 70e6, 70),
        ("oxygen_saturation", "1", 0.97, 97),
        ("fraction_inspired_oxygen", "1", 0.4, 0.4),
    ],
)
def test_a_unit_is_known_by_what_it_measures(key: str, text: str, written: float, own: float) -> None:
    unit = spelled(key, text)
    assert unit is not None
    assert written * unit.scale + unit.offset == pytest.approx(own, rel=1e-3)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("glucose", "stones"),
        ("glucose", "kg"),
        ("glucose", "{glucose}"),
        ("glucose", ""),
        ("heart_rate", "rpm"),  # turns: 6.28 times as many radians
        ("heart_rate", "deg/min"),
        ("heart_rate", "min"),
        ("fraction_inspired_oxygen", "deg"),
        ("oxygen_saturation", "dB"),
        ("weight", "nan"),
        ("weight", "nan/m"),
        ("weight", "km99999999"),
        ("weight", "10**10**10"),
        ("weight", "((((((((((((kg))))))))))))" * 20),
        ("weight", "__import__('os')"),
    ],
)
@pytest.mark.timeout(20)
def test_what_measures_something_else_is_unknown(key: str, text: str) -> None:
    assert spelled(key, text) is None


@given(st.one_of(st.text(max_size=60), st.text("kgmLdl/[]{}().*^-0123456789%°'\" ", max_size=40)))
@settings(max_examples=300, deadline=2000)
def test_any_text_is_a_unit_or_none(text: str) -> None:
    unit = spelled("glucose", text)
    assert unit is None or unit.scale > 0


def test_the_library_is_loaded_only_where_the_vocabulary_does_not_spell_a_unit() -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from dataset_builder.contract.definitions import shipped_definitions as shipped\n"
        "from dataset_builder.contract.measurement_units import unit_spelled as spelled\n"
        "units = shipped().vocabulary.variable('glucose').units\n"
        "assert spelled('mmol/L', units) and 'pint' not in sys.modules\n"
        "assert spelled('umol/L', units) and 'pint' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
