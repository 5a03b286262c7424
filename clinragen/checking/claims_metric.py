"""The claims of rationales and whether the patients' data support them, as a metric of the `evaluate` library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import evaluate

from clinragen.checking.checked import CheckedText, check_text
from clinragen.checking.inputs import patient_of, read_standards
from clinragen.claims.sentences import NOTHING
from clinragen.claims.types import CONTRADICTED, KINDS, SUPPORTED, UNVERIFIABLE, VERDICTS
from modeling_clinragen.errors import ModelInputError
from modeling_clinragen.vocabulary_clinragen import DEFAULT_RANGE_SET

_DESCRIPTION = "Of the claims that rationales make, the shares that the patient's own note and series contradict."
_INPUTS = """
    predictions: the rationales
    notes: the notes that they are about; None where there is none
    hours: of each patient, the hours of the measurements since ICU admission, rising
    values: of each patient, one list for each of the hours with a value for each variable of the vocabulary, in its
        order and units; None where it was not measured
    knowledge, vocabulary, range_set (of `compute`): as the options of `clinragen check`
Returns contradicted, unverifiable and supported (shares of all claims), supported_per_text, texts_contradicted (share
of the texts in which anything is contradicted, also another sentence or the listed diagnoses), without_claim (share of
the sentences), counts (texts, sentences, claims) and by_kind. A share of nothing is NaN.
"""


class ClaimsMetric(evaluate.Metric):
    """`ClaimsMetric().compute(predictions=..., notes=..., hours=..., values=...)` -> `{"contradicted": 0.36, ...}`.

    Notes are kept in memory, never in the library's cache on disk; so it runs in one process only.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **{**settings, "keep_in_memory": True})

    def _info(self) -> evaluate.MetricInfo:
        number = datasets.Value("float32")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features(
                {
                    "predictions": datasets.Value("string"),
                    "notes": datasets.Value("string"),
                    "hours": datasets.Sequence(number),
                    "values": datasets.Sequence(datasets.Sequence(number)),
                }
            ),
        )

    def add(self, *, prediction: Any = None, reference: Any = None, **inputs: Any) -> None:
        """Add one rationale with its patient.

        Raises:
            ModelInputError: An input is missing or of another kind than the description says.
        """
        self.add_batch(
            predictions=[prediction], references=reference, **{name: [given] for name, given in inputs.items()}
        )

    def add_batch(self, *, predictions: Any = None, references: Any = None, **inputs: Any) -> None:
        """Add rationales with their patients.

        Raises:
            ModelInputError: An input is missing or of another kind than the description says.
        """
        try:
            # A missing text is no text to the library.
            notes = ["" if note is None else note for note in inputs["notes"]]
            super().add_batch(predictions=predictions, references=references, **{**inputs, "notes": notes})
        except (KeyError, TypeError, ValueError):
            # The library's own message, and so the error's cause, has the notes in it.
            raise ModelInputError(
                "the metric needs as many predictions (texts) as notes (texts or None), hours (lists of numbers) and "
                "values (for each hour a list of numbers or None)"
            ) from None

    def _compute(
        self,
        predictions: Sequence[str],
        notes: Sequence[str | None],
        hours: Sequence[Sequence[float]],
        values: Sequence[Sequence[Sequence[float | None]]],
        knowledge: str | Path | None = None,
        vocabulary: str | Path | None = None,
        range_set: str = DEFAULT_RANGE_SET,
    ) -> dict[str, Any]:
        checking = read_standards(
            None if vocabulary is None else Path(vocabulary), None if knowledge is None else Path(knowledge), range_set
        )
        return claim_shares(
            [
                check_text(text, patient_of(checking.vocabulary, note, times, rows), checking)
                for text, note, times, rows in zip(predictions, notes, hours, values, strict=True)
            ]
        )


def claim_shares(checked: Sequence[CheckedText]) -> dict[str, Any]:
    """Shares and counts over checked rationales; see `ClaimsMetric`."""
    claims = [claim for one in checked for claim in one.claims]
    sentences = [sentence for one in checked for sentence in one.sentences]
    by_kind = {
        kind: {verdict: sum((one.kind, one.verdict) == (kind, verdict) for one in claims) for verdict in VERDICTS}
        for kind in KINDS
    }
    counts = {verdict: sum(of_kind[verdict] for of_kind in by_kind.values()) for verdict in VERDICTS}
    silent = sum(sentence.verdict == NOTHING for sentence in sentences)
    return {
        **{verdict: _share(counts[verdict], len(claims)) for verdict in (CONTRADICTED, UNVERIFIABLE, SUPPORTED)},
        "supported_per_text": _share(counts[SUPPORTED], len(checked)),
        "texts_contradicted": _share(sum(one.contradicted for one in checked), len(checked)),
        "without_claim": _share(silent, len(sentences)),
        "counts": {"texts": len(checked), "sentences": len(sentences), "claims": len(claims)},
        "by_kind": _present(by_kind),
    }


def _present(by_kind: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    return {kind: dict(counts) for kind, counts in by_kind.items() if any(counts.values())}


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
