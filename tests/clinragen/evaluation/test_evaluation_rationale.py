"""BLEU counts every example, also those whose output does not parse."""

from __future__ import annotations

from typing import Any

import pytest
import sacrebleu

from clinragen.claims.check import Checking
from clinragen.evaluation.metrics import rationale_scores
from clinragen.evaluation.score_types import WrittenRationales
from clinragen.evaluation.scores.bleu import bleu_scores
from clinragen.evaluation.scores.claims import claim_scores
from clinragen.evaluation.scores.well_formed import well_formed_scores
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

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


def row_with(vocabulary: Vocabulary, key: str, *readings: float, note: str = "") -> dict[str, Any]:
    """A row of the data contract with one reading of one variable every hour and nothing else."""
    columns = range(len(vocabulary.variables))
    index = vocabulary.variable_keys.index(key)
    return {
        "lab_hours": [float(hour) for hour in range(len(readings))],
        "lab_values": [[reading if column == index else None for column in columns] for reading in readings],
        "lab_observed": [[column == index for column in columns]] * len(readings),
        "note": note,
    }


def checking(vocabulary: Vocabulary, range_set: str = "clinical") -> Checking:
    return Checking(vocabulary, vocabulary.range_set(range_set), {})


def test_bleu_is_sacrebleus_corpus_bleu_with_its_signature() -> None:
    scores = bleu_scores(GOOD, REFERENCES)
    assert scores["bleu"] == pytest.approx(sacrebleu.corpus_bleu(GOOD, [REFERENCES]).score)
    assert "tok:13a" in scores["signature"]
    assert scores["without_reference"] == 0
    assert well_formed_scores(GOOD) == {"well_formed": 1.0, "examples": 3}


def test_an_unparsable_output_is_scored_as_an_empty_text() -> None:
    generated = [*GOOD[:2], None]
    scores = bleu_scores(generated, REFERENCES)
    assert scores["bleu"] == pytest.approx(sacrebleu.corpus_bleu([*GOOD[:2], ""], [REFERENCES]).score)
    assert scores["bleu"] < bleu_scores(GOOD[:2], REFERENCES[:2])["bleu"]
    assert well_formed_scores(generated)["well_formed"] == pytest.approx(2 / 3)
    assert bleu_scores([None] * 3, REFERENCES)["bleu"] == 0.0


def test_examples_without_a_reference_are_counted_not_scored() -> None:
    scores = bleu_scores(GOOD, [*REFERENCES[:2], " "])
    assert scores["bleu"] == pytest.approx(bleu_scores(GOOD[:2], REFERENCES[:2])["bleu"])
    assert scores["without_reference"] == 1
    unscored = bleu_scores(GOOD, ["", "", ""])
    assert (unscored["bleu"], unscored["signature"]) == (None, None)


@pytest.mark.parametrize(("generated", "references"), [(GOOD, REFERENCES[:2]), ([], [])])
def test_lists_that_do_not_fit_are_refused(
    generated: list[str | None], references: list[str], vocabulary: Vocabulary
) -> None:
    with pytest.raises(InputDataError, match="every example"):
        bleu_scores(generated, references)
    with pytest.raises(InputDataError, match="every example"):
        WrittenRationales(generated, references, [{}] * len(references), checking(vocabulary))
    with pytest.raises(InputDataError, match="3 rationales for 2 examples"):
        WrittenRationales(GOOD, REFERENCES, [{}] * 2, checking(vocabulary))


def test_claims_are_counted_by_verdict_and_contradicted_rationales_once(vocabulary: Vocabulary) -> None:
    row = row_with(vocabulary, "heart_rate", 120.0, 130.0, 125.0, note="Chest pain since yesterday.")
    texts = [
        '"chest pain" fits Shock. Heart rate is high in every reading.',
        '"cough" fits Shock. Heart rate is low in every reading. Temperature is high.',
        None,
    ]
    found = claim_scores(texts, [row, row, row], checking(vocabulary))
    assert found["supported"] == 2
    assert found["contradicted"] == 2
    assert found["unverifiable"] == 1
    assert found["with_contradiction"] == 1
    assert found["rationales"] == 2


def test_claims_are_checked_with_the_range_set_of_the_cohort(vocabulary: Vocabulary) -> None:
    row = row_with(vocabulary, "heart_rate", 110.0, 114.0, 118.0)
    text = "Heart rate is normal in every reading."
    verdicts = {name: claim_scores([text], [row], checking(vocabulary, name)) for name in ("paper", "clinical")}
    assert (verdicts["paper"]["supported"], verdicts["paper"]["contradicted"]) == (1, 0)
    assert (verdicts["clinical"]["supported"], verdicts["clinical"]["contradicted"]) == (0, 1)


def test_claims_about_a_variable_of_ones_own_are_checked(lactate_vocabulary: Vocabulary) -> None:
    row = row_with(lactate_vocabulary, "lactate", 3.1, 4.0)
    texts = ["Lactate is high in every reading.", "Lactate is normal in every reading."]
    found = claim_scores(texts, [row, row], checking(lactate_vocabulary))
    assert (found["supported"], found["contradicted"], found["with_contradiction"]) == (1, 1, 1)


def test_every_score_of_the_list_is_in_the_entries_of_a_system(vocabulary: Vocabulary) -> None:
    rows = [row_with(vocabulary, "heart_rate", 80.0)] * 3
    written = WrittenRationales([*GOOD[:2], None], REFERENCES, rows, checking(vocabulary))
    scores = rationale_scores(written)
    assert set(scores) == {"bleu", "signature", "without_reference", "well_formed", "examples", "claims"}
    assert scores["bleu"] == bleu_scores(written.generated, REFERENCES)["bleu"]
    assert scores["claims"] == claim_scores(written.generated, rows, written.checking)
