"""Generated rationales: BLEU against the teacher's, and whether the patient's data bear out what they claim."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clinragen.claims.check import CONTRADICTED, VERDICTS, check_rationale
from modeling_clinragen.errors import InputDataError


def rationale_scores(generated: Sequence[str | None], references: Sequence[str]) -> dict[str, Any]:
    """Corpus BLEU (sacrebleu, 0 to 100) and the share of well-formed outputs.

    `generated` has one rationale per example, or None where the output could not be parsed. Such an output is scored
    as an empty text, never left out: it lowers BLEU through the brevity penalty. An example without a teacher's
    rationale cannot be scored; it is left out of BLEU and counted in `without_reference`. With no reference at all
    `bleu` and `signature` are None. Raises `InputDataError` when the two lists differ in length or are empty.
    """
    if len(generated) != len(references) or not references:
        raise InputDataError(
            f"{len(generated)} rationales for {len(references)} references; give one of each for every example"
        )
    pairs = [(text or "", wanted) for text, wanted in zip(generated, references, strict=True) if wanted.strip()]
    bleu, signature = None, None
    if pairs:
        from sacrebleu.metrics import BLEU

        metric = BLEU()
        bleu = float(metric.corpus_score([text for text, _ in pairs], [[wanted for _, wanted in pairs]]).score)
        signature = str(metric.get_signature())
    return {
        "bleu": bleu,
        "signature": signature,
        "well_formed": sum(text is not None for text in generated) / len(generated),
        "examples": len(generated),
        "without_reference": len(references) - len(pairs),
    }


def claim_scores(rationales: Sequence[str | None], examples: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """How many claims of the rationales the patients' series and notes support, contradict or cannot decide.

    `rationales` has one text per row of the data contract, or None where the output could not be parsed: it claims
    nothing. `with_contradiction` counts rationales with at least one contradicted claim. See `clinragen.claims.check`.
    """
    counts = dict.fromkeys(VERDICTS, 0)
    wrong = 0
    for text, row in zip(rationales, examples, strict=True):
        claims = check_rationale(
            text or "", row["lab_hours"], row["lab_values"], row["lab_observed"], note=row["note"]
        )
        for claim in claims:
            counts[claim.verdict] += 1
        wrong += any(claim.verdict == CONTRADICTED for claim in claims)
    return {**counts, "with_contradiction": wrong, "rationales": sum(text is not None for text in rationales)}
