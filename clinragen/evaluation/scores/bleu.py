"""BLEU of the generated rationales against the teacher's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clinragen.evaluation.score_types import RationaleScore, WrittenRationales, require_one_each


def bleu_scores(generated: Sequence[str | None], references: Sequence[str]) -> dict[str, Any]:
    """Corpus BLEU (sacrebleu, 0 to 100).

    Args:
        generated: One rationale per example, or None where the output could not be parsed. Such an output is scored as
            an empty text, never left out: it lowers BLEU through the brevity penalty.
        references: The teacher's rationales. An example without one cannot be scored.

    Returns:
        `bleu` and `signature` (how sacrebleu computed it), both None without any reference, and `without_reference`,
        the number of examples that were not scored.

    Raises:
        InputDataError: The two lists differ in length or are empty.
    """
    require_one_each(generated, references)
    pairs = [(text or "", wanted) for text, wanted in zip(generated, references, strict=True) if wanted.strip()]
    bleu, signature = None, None
    if pairs:
        import sacrebleu.metrics

        metric = sacrebleu.metrics.BLEU()
        bleu = float(metric.corpus_score([text for text, _ in pairs], [[wanted for _, wanted in pairs]]).score)
        signature = str(metric.get_signature())
    return {"bleu": bleu, "signature": signature, "without_reference": len(references) - len(pairs)}


def _compute(written: WrittenRationales) -> dict[str, Any]:
    return bleu_scores(written.shown, written.references)


def _cell(scores: Mapping[str, Any]) -> str:
    return "no reference" if scores["bleu"] is None else f"{scores['bleu']:.2f}"


def _explain(systems: Sequence[Mapping[str, Any]]) -> str:
    sentences = [
        "BLEU compares with the teacher's rationale for what the system reads, over every example, so it cannot be "
        "compared between systems that read different inputs. An output that does not parse counts as an empty text."
    ]
    if unscored := max(scores["without_reference"] for scores in systems):
        sentences.append(f"{unscored} examples have no teacher's rationale and cannot be scored.")
    if signatures := sorted({scores["signature"] for scores in systems} - {None}):
        sentences.append("sacrebleu: " + ", ".join(f"`{signature}`" for signature in signatures) + ".")
    return " ".join(sentences)


BLEU = RationaleScore(_compute, columns=(("BLEU of the rationale", _cell),), explain=_explain)
