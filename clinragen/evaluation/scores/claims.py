"""Whether the patients' data bear out what the generated rationales claim."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clinragen.claims.check import CONTRADICTED, VERDICTS, Checking, check_rationale
from clinragen.evaluation.score_types import RationaleScore, WrittenRationales
from dataset_builder.contract.lab_series import LabSeries


def claim_scores(
    generated: Sequence[str | None], examples: Iterable[Mapping[str, Any]], checking: Checking
) -> dict[str, int]:
    """How many claims of the rationales the patients' series and notes support, contradict or cannot decide.

    Args:
        generated: One rationale per example, or None where the output could not be parsed: it claims nothing.
        examples: Rows of the data contract.
        checking: Vocabulary, normal ranges and whether past mentions of a disease count.

    Returns:
        The number of claims by verdict; `with_contradiction`, the number of rationales with at least one contradicted
        claim; `rationales`, the number of rationales that could be parsed. See `clinragen.claims.check`.
    """
    counts = dict.fromkeys(VERDICTS, 0)
    wrong = 0
    for text, row in zip(generated, examples, strict=True):
        claims = check_rationale(
            text or "",
            LabSeries.from_example(checking.vocabulary, row),
            row["note"],
            range_set=checking.range_set,
            history_counts=checking.history_counts,
        )
        for claim in claims:
            counts[claim.verdict] += 1
        wrong += any(claim.verdict == CONTRADICTED for claim in claims)
    return {**counts, "with_contradiction": wrong, "rationales": sum(text is not None for text in generated)}


def _compute(written: WrittenRationales) -> dict[str, Any]:
    return {"claims": claim_scores(written.generated, written.examples, written.checking)}


def _contradicted(scores: Mapping[str, Any]) -> str:
    claims = scores["claims"]
    return f"{claims['contradicted']} of {sum(claims[verdict] for verdict in VERDICTS)}"


def _with_contradiction(scores: Mapping[str, Any]) -> str:
    return f"{scores['claims']['with_contradiction']} of {scores['claims']['rationales']}"


def _explain(systems: Sequence[Mapping[str, Any]]) -> str:
    return (
        "Claims are a rationale's statements about the series and its quotations of the note, each checked against "
        "the patient's data (docs/claims.md)."
    )


CLAIMS = RationaleScore(
    _compute, (("Claims contradicted", _contradicted), ("Rationales with one", _with_contradiction)), _explain
)
