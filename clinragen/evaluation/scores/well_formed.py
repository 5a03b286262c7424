"""The share of outputs that can be parsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clinragen.evaluation.score_types import RationaleScore, WrittenRationales


def well_formed_scores(generated: Sequence[str | None]) -> dict[str, Any]:
    """`well_formed`, the share of outputs that are not None (could be parsed), and `examples`, their number."""
    return {"well_formed": sum(text is not None for text in generated) / len(generated), "examples": len(generated)}


def _compute(written: WrittenRationales) -> dict[str, Any]:
    return well_formed_scores([answer.raw for answer in written.answers])


def _cell(scores: Mapping[str, Any]) -> str:
    return f"{100 * scores['well_formed']:.1f} %"


WELL_FORMED = RationaleScore(_compute, columns=(("Well-formed outputs", _cell),))
