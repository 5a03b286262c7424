"""The filter: which rationales may be distilled, and the report on why the others may not."""

from __future__ import annotations

from typing import Any

import pytest
from claim_cases import CHECKING, VOCABULARY, example_of

from clinragen.claims.check import CONTRADICTED, SUPPORTED, UNVERIFIABLE
from clinragen.claims.filter import REASONS, filter_rationale
from clinragen.claims.filter_report import FilterReport
from modeling_clinragen.errors import InputDataError

SEPSIS, LIPIDS = "Septicemia (except in labor)", "Disorders of lipid metabolism"
SUPPORT = f'"rigors" supports {SEPSIS}.'


@pytest.fixture
def example() -> dict[str, Any]:
    return example_of("septic", [SEPSIS])


@pytest.mark.parametrize(
    ("note", "lab", "reasons"),
    [
        (SUPPORT, f"Heart rate is high, which fits {SEPSIS}.", ()),
        (SUPPORT, "", ("empty",)),
        (SUPPORT, "### Rationale: Heart rate is high.", ("malformed",)),
        (SUPPORT.replace('s"', "s"), "Heart rate is high.", ("malformed",)),
        (SUPPORT, "Heart rate is high in most", ("unfinished",)),
        ('The note reports "rigors".', "Heart rate is high.", ("missing_disease",)),
        (SUPPORT, f"Nothing points to {LIPIDS}.", ("other_disease",)),
        (SUPPORT, "Heart rate is low.", ("contradicted_series",)),
        (SUPPORT.replace("rigors", "shaking chills"), "Heart rate is high.", ("contradicted_note",)),
        (SUPPORT.replace("rigors", "dyspnea"), "Heart rate is high.", ("contrary_tie",)),
        (SUPPORT.replace("rigors", "dark glasses"), "Heart rate is high.", ("contradicted_note",)),
        (SUPPORT.replace("supports", "does not support"), "Heart rate is high.", ("contradicted_absence",)),
        (SUPPORT, f"No measurement points to {SEPSIS}.", ("contradicted_absence",)),
        (SUPPORT, f"Heart rate is high. There is no note to support {SEPSIS}.", ("contradicted_absence",)),
        (
            '"rigors" supports a disorder.',
            f"HR 40 fits {LIPIDS}.",
            ("missing_disease", "other_disease", "contradicted_series", "contrary_tie"),
        ),
    ],
)
def test_each_reason_for_rejection(example: dict[str, Any], note: str, lab: str, reasons: tuple[str, ...]) -> None:
    verdict = filter_rationale((note, lab), example, CHECKING)
    assert (verdict.reasons, verdict.kept) == (reasons, not reasons)
    assert set(reasons) <= set(REASONS)


def test_every_disease_name_is_recognised_alone(example: dict[str, Any]) -> None:
    for disease in VOCABULARY.diseases:
        kept = filter_rationale(f"The course fits {disease.name}.", example, CHECKING, [disease.name])
        assert kept.kept
        for spelled in (disease.name.upper(), disease.name.replace(" ", "\n")):
            assert filter_rationale(f"The course fits {spelled}.", example, CHECKING, [disease.name]).kept
        other = filter_rationale(f"The course fits {disease.name}.", example, CHECKING, [])
        assert (other.reasons, other.other) == (("other_disease",), (disease.name,))
        missing = filter_rationale("The course is known.", example, CHECKING, [disease.name])
        assert (missing.reasons, missing.missing) == (("missing_disease",), (disease.name,))
    with pytest.raises(InputDataError, match="unknown disease 'gout'"):
        filter_rationale("The course is known.", example, CHECKING, ["gout"])


def test_a_disease_inside_a_quotation_is_not_named(example: dict[str, Any]) -> None:
    verdict = filter_rationale('The note does not mention "shock".', example, CHECKING, [])
    assert verdict.reasons == ()


def test_the_report_counts_by_reason_and_disease(example: dict[str, Any]) -> None:
    report = FilterReport("somebody", VOCABULARY)
    assert report.report()["rejection_rate"] is None
    guess = f"Heart rate is possibly low. {SEPSIS} fits."
    for text in (f"Heart rate is high in {SEPSIS}.", guess, "Heart rate is low."):
        report.add(filter_rationale(text, example, CHECKING), example["diagnoses"])
    result = report.report()
    assert (result["examples"], result["kept"], result["rejected"]) == (3, 1, 2)
    assert result["reasons"]["contradicted_series"] == {"count": 2, "rate": 2 / 3}
    assert result["reasons"]["missing_disease"]["count"] == 1
    assert result["diseases"]["septicemia"]["rejection_rate"] == 2 / 3
    assert result["diseases"]["septicemia"]["reasons"] == {"missing_disease": 1, "contradicted_series": 2}
    assert result["diseases"]["shock"]["rejection_rate"] is None
    assert result["claims"] == {
        "level": {SUPPORTED: 1, CONTRADICTED: 2, UNVERIFIABLE: 0},
        "tie": {SUPPORTED: 1, CONTRADICTED: 0, UNVERIFIABLE: 0},
    }
    assert result["contradicted_guesses"] == 1
