"""The claim checker: sentences of a clinician, errors planted in rationales, and counts made reading by reading."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from dataset_builder.contract.vocabulary import load_diseases, load_range_set, load_variables
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clinragen.claims.check import CONTRADICTED, KINDS, SUPPORTED, UNVERIFIABLE, VERDICTS, Claim, check_rationale
from clinragen.claims.filter import REASONS, FilterReport, filter_rationale
from clinragen.claims.lexicon import load_lexicon
from clinragen.claims.patterns import load_patterns, read_number
from clinragen.knowledge import load_knowledge
from clinragen.teachers.rules import RuleTeacher
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.lab_summary import number_in_words, summarise
from modeling_clinragen.errors import InputDataError

ROOT = Path(__file__).resolve().parents[3]
CASES: dict[str, Any] = yaml.safe_load((ROOT / "tests" / "data" / "claim_sentences.yaml").read_text(encoding="utf-8"))
KEYS = [variable.key for variable in load_variables()]
RANGES = load_range_set("clinical")
SHORT = {SUPPORTED: "S", CONTRADICTED: "C", UNVERIFIABLE: "U"}
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def arrays(columns: Mapping[str, Any]) -> Arrays:
    hours = np.array(columns["hours"], dtype=np.float32)
    values = np.full((len(hours), len(KEYS)), np.nan, dtype=np.float32)
    for key in KEYS:
        if key in columns:
            values[:, KEYS.index(key)] = [np.nan if value is None else value for value in columns[key]]
    return hours, values, ~np.isnan(values)


SERIES = {name: arrays(columns) for name, columns in CASES["series"].items()}


def check(text: str, name: str = "septic", note: str | None = None) -> list[Claim]:
    return check_rationale(text, *SERIES[name], note=note)


def by_variable(claims: list[Claim]) -> dict[str, str]:
    """The worst verdict on each variable."""
    worst: dict[str, str] = {}
    for claim in claims:
        key = claim.variable or ("note" if claim.kind == "note" else "any")
        worst[key] = min(worst.get(key, "S"), SHORT[claim.verdict], key="CUS".index)
    return worst


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


# Errors planted in the rationales of a synthetic hospital. The planting is the benchmark's.


@pytest.fixture(scope="module")
def benchmark_module() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("claims_benchmark", ROOT / "benchmarks" / "claims.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def rows(benchmark_module: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return [dict(row) for row in benchmark_module.synthetic_rows(tmp_path_factory.mktemp("claims"), 60, 23)]


def test_planted_errors_are_found_and_nothing_else(benchmark_module: ModuleType, rows: list[dict[str, Any]]) -> None:
    planted = list(benchmark_module.Planter(rows, 3).all())
    kinds = benchmark_module.measure(planted)
    assert set(kinds) >= {
        *("level", "direction", "timing", "count", "summary count", "extreme", "normality", "variable", "negation"),
        *("unmeasured", "invented quote", "negated quote", "historical quote", "reworded level"),
    }
    for kind, numbers in kinds.items():
        assert numbers["precision"] >= 0.95, (kind, numbers)
        assert numbers["recall"] >= 0.95, (kind, numbers)


def test_true_rationales_pass_the_filter(rows: list[dict[str, Any]]) -> None:
    teacher = RuleTeacher(load_knowledge(), RANGES, 1)
    report = FilterReport("rules")
    statements = 0
    for row in rows:
        rationale = teacher.write(row)
        verdict = filter_rationale((rationale.note, rationale.lab), row)
        report.add(verdict, row["diagnoses"])
        statements += len(verdict.claims)
        summary = check_rationale(row["lab_summary"], row["lab_hours"], row["lab_values"], row["lab_observed"])
        assert {claim.verdict for claim in summary} <= {SUPPORTED}
        assert len(summary) >= row["lab_summary"].count(" is ")
    result = report.report()
    assert result["rejection_rate"] <= 0.05
    assert statements > 5 * len(rows)
    assert result["claims"]["note"]["supported"] > len(rows)


# Counts and extremes against a count made here.

VALUES = st.lists(st.one_of(st.none(), st.floats(40, 160, width=32)), min_size=1, max_size=30)


@given(VALUES, st.integers(0, 6), st.sampled_from(["high", "low"]))
@settings(max_examples=150, deadline=None)
def test_counts_agree_with_a_count_reading_by_reading(values: list[float | None], wanted: int, side: str) -> None:
    data = arrays({"hours": list(range(len(values))), "heart_rate": values})
    measured = [value for value in values if value is not None]
    count = sum(RANGES.level("heart_rate", value) == side for value in measured)
    word = "higher" if side == "high" else "lower"
    claims = check_rationale(f"heart rate is {word} than normal {number_in_words(wanted)} times.", *data)
    assert [claim.kind for claim in claims] == (["count"] if measured else ["level"])
    expected = UNVERIFIABLE if not measured else SUPPORTED if count == wanted else CONTRADICTED
    assert claims[0].verdict == expected
    if claims[0].verdict == SUPPORTED and count:
        told = [value for value in measured if RANGES.level("heart_rate", value) == side][:12]
        assert claims[0].evidence.values == tuple(round(float(value), 4) for value in told)


@given(VALUES, st.integers(30, 170), st.sampled_from(["peaks at", "is lowest at"]))
@settings(max_examples=150, deadline=None)
def test_extremes_agree_with_a_search_reading_by_reading(values: list[float | None], told: int, words: str) -> None:
    data = arrays({"hours": list(range(len(values))), "systolic_blood_pressure": values})
    measured = [value for value in values if value is not None]
    claims = check_rationale(f"Systolic blood pressure {words} {told} mmHg.", *data)
    (claim,) = claims
    if not measured:
        assert claim.verdict == UNVERIFIABLE
        return
    extreme = measured[0]
    for value in measured:
        extreme = max(extreme, value) if words == "peaks at" else min(extreme, value)
    near = abs(abs(extreme - told) - 0.5) < 1e-3
    if not near:
        assert claim.verdict == (SUPPORTED if abs(extreme - told) < 0.5 else CONTRADICTED)


@given(st.lists(st.lists(st.one_of(st.none(), st.floats(0, 300, width=32)), min_size=11, max_size=11), max_size=8))
@settings(max_examples=60, deadline=None)
def test_every_summary_of_any_series_is_borne_out(values: list[list[float | None]]) -> None:
    table = np.array(values, dtype=np.float32).reshape(-1, len(KEYS))
    series = LabSeries.from_values(np.arange(len(table)), table)
    text = summarise(series, RANGES)
    claims = check_rationale(text, series.hours, series.values, series.observed)
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
    assert check_rationale(text, [], np.zeros((0, 11)), np.zeros((0, 11), dtype=bool)) is not None


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
    assert long < 0.3  # 0.1 s on an idle machine
    assert seconds(40_000) < 10 * max(long, 0.01)


# What the arguments and the parts of a claim mean.


def test_what_is_not_observed_is_never_looked_at() -> None:
    hours, values, observed = (part.copy() for part in SERIES["quiet"])
    column = KEYS.index("glucose")
    values[:, column] = 500  # a filled value, as some layouts have it
    for text in ("Glucose is normal.", "Glucose is high.", "Glucose stays between 400 and 600.", "No hyperglycemia."):
        (claim,) = check_rationale(text, hours, values, observed)
        assert (claim.verdict, claim.variable) == (UNVERIFIABLE, "glucose")


def test_the_range_set_decides_what_is_high() -> None:
    text = "Heart rate is high."
    data = arrays({"hours": [0, 1, 2], "heart_rate": [110, 115, 112]})
    assert check_rationale(text, *data)[0].verdict == SUPPORTED
    assert check_rationale(text, *data, range_set=load_range_set("paper"))[0].verdict == CONTRADICTED


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
    (claim,) = check('"productive cough" supports Shock.')
    assert (claim.kind, claim.verdict, claim.variable) == ("note", UNVERIFIABLE, None)


def test_arrays_that_do_not_fit_are_refused() -> None:
    hours, values, observed = SERIES["quiet"]
    with pytest.raises(InputDataError):
        check_rationale("HR 80.", hours[:-1], values, observed)
    with pytest.raises(InputDataError):
        check_rationale("HR 80.", hours, values[:-1], observed)
    with pytest.raises(InputDataError):
        check_rationale("HR 80.", hours, values, np.ones_like(observed))


def test_numbers_in_words_are_read_back() -> None:
    for number in [*range(1, 400), 1000, 1234, 12_345, 999_999]:
        assert read_number(number_in_words(number)) == number


@pytest.mark.parametrize("load", [load_lexicon, load_patterns])
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


# The filter.

SHOCK, LIPIDS = "Shock", "Disorders of lipid metabolism"


@pytest.fixture
def example() -> dict[str, Any]:
    hours, values, observed = SERIES["septic"]
    table = [[None if np.isnan(value) else float(value) for value in row] for row in values]
    return {
        "note": CASES["note"],
        "lab_hours": hours.tolist(),
        "lab_values": table,
        "lab_observed": observed.tolist(),
        "diagnoses": [SHOCK],
    }


@pytest.mark.parametrize(
    ("note", "lab", "reasons"),
    [
        ('"rigors" supports Shock.', "Heart rate is high, which fits Shock.", ()),
        ('"rigors" supports Shock.', "", ("empty",)),
        ('"rigors" supports Shock.', "### Rationale: Heart rate is high.", ("malformed",)),
        ('"rigors supports Shock.', "Heart rate is high.", ("malformed",)),
        ('"rigors" supports Shock.', "Heart rate is high in most", ("unfinished",)),
        ('The note reports "rigors".', "Heart rate is high.", ("missing_disease",)),
        ('"rigors" supports Shock.', f"Nothing points to {LIPIDS}.", ("other_disease",)),
        ('"rigors" supports Shock.', "Heart rate is low.", ("contradicted_series",)),
        ('"hematemesis" supports Shock.', "Heart rate is high.", ("contradicted_note",)),
        (
            '"rigors" supports a disorder.',
            f"HR 40 fits {LIPIDS}.",
            ("missing_disease", "other_disease", "contradicted_series"),
        ),
    ],
)
def test_each_reason_for_rejection(example: dict[str, Any], note: str, lab: str, reasons: tuple[str, ...]) -> None:
    verdict = filter_rationale((note, lab), example)
    assert (verdict.reasons, verdict.kept) == (reasons, not reasons)
    assert set(reasons) <= set(REASONS)


def test_every_disease_name_is_recognised_alone(example: dict[str, Any]) -> None:
    for disease in load_diseases():
        kept = filter_rationale(f"The course fits {disease.name}.", example, [disease.name])
        assert kept.kept
        for spelled in (disease.name.upper(), disease.name.replace(" ", "\n")):
            assert filter_rationale(f"The course fits {spelled}.", example, [disease.name]).kept
        other = filter_rationale(f"The course fits {disease.name}.", example, [])
        assert (other.reasons, other.other) == (("other_disease",), (disease.key,))
        missing = filter_rationale("The course is known.", example, [disease.name])
        assert (missing.reasons, missing.missing) == (("missing_disease",), (disease.key,))
    with pytest.raises(InputDataError, match="gout"):
        filter_rationale("The course is known.", example, ["gout"])


def test_a_disease_inside_a_quotation_is_not_named(example: dict[str, Any]) -> None:
    verdict = filter_rationale('The note does not mention "shock".', example, [])
    assert verdict.reasons == ()


def test_the_report_counts_by_reason_and_disease(example: dict[str, Any]) -> None:
    report = FilterReport("somebody")
    assert report.report()["rejection_rate"] is None
    for text in ("Heart rate is high in Shock.", "Heart rate is possibly low in Shock.", "Heart rate is low."):
        report.add(filter_rationale(text, example), example["diagnoses"])
    result = report.report()
    assert (result["examples"], result["kept"], result["rejected"]) == (3, 1, 2)
    assert result["reasons"]["contradicted_series"] == {"count": 2, "rate": 2 / 3}
    assert result["reasons"]["missing_disease"]["count"] == 1
    assert result["diseases"]["shock"]["rejection_rate"] == 2 / 3
    assert result["diseases"]["shock"]["reasons"] == {"missing_disease": 1, "contradicted_series": 2}
    assert result["diseases"]["septicemia"]["rejection_rate"] is None
    assert result["claims"] == {"level": {SUPPORTED: 1, CONTRADICTED: 2, UNVERIFIABLE: 0}}
    assert result["contradicted_guesses"] == 1
