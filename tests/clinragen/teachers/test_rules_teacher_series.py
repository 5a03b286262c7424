"""The rule-based teacher's R_t: every statement read back and verified against the raw series, without the checker."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinragen.knowledge import load_knowledge
from clinragen.teachers.rules import RuleTeacher
from dataset_builder.contract.definitions import shipped_definitions

VOCABULARY = shipped_definitions().vocabulary
DISEASES = VOCABULARY.diseases
VARIABLES = VOCABULARY.variables
KEYS = list(VOCABULARY.variable_keys)
KNOWLEDGE = load_knowledge(None, VOCABULARY)
COLUMN = {variable.name.lower(): column for column, variable in enumerate(VARIABLES)}
RANGES = {name: VOCABULARY.range_set(name) for name in ("clinical", "paper")}
TEACHERS = {name: RuleTeacher(KNOWLEDGE, VOCABULARY, ranges, seed=3) for name, ranges in RANGES.items()}
# Half of what "near" and "about" may be off, by variable key.
HALF_STEP = {
    "fraction_inspired_oxygen": 0.05,
    "glucose": 10,
    "oxygen_saturation": 1,
    "respiratory_rate": 2.5,
    "temperature": 0.25,
    "weight": 1,
    "ph": 0.025,
}

LEVEL = re.compile(
    r"^(?P<name>[A-Za-z ]+?) is (?P<side>high|low) "
    r"(?P<extent>once|in every reading|in most readings|in some readings|in a few readings)"
    r"(?: (?P<when>at|from|until) hour (?P<hour>-?\d+))?"
    r", (?:peaking near|up to about|down to about|lowest near) (?P<number>-?[\d.]+)(?P<unit>%| [A-Za-z/]+)?$"
)
TREND = re.compile(
    r"^(?P<name>[A-Za-z ]+?) (?P<move>rises|falls) from about (?P<first>-?[\d.]+) to about (?P<last>-?[\d.]+)"
)
SWING = re.compile(r"^(?P<name>[A-Za-z ]+?) swings between about (?P<low>-?[\d.]+) and (?P<high>-?[\d.]+)")
SUPPORT = re.compile(
    r"^(?P<finding>.+?)(?:, which (?:suggests (?P<m1>[^.]+) and )?fits |, in keeping with |: (?P<m2>[^.]+?) in )"
    r"(?P<diseases>[A-Z].*)\.$"
)
NONE = re.compile(r"^(?:The measurements do not point|No measurement points) to (?P<diseases>.+)\.$")


def example(hours: np.ndarray, values: np.ndarray, keys: list[str], number: int = 0) -> dict[str, Any]:
    """An example of the data contract from (steps,) and (steps, 11) with NaN where not measured."""
    observed = ~np.isnan(values)
    return {
        "example_id": f"made-{number}",
        "note": "",
        "diagnoses": [disease.name for disease in DISEASES if disease.key in keys],
        "lab_hours": hours.tolist(),
        "lab_values": [[None if np.isnan(value) else float(value) for value in row] for row in values],
        "lab_observed": observed.tolist(),
    }


def one(key: str, values: Sequence[float], hours: Sequence[float] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A series of a single variable, hourly if no hours are given."""
    table = np.full((len(values), 11), np.nan, dtype=np.float32)
    table[:, KEYS.index(key)] = values
    return np.array(hours if hours is not None else range(len(values)), dtype=np.float32), table


def names_in(text: str) -> set[str]:
    found = set()
    for disease in sorted(DISEASES, key=lambda item: -len(item.name)):
        if disease.name in text:
            found.add(disease.name)
            text = text.replace(disease.name, "#")
    assert re.fullmatch(r"#(, #)*( (and|or) #)?", text), text
    return found


def sentences(text: str) -> list[str]:
    """Split at full stops that are not inside a number."""
    return [part.strip() + "." for part in re.split(r"\.(?=\s|$)", text) if part.strip()]


def near(key: str, number: str, value: float) -> bool:
    return abs(float(number) - value) <= HALF_STEP.get(key, 5) * 1.0001 + 1e-4


