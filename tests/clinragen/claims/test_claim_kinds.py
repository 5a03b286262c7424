"""What is hard about a sentence, kind by kind: sentences of each kind, and properties that hold for all of a kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from claim_cases import VOCABULARY, by_variable, check, series_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from clinragen.claims.check import check_rationale

KINDS: dict[str, list[dict[str, Any]]] = yaml.safe_load(
    (Path(__file__).resolve().parents[2] / "data" / "claim_kinds.yaml").read_text("utf-8")
)
CASES = [(kind, case) for kind, cases in KINDS.items() for case in cases]


@pytest.mark.parametrize(("kind", "case"), CASES, ids=lambda value: value if isinstance(value, str) else value["say"])
def test_a_sentence_of_each_kind(kind: str, case: dict[str, Any]) -> None:
    claims = check(case["say"], case["of"])
    assert by_variable(claims) == case["expect"], [(claim.kind, claim.text, claim.evidence) for claim in claims]


# Values at hours: supported if and only if each value is the reading at its hour.

HOURS = st.lists(st.integers(0, 48), min_size=2, max_size=4, unique=True).map(sorted)
WORDINGS = (
    "Heart rate was {0} at hour {1}, {2} at hour {3}.",
    "HR {0} at hour {1} and {2} at hour {3}.",
    "HR {0} (hour {1}) -> {2} (hour {3}).",
    "HR {2} at hour {3}, up from {0} at hour {1}.",
    "HR was {0} and {2} at hours {1} and {3}.",
    "At hour {1} HR was {0} and at hour {3} {2}.",
)


@given(HOURS, st.data(), st.sampled_from(WORDINGS), st.booleans())
@settings(max_examples=200, deadline=None)
def test_values_at_hours_hold_exactly_when_the_readings_do(
    hours: list[int], data: st.DataObject, wording: str, true: bool
) -> None:
    spaced = [4 * hour for hour in hours]
    values = data.draw(st.lists(st.integers(40, 160), min_size=len(hours), max_size=len(hours), unique=True))
    first, last = values[0], values[-1]
    assume("up from" not in wording or last > first)
    said = last if true else last + data.draw(st.integers(3, 30))
    text = wording.format(first, spaced[0], said, spaced[-1])
    series = series_of({"hours": spaced, "heart_rate": values})
    assert by_variable(check_rationale(text, series)) == {"heart_rate": "S" if true else "C"}, text


@given(st.lists(st.integers(40, 160), min_size=3, max_size=3, unique=True), st.booleans())
@settings(max_examples=100, deadline=None)
def test_an_arrow_says_the_order_of_values(values: list[int], ordered: bool) -> None:
    series = series_of({"hours": [0, 4, 8], "heart_rate": values})
    shown = values if ordered else [values[2], values[0], values[1]]
    for arrow in (" -> ", "→", " => ", " --> "):
        claims = check_rationale(f"HR {arrow.join(map(str, shown))}.", series)
        assert by_variable(claims) == {"heart_rate": "S" if ordered else "C"}


# A number, time, duration or comparison that is not understood is never supported; what belongs to something else
# changes nothing.

TRUE = {
    "heart_rate": "Heart rate was 130",
    "systolic_blood_pressure": "SBP fell to 78",
    "temperature": "Temperature peaked at 39.4",
    "oxygen_saturation": "SpO2 is low",
    "respiratory_rate": "The respiratory rate rose from 18 to 30",
}
NOT_UNDERSTOOD = (
    *("at 14:30", "at 3 pm", "yesterday", "this morning", "on 12/24/2019", "in March 2014", "within 6 hours"),
    *("30 minutes after intubation", "two days later", "over the next 8 hours", "for several days", "on POD 3"),
    *("over the previous few hours", "12 hours before extubation", "by 3 pm", "in 8 hours", "since 2015"),
    *("compared with the day before", "relative to the other arm", "last night", "6 hours ago"),
)
DURATIONS = ("within 6 hours", "in 8 hours")
OF_OTHERS = (
    *("on 4 L", "on 2 liters of oxygen", "on 3 pressors", "with a lactate of 4.2", "after 500 mL of saline"),
    *("on 12 mcg/min of norepinephrine", "in a 71 year old man", "with a GCS of 9", "despite 2 units of blood"),
    *("in this 64 yo woman", ", alert and oriented x3", ", checked q4h", "with pCO2 55", "on 20 mg of prednisone"),
)


@pytest.mark.parametrize("addition", NOT_UNDERSTOOD)
@pytest.mark.parametrize("key", TRUE)
def test_what_is_not_understood_is_never_supported(key: str, addition: str) -> None:
    assert by_variable(check(f"{TRUE[key]}.")) == {key: "S"}
    took = key == "respiratory_rate" and addition in DURATIONS  # of a change with both of its values it is known
    assert by_variable(check(f"{TRUE[key]} {addition}.")) == {key: "C" if took else "U"}


@pytest.mark.parametrize("addition", OF_OTHERS)
@pytest.mark.parametrize("key", TRUE)
def test_a_number_of_something_else_changes_nothing(key: str, addition: str) -> None:
    assert by_variable(check(f"{TRUE[key]} {addition}.")) == {key: "S"}


# A negation holds for a whole list, whatever else is in it.

FINDINGS = {
    "fever": "temperature",
    "tachycardia": "heart_rate",
    "hypoxia": "oxygen_saturation",
    "tachypnea": "respiratory_rate",
}
UNKNOWN = st.sampled_from(["chills", "chest pain", "rash", "night sweats", "vomiting", "neck stiffness"])


@given(
    st.lists(st.one_of(st.sampled_from(sorted(FINDINGS)), UNKNOWN), min_size=2, max_size=6, unique=True),
    st.sampled_from(["No", "Denies", "Without", "Negative for", "The patient lacked", "There is no evidence of"]),
    st.sampled_from([" or ", ", or ", ", and ", ", "]),
)
@settings(max_examples=200, deadline=None)
def test_a_negation_holds_for_the_whole_list(items: list[str], negation: str, conjunction: str) -> None:
    text = f"{negation} {', '.join(items[:-1])}{conjunction}{items[-1]}."
    keys = [FINDINGS[item] for item in items if item in FINDINGS]
    assert by_variable(check(text, "septic")) == dict.fromkeys(keys, "C"), text
    assert by_variable(check(text, "quiet")) == dict.fromkeys(keys, "S"), text


@pytest.mark.parametrize(
    "behind", [": none", ": no", " (-)", " was ruled out", " is unlikely", " was absent", ": neg"]
)
@pytest.mark.parametrize("finding", FINDINGS)
def test_a_negation_may_stand_behind(finding: str, behind: str) -> None:
    text = f"{finding.capitalize()}{behind}."
    assert by_variable(check(text, "septic")) == {FINDINGS[finding]: "C"}
    assert by_variable(check(text, "quiet")) == {FINDINGS[finding]: "S"}
    assert all(claim.negated for claim in check(text))


def test_each_variable_behind_a_header_counts_once() -> None:
    for header in ("Vitals:", "Vitals notable for", "VS:", "Vital signs were significant for", "Initial vitals"):
        claims = check(f"{header} HR 88, RR 18, BP 128/70.")
        assert [claim.variable for claim in claims] == [
            *("heart_rate", "respiratory_rate", "systolic_blood_pressure", "diastolic_blood_pressure"),
        ], header


@given(st.lists(st.booleans(), min_size=3, max_size=14), st.integers(1, 60))
@settings(max_examples=150, deadline=None)
def test_a_duration_is_supported_only_if_a_run_of_readings_can_last_so_long(high: list[bool], length: int) -> None:
    hours = [4 * step for step in range(len(high))]
    series = series_of({"hours": hours, "heart_rate": [130 if one else 80 for one in high]})
    verdict = by_variable(check_rationale(f"Heart rate was above 100 for {length} hours.", series))["heart_rate"]
    runs = [len(run) for run in "".join("h" if one else "." for one in high).split(".") if run]
    longest = max(runs, default=0)
    if verdict == "S":
        ends = longest == len(high) or high[-longest:] == [True] * longest or high[:longest] == [True] * longest
        assert 4 * (longest - 1) - 1 <= length
        assert ends or length <= 4 * (longest + 1) + 1
    if not longest:
        assert verdict == "C"


def test_the_kinds_are_many() -> None:
    assert len(CASES) >= 100
    assert {key for _, case in CASES for key in case["expect"]} == set(VOCABULARY.variable_keys)
