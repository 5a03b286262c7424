"""BLEU counts every example, also those whose output does not parse."""

from __future__ import annotations

import pytest
import sacrebleu

from evaluation.rationale import rationale_scores
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