def verify(finding: str, hours: np.ndarray, table: np.ndarray, ranges: str) -> tuple[str, str]:
    """Check one finding against the raw series; returns (variable key, direction)."""
    level, trend, swing = LEVEL.match(finding), TREND.match(finding), SWING.match(finding)
    matched = level or trend or swing
    assert matched is not None, finding
    column = COLUMN[matched["name"].lower()]
    key = KEYS[column]
    measured = ~np.isnan(table[:, column])
    assert measured.any()
    values, when = table[measured, column].astype(float), hours[measured]
    if level:
        low, high = (np.float32(bound) for bound in RANGES[ranges].bounds[key])
        inclusive = RANGES[ranges].low_inclusive
        raw = table[measured, column]
        beyond = raw > high if level["side"] == "high" else (raw <= low if inclusive else raw < low)
        count = int(beyond.sum())
        said_of = np.ones(len(beyond), dtype=bool)
        if level["when"] in ("from", "until"):
            first, last = when[beyond][0], when[beyond][-1]
            said_of = when >= first if level["when"] == "from" else when <= last
        total = int(said_of.sum())
        share = count / total
        extent = level["extent"]
        assert {
            "once": count == 1,
            "in every reading": count == total > 1,
            "in most readings": 1 < count < total and share > 0.5,
            "in some readings": count > 1 and 0.2 <= share <= 0.5,
            "in a few readings": count > 1 and share < 0.2,
        }[extent], (finding, count, total)
        assert near(key, level["number"], values.max() if level["side"] == "high" else values.min()), finding
        if level["when"]:
            hour = int(level["hour"])
            first, last = when[beyond][0], when[beyond][-1]
            if level["when"] == "at":
                assert extent == "once"
                assert abs(first - hour) <= 0.5
            elif level["when"] == "from":
                assert abs(first - hour) <= 0.5
                assert beyond[when >= first].mean() >= 0.7
                assert not beyond[when < first].any()
            else:
                assert abs(last - hour) <= 0.5
                assert beyond[when <= last].mean() >= 0.7
                assert not beyond[when > last].any()
        return key, level["side"]
    if trend:
        assert near(key, trend["first"], values[0])
        assert near(key, trend["last"], values[-1])
        assert (values[-1] > values[0]) == (trend["move"] == "rises")
        assert np.polyfit(when, values, 1)[0] != 0
        return key, "rising" if trend["move"] == "rises" else "falling"
    assert swing is not None
    assert near(key, swing["low"], values.min())
    assert near(key, swing["high"], values.max())
    assert values.max() - values.min() >= np.abs(np.diff(values)).mean()
    return key, "erratic"


def check(hours: np.ndarray, table: np.ndarray, keys: list[str], ranges: str, number: int = 0) -> str:
    """Write R_t and read it back: each statement is true, each diagnosis named, each sign in the knowledge base."""
    rationale = TEACHERS[ranges].write(example(hours, table, keys, number))
    by_name = {disease.name: disease.key for disease in DISEASES}
    supported: set[str] = set()
    unsupported: set[str] = set()
    for sentence in sentences(rationale.lab):
        none, support = NONE.match(sentence), SUPPORT.match(sentence)
        if none:
            unsupported |= names_in(none["diseases"])
            continue
        assert support is not None, sentence
        sign = verify(support["finding"], hours, table, ranges)
        named = names_in(support["diseases"])
        for name in named:
            signs = {(item.variable, item.direction): item.meaning for item in KNOWLEDGE.disease(by_name[name]).signs}
            assert sign in signs
            meaning = support["m1"] or support["m2"]
            assert meaning is None or (len(named) == 1 and meaning == signs[sign])
        supported |= named
    assert not supported & unsupported
    assert supported | unsupported == {disease.name for disease in DISEASES if disease.key in keys}
    assert {by_name[name] for name in supported} == rationale.lab_support
    return rationale.lab


def test_sustained_fever_from_hour_six() -> None:
    hours, table = one("temperature", [36.8, 37.0, 36.9, 37.1, 36.9, 37.0, 38.9, 39.1, 39.4, 38.8, 39.0, 38.7])
    lab = check(hours, table, ["septicemia"], "clinical")
    assert "Temperature is high in every reading from hour 6" in lab  # in half of all readings
    assert "39.5 C" in lab
    assert "Septicemia (except in labor)" in lab


def test_early_fever_that_ends() -> None:
    hours, table = one("temperature", [39.0, 39.2, 38.9, 38.6, 37.0, 36.9, 36.8, 37.0, 36.9, 37.1])
    assert "is high in every reading until hour 3" in check(hours, table, ["pneumonia"], "clinical")


def test_single_and_rare_readings() -> None:
    hours, table = one("heart_rate", [80, 82, 81, 120], [0, 1.2, 2.1, 3.4])
    assert "Heart rate is high once at hour 3" in check(hours, table, ["shock"], "clinical")
    hours, table = one("heart_rate", [80.0] * 29 + [120.0])
    lab = check(hours, table, ["shock"], "clinical")  # one of thirty is not a sign
    assert "Heart rate" not in lab


def test_falling_pressure_and_erratic_rate() -> None:
    hours, table = one("systolic_blood_pressure", [139, 134, 130, 126, 121, 115, 110, 106, 101, 96])
    lab = check(hours, table, ["gastrointestinal_hemorrhage"], "clinical")
    assert "falls from about 140 to about 100 mmHg" in lab
    hours, table = one("heart_rate", [70, 99, 66, 98, 64, 97, 70, 95, 62, 99])
    assert "Heart rate swings between about 60 and 100 bpm" in check(
        hours, table, ["cardiac_dysrhythmias"], "clinical"
    )


def test_outliers_at_both_ends_are_no_trend() -> None:
    hours, table = one("systolic_blood_pressure", [139] + [120] * 20 + [95])
    assert "falls" not in check(hours, table, ["gastrointestinal_hemorrhage"], "clinical")


def test_nothing_measured_is_never_described() -> None:
    empty = np.zeros((0, 11), dtype=np.float32)
    rationale = TEACHERS["clinical"].write(example(np.zeros(0), empty, ["shock"]))
    assert rationale.lab == "No bedside variable was measured."
    assert rationale.lab_support == frozenset()
    healthy = TEACHERS["clinical"].write(example(np.zeros(0), empty, []))
    assert healthy.lab == "No bedside variable was measured."


