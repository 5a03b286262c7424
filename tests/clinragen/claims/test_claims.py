"""The claim checker: sentences of a clinician, counts made reading by reading, and any text at all."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from claim_cases import CASES, KEYS, RANGES, SERIES, VOCABULARY, by_variable, check, series_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clinragen.claims.check import CONTRADICTED, KINDS, SUPPORTED, UNVERIFIABLE, VERDICTS, check_rationale
from clinragen.claims.lexicon import load_lexicon
from clinragen.claims.patterns import load_patterns, read_number
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.lab_words_clinragen import number_in_words


@pytest.mark.parametrize("case", CASES["sentences"], ids=lambda case: f"{case['of']}: {case['say'][:60]}")
def test_what_a_clinician_says(case: dict[str, Any]) -> None:
    claims = check(case["say"], case["of"], CASES["note"])
    assert by_variable(claims) == case["expect"], [(claim.kind, claim.evidence) for claim in claims]
    if "hedged" in case:
        assert any(claim.hedged for claim in claims) == case["hedged"]
    for claim in claims:
        assert claim.kind in KINDS
        assert claim.verdict in VERDICTS
        assert case["say"][slice(*claim.span)] == claim.text
        assert claim.evidence.reason
        assert len(claim.evidence.hours) == len(claim.evidence.values)


def test_the_sentences_are_many_and_cover_every_variable_and_verdict() -> None:
    assert len(CASES["sentences"]) >= 300
    pairs = {(key, verdict) for case in CASES["sentences"] for key, verdict in case["expect"].items()}
    for key in set(KEYS) - {"weight", "fraction_inspired_oxygen"}:
        assert {(key, "S"), (key, "C")} <= pairs


# Counts and extremes against a count made here.

VALUES = st.lists(st.one_of(st.none(), st.floats(40, 160, width=32)), min_size=1, max_size=30)


@given(VALUES, st.integers(0, 6), st.sampled_from(["high", "low"]))
@settings(max_examples=150, deadline=None)
def test_counts_agree_with_a_count_reading_by_reading(values: list[float | None], wanted: int, side: str) -> None:
    data = series_of({"hours": list(range(len(values))), "heart_rate": values})
    measured = [value for value in values if value is not None]
    count = sum(RANGES.level("heart_rate", value) == side for value in measured)
    word = "higher" if side == "high" else "lower"
    claims = check_rationale(f"heart rate is {word} than normal {number_in_words(wanted)} times.", data)
    assert [claim.kind for claim in claims] == (["count"] if measured else ["level"])
    expected = UNVERIFIABLE if not measured else SUPPORTED if count == wanted else CONTRADICTED
    assert claims[0].verdict == expected
    if claims[0].verdict == SUPPORTED and count:
        expected_values = [value for value in measured if RANGES.level("heart_rate", value) == side][:12]
        assert claims[0].evidence.values == tuple(round(float(value), 4) for value in expected_values)


@given(VALUES, st.integers(30, 170), st.sampled_from(["peaks at", "is lowest at"]))
@settings(max_examples=150, deadline=None)
def test_extremes_agree_with_a_search_reading_by_reading(values: list[float | None], number: int, words: str) -> None:
    data = series_of({"hours": list(range(len(values))), "systolic_blood_pressure": values})
    measured = [value for value in values if value is not None]
    claims = check_rationale(f"Systolic blood pressure {words} {number} mmHg.", data)
    (claim,) = claims
    if not measured:
        assert claim.verdict == UNVERIFIABLE
        return
    extreme = measured[0]
    for value in measured:
        extreme = max(extreme, value) if words == "peaks at" else min(extreme, value)
    near = abs(abs(extreme - number) - 0.5) < 1e-3
    if not near:
        assert claim.verdict == (SUPPORTED if abs(extreme - number) < 0.5 else CONTRADICTED)


@given(st.lists(st.lists(st.one_of(st.none(), st.floats(0, 300, width=32)), min_size=11, max_size=11), max_size=8))
@settings(max_examples=60, deadline=None)
def test_every_summary_of_any_series_is_supported(values: list[list[float | None]]) -> None:
    table = np.array(values, dtype=np.float32).reshape(-1, len(KEYS))
    series = LabSeries.from_values(VOCABULARY, np.arange(len(table)), table)
    text = series.in_words(RANGES)
    claims = check_rationale(text, series)
    assert all(claim.verdict == SUPPORTED for claim in claims)
    assert len({claim.variable for claim in claims}) == text.count(" is ")


# Any text, quickly.

WORDS = st.sampled_from(
    [
        *(
            "heart rate",
            "HR",
            "pH",
            "SpO2",
            "blood pressure",
            "fever",
            "tachycardia",
            "temperature",
            "weight",
            "vitals",
        ),
        *(
            "not",
            "never",
            "no",
            "is",
            "was",
            "high",
            "low",
            "normal",
            "rises",
            "falls",
            "from",
            "to",
            "between",
            "and",
        ),
        *(
            "or",
            "but",
            "with",
            ",",
            ".",
            ";",
            ":",
            "(",
            ")",
            '"',
            "120",
            "7.25",
            "120/80",
            "60-80",
            "80%",
            "39 °F",
            "1/",
        ),
        *("hour", "4", "hours", "first", "last", "once", "three times", "in every reading", "most", "until", "about"),
        *("near", "peaking", "it", "which", "suggests", "Shock", ">", "<", "≥", "at", "admission", "later", "1,200"),
        *("130s", "mmHg", "stable", "improving", "if", "history of", "measured", "both", "nor", "of", "two", "as is"),
    ]
)


@given(st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=40).map(" ".join)))
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_text_makes_it_raise_and_the_same_text_gives_the_same(text: str) -> None:
    claims = check(text, "quiet", CASES["note"])
    assert claims == check(text, "quiet", CASES["note"])
    for claim in claims:
        assert text[slice(*claim.span)] == claim.text
    assert check_rationale(text, LabSeries.empty(VOCABULARY)) is not None


@pytest.mark.parametrize(
    "piece",
    [
        " ".join(case["say"] for case in CASES["sentences"][:100]) + " ",
        *(
            "heart rate and ",
            "high ",
            "12 ",
            "twenty one ",
            'a "chest pain" ',
            "in the last ",
            "heart rate high, ",
            "1/",
            "\n",
        ),
    ],
)
def test_ten_times_the_text_takes_about_ten_times_as_long(piece: str) -> None:
    def seconds(length: int) -> float:
        text = (piece * (length // len(piece) + 1))[:length]
        taken = []
        for _ in range(3):
            started = time.process_time()
            check(text, note=CASES["note"])
            taken.append(time.process_time() - started)
        return min(taken)

    seconds(1000)
    long = seconds(10_000)
    assert long < 2  # 0.1 s on an idle machine
    assert seconds(40_000) < 10 * max(long, 0.01)


# What the arguments and the parts of a claim mean.


def test_what_is_not_observed_is_never_looked_at() -> None:
    hours, values, observed = SERIES["quiet"].hours, SERIES["quiet"].values.copy(), SERIES["quiet"].observed
    values[:, KEYS.index("glucose")] = 500  # a filled value, as some layouts have it, does not get in
    with pytest.raises(InputDataError, match="NaN elsewhere"):
        LabSeries(VOCABULARY, hours, values, observed)
    for text in ("Glucose is normal.", "Glucose is high.", "Glucose stays between 400 and 600.", "No hyperglycemia."):
        (claim,) = check(text, "quiet")
        assert (claim.verdict, claim.variable) == (UNVERIFIABLE, "glucose")


def test_the_range_set_decides_what_is_high() -> None:
    text = "Heart rate is high."
    data = series_of({"hours": [0, 1, 2], "heart_rate": [110, 115, 112]})
    assert check_rationale(text, data)[0].verdict == SUPPORTED
    assert check_rationale(text, data, range_set=VOCABULARY.range_set("paper"))[0].verdict == CONTRADICTED


def test_one_sentence_may_hold_several_claims() -> None:
    claims = check("Heart rate is high in most readings from hour 8, peaking near 160 bpm.")
    assert {(claim.kind, claim.verdict) for claim in claims} == {
        ("count", SUPPORTED),
        ("timing", SUPPORTED),
        ("extreme", CONTRADICTED),
    }
    (extreme,) = [claim for claim in claims if claim.kind == "extreme"]
    assert (extreme.evidence.hours, extreme.evidence.values) == ((20.0,), (130.0,))


def test_a_wrong_guess_is_still_wrong() -> None:
    (claim,) = check("The patient is possibly bradycardic.")
    assert (claim.verdict, claim.hedged) == (CONTRADICTED, True)


def test_without_a_note_quotations_are_not_judged() -> None:
    (claim,) = check('The note says "productive cough".')
    assert (claim.kind, claim.verdict, claim.variable) == ("note", UNVERIFIABLE, None)


def test_arrays_that_do_not_fit_are_refused() -> None:
    hours, values, observed = SERIES["quiet"].hours, SERIES["quiet"].values, SERIES["quiet"].observed
    for wrong in (
        (hours[:-1], values, observed),
        (hours, values[:-1], observed),
        (hours, values, np.ones_like(observed)),
    ):
        with pytest.raises(InputDataError):
            LabSeries(VOCABULARY, *wrong)


def test_numbers_in_words_are_read_back() -> None:
    for number in [*range(1, 400), 1000, 1234, 12_345, 999_999]:
        assert read_number(number_in_words(number)) == number


@pytest.mark.parametrize("load", [partial(load_lexicon, VOCABULARY), load_patterns])
def test_a_broken_file_is_named(load: Any, tmp_path: Path) -> None:
    path = tmp_path / "words.yaml"
    with pytest.raises(InputDataError, match="cannot be read"):
        load(path)
    path.write_text("names: {}\nparts: {}\n")
    with pytest.raises(InputDataError, match="missing or malformed"):
        load(path)
    path.write_text("[")
    with pytest.raises(InputDataError, match="not a readable YAML"):
        load(path)
