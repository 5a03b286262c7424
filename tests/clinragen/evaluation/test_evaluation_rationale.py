"""BLEU counts every example, also those whose output does not parse."""

from __future__ import annotations

import pytest
import sacrebleu

from clinragen.evaluation.rationale_scores import claim_scores, rationale_scores
from modeling_clinragen.errors import InputDataError

REFERENCES = [
    "The heart rate was above normal for most of the first day.",
    "Low oxygen saturation and a high respiratory rate support respiratory failure.",
    "Glucose was high, which fits diabetes mellitus.",
]
GOOD = [
    "The heart rate was above normal on the first day.",
    "A low oxygen saturation and a high respiratory rate support respiratory failure.",
    "Glucose was high and fits diabetes.",
]


def test_bleu_is_sacrebleus_corpus_bleu_with_its_signature() -> None:
    scores = rationale_scores(GOOD, REFERENCES)
    assert scores["bleu"] == pytest.approx(sacrebleu.corpus_bleu(GOOD, [REFERENCES]).score)
    assert "tok:13a" in scores["signature"]
    assert (scores["well_formed"], scores["examples"], scores["without_reference"]) == (1.0, 3, 0)


def test_an_unparsable_output_is_scored_as_an_empty_text() -> None:
    scores = rationale_scores([*GOOD[:2], None], REFERENCES)
    assert scores["bleu"] == pytest.approx(sacrebleu.corpus_bleu([*GOOD[:2], ""], [REFERENCES]).score)
    assert scores["bleu"] < rationale_scores(GOOD[:2], REFERENCES[:2])["bleu"]
    assert scores["well_formed"] == pytest.approx(2 / 3)
    assert rationale_scores([None] * 3, REFERENCES)["bleu"] == 0.0


def test_examples_without_a_reference_are_counted_not_scored() -> None:
    scores = rationale_scores(GOOD, [*REFERENCES[:2], " "])
    assert scores["bleu"] == pytest.approx(rationale_scores(GOOD[:2], REFERENCES[:2])["bleu"])
    assert (scores["examples"], scores["without_reference"]) == (3, 1)
    unscored = rationale_scores(GOOD, ["", "", ""])
    assert (unscored["bleu"], unscored["signature"], unscored["well_formed"]) == (None, None, 1.0)


@pytest.mark.parametrize(("generated", "references"), [(GOOD, REFERENCES[:2]), ([], [])])
def test_lists_that_do_not_fit_are_refused(generated: list[str | None], references: list[str]) -> None:
    with pytest.raises(InputDataError, match="every example"):
        rationale_scores(generated, references)


def test_claims_are_counted_by_verdict_and_contradicted_rationales_once() -> None:
    row = {
        "lab_hours": [0.0, 1.0, 2.0],
        "lab_values": [[None] * 3 + [rate] + [None] * 7 for rate in (120.0, 130.0, 125.0)],
        "lab_observed": [[False] * 3 + [True] + [False] * 7] * 3,
        "note": "Chest pain since yesterday.",
    }
    texts = [
        '"chest pain" fits Shock. Heart rate is high in every reading.',
        '"cough" fits Shock. Heart rate is low in every reading. Temperature is high.',
        None,
    ]
    found = claim_scores(texts, [row, row, row])
    assert found["supported"] == 2
    assert found["contradicted"] == 2
    assert found["unverifiable"] == 1
    assert found["with_contradiction"] == 1
    assert found["rationales"] == 2