def test_weight_has_no_clinical_range() -> None:
    hours, table = one("weight", [180.0] * 8)
    assert "Weight" not in check(hours, table, ["lipid_disorders"], "clinical")
    assert "Weight is high in every reading" in check(hours, table, ["lipid_disorders"], "paper")


def test_without_a_disease_only_measured_variables_are_called_normal() -> None:
    hours, table = one("heart_rate", [70, 75, 80, 72])
    table[1, KEYS.index("glucose")] = 300
    table[2, KEYS.index("weight")] = 80
    lab = TEACHERS["clinical"].write(example(hours, table, [])).lab
    parts = sentences(lab)
    assert [part for part in parts if part.endswith("normal.")] == ["Heart rate stays normal."]
    unexplained = [part for part in parts if "without one of the diseases" in part]
    assert len(unexplained) == 1
    assert (
        verify(unexplained[0].removesuffix(", without one of the diseases."), hours, table, "clinical")[0] == "glucose"
    )
    assert "eight" not in lab  # weight: no range, never judged
    quiet = TEACHERS["clinical"].write(example(*one("weight", [80.0, 80.0]), [])).lab
    assert "normal" not in quiet


@st.composite
def series(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Random walks with gaps around plausible values of some of the variables."""
    steps = draw(st.integers(1, 40))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    hours = np.cumsum(random.uniform(0.05, 3.0, steps)).astype(np.float32)
    table = np.full((steps, 11), np.nan, dtype=np.float32)
    for column, variable in enumerate(VARIABLES):
        if random.random() < 0.4:
            continue
        size = draw(st.sampled_from([0.0, 0.05, 0.2, 0.5])) * (0.1 if variable.key in ("ph", "temperature") else 1)
        walk = variable.fill * (1 + random.normal(0, size or 0.01, steps).cumsum() * random.choice([0.0, 0.3, 1.0]))
        walk += variable.fill * random.normal(0, size / 2, steps)
        low, high = variable.plausible
        table[:, column] = np.clip(np.round(walk, variable.decimals), low, high)
        table[random.random(steps) < random.choice([0.0, 0.3, 0.9]), column] = np.nan
    return hours, table


@given(
    series(), st.sets(st.sampled_from([disease.key for disease in DISEASES]), min_size=1, max_size=8), st.booleans()
)
@settings(max_examples=400, deadline=None)
def test_every_statement_about_random_series_is_true(
    made: tuple[np.ndarray, np.ndarray], keys: set[str], paper: bool
) -> None:
    hours, table = made
    if np.isnan(table).all():
        assert (
            TEACHERS["clinical"].write(example(hours, table, sorted(keys))).lab == "No bedside variable was measured."
        )
        return
    check(hours, table, sorted(keys), "paper" if paper else "clinical", number=len(keys))


@given(series())
@settings(max_examples=150, deadline=None)
def test_statements_without_a_disease_are_true(made: tuple[np.ndarray, np.ndarray]) -> None:
    hours, table = made
    for part in sentences(TEACHERS["clinical"].write(example(hours, table, [])).lab):
        if part.endswith("normal."):
            listed = re.sub(r" stays? normal\.$", "", part)
            for name in re.split(r", | and ", listed):
                column = COLUMN[name.lower()]
                low, high = (np.float32(bound) for bound in RANGES["clinical"].bounds[KEYS[column]])
                values = table[~np.isnan(table[:, column]), column]
                assert len(values)
                assert ((values >= low) & (values <= high)).all()
        elif part.endswith(", without one of the diseases."):
            verify(part.removesuffix(", without one of the diseases."), hours, table, "clinical")
        else:
            nothing = np.isnan(table).all()
            assert part.startswith("No bedside variable" if nothing else ("The measurements", "No measurement"))


@pytest.mark.parametrize("ranges", ["clinical", "paper"])
def test_a_synthetic_cohort_reads_back(ranges: str, tmp_path: Any) -> None:
    """Real-looking series with real combinations of diseases, each statement verified; and they stay short."""
    from tiny_mimic import make_cohort

    from dataset_builder.contract.schema import load_examples
    from dataset_builder.synthetic.hospital import fill_hospital

    fill_hospital(tmp_path / "tables", patients=150, seed=5)
    make_cohort("mimic-iv", tmp_path / "tables", tmp_path / "cohort", note_policy="admission")
    lengths = []
    by_name = {disease.name: disease.key for disease in DISEASES}
    for row in load_examples(tmp_path / "cohort")["train"]:
        values = np.array(row["lab_values"], dtype=np.float32).reshape(-1, 11)
        hours = np.array(row["lab_hours"], dtype=np.float32)
        keys = [by_name[name] for name in row["diagnoses"]]
        if keys and not np.isnan(values).all():
            lab = check(hours, values, keys, ranges)
            if len(keys) in (4, 5):
                lengths.append(len(lab.split()))
    assert len(lengths) > 10
    assert np.median(lengths) <= 60
