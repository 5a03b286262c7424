"""BLEU counts every example, also those whose output does not parse; claims are those of what a system was shown."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import sacrebleu
from written_rationales import checking_of, row_with, written_by

from clinragen.claims.check import check_rationale
from clinragen.evaluation.bootstrap import Bootstrap
from clinragen.evaluation.metrics import rationale_scores, teacher_scores
from clinragen.evaluation.score_types import Verified
from clinragen.evaluation.scores.bleu import bleu_scores
from clinragen.evaluation.scores.claims import DATA, claim_scores
from clinragen.evaluation.scores.consistency import consistency_scores
from clinragen.evaluation.scores.well_formed import well_formed_scores
from clinragen.evaluation.scores.withheld import withheld_scores
from clinragen.knowledge import load_knowledge
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.sentences_clinragen import sentence_spans
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
TRUE = '"chest pain" fits Shock. Heart rate is high in every reading.'
FALSE = '"cough" fits Shock. Heart rate is low in every reading. Temperature is high. Nothing else is known.'


def high_heart_rate(vocabulary: Vocabulary, number: int = 0) -> dict[str, Any]:
    return row_with(vocabulary, "heart_rate", 120.0, 130.0, 125.0, note="Chest pain since yesterday.", number=number)


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
    rows, checking = [high_heart_rate(vocabulary)] * 3, checking_of(vocabulary)
    with pytest.raises(InputDataError, match="every example"):
        bleu_scores(generated, references)
    with pytest.raises(InputDataError, match="every example"):
        written_by(generated, rows, checking, references=references)
    with pytest.raises(InputDataError, match="every example"):
        written_by(GOOD, rows, checking, listed=[frozenset()])
    with pytest.raises(InputDataError, match="3 rationales for 2 examples"):
        written_by(GOOD, rows[:2], checking)


def test_claims_are_counted_by_verdict_and_contradicted_rationales_once(vocabulary: Vocabulary) -> None:
    rows = [high_heart_rate(vocabulary, number) for number in range(3)]
    found = claim_scores(written_by([TRUE, FALSE, None], rows, checking_of(vocabulary)))["shown"]
    assert (found["rationales"], found["sentences"], found["data"]["claims"]) == (2, 6, 5)
    counts = {verdict: found["data"][verdict]["count"] for verdict in ("supported", "contradicted", "unverifiable")}
    assert counts == {"supported": 2, "contradicted": 2, "unverifiable": 1}
    assert found["data"]["contradicted"]["value"] == pytest.approx(2 / 5)
    assert found["data"]["per_rationale"]["value"] == pytest.approx(2 / 2)
    assert (found["data"]["with_contradiction"]["count"], found["data"]["with_contradiction"]["of"]) == (1, 2)
    assert (found["without_claim"]["count"], found["without_claim"]["of"]) == (1, 6)
    assert found["kinds"]["note"]["claims"] == 2
    assert found["kinds"]["note"]["contradicted"]["value"] == 0.5
    assert found["not_given"]["count"] == 0


def test_the_counts_are_those_of_a_plain_loop_over_claims(vocabulary: Vocabulary) -> None:
    rng = np.random.default_rng(0)
    sentences = [
        *("Heart rate is high in every reading.", "Heart rate is low.", '"chest pain" supports Shock.'),
        *('"a rash" supports Shock.', "Temperature is normal.", "The picture is unclear.", "Heart rate is 131 bpm."),
    ]
    texts = [" ".join(rng.choice(sentences, rng.integers(1, 6))) for _ in range(12)]
    rows = [
        row_with(vocabulary, "heart_rate", *rng.uniform(50, 150, 6).round(), note="Chest pain.", number=number)
        for number in range(12)
    ]
    subjects = [number // 3 for number in range(12)]
    bootstrap = Bootstrap(subjects, resamples=200)
    found = claim_scores(written_by(texts, rows, checking_of(vocabulary), bootstrap=bootstrap))["raw"]

    claims = [
        check_rationale(text, LabSeries.from_example(vocabulary, row), row["note"])
        for text, row in zip(texts, rows, strict=True)
    ]
    data = [[claim for claim in listed if claim.kind in DATA] for listed in claims]
    counted = Counter(claim.verdict for listed in data for claim in listed)
    assert {verdict: found["data"][verdict]["count"] for verdict in counted} == counted
    wrong = np.array([sum(claim.verdict == "contradicted" for claim in listed) for listed in data])
    every = np.array([len(listed) for listed in data])
    shares = []
    for weights in bootstrap.weights[1:]:
        repeated = weights[subjects]
        shares.append((wrong * repeated).sum() / (every * repeated).sum())
    share = found["data"]["contradicted"]
    assert share["value"] == pytest.approx(wrong.sum() / every.sum())
    assert [share["low"], share["high"]] == pytest.approx(np.percentile(shares, [2.5, 97.5]))
    assert sum(kind["claims"] for kind in found["kinds"].values()) == found["all"]["claims"]
    assert found["all"]["claims"] == sum(found[group]["claims"] for group in ("data", "ties", "absences"))
    silent = sum(
        not any(start <= claim.span[0] < end for claim in listed)
        for text, listed in zip(texts, claims, strict=True)
        for start, end in sentence_spans(text)
    )
    assert found["without_claim"]["count"] == silent
    assert silent > 0


def test_raw_and_shown_texts_are_scored_apart(vocabulary: Vocabulary) -> None:
    rows = [high_heart_rate(vocabulary, number) for number in range(3)]
    answers = [
        Verified(FALSE, "Nothing else is known.", sentences=4, withheld=3),
        Verified(TRUE, TRUE, sentences=2, rewritten=1, asked=1),
        Verified(FALSE, "", sentences=4, withheld=4),
    ]
    written = written_by(answers, rows, checking_of(vocabulary))
    scores = claim_scores(written)
    assert scores["raw"] == claim_scores(written_by([FALSE, TRUE, FALSE], rows, written.checking))["raw"]
    assert scores["shown"] == claim_scores(written_by(written.shown, rows, written.checking))["raw"]
    assert scores["raw"]["data"]["contradicted"]["count"] == 4
    assert scores["shown"]["data"]["contradicted"]["count"] == 0
    # A rationale of which nothing is left is still one, and claims nothing.
    assert scores["shown"]["data"]["per_rationale"]["value"] == pytest.approx(2 / 3)
    sentences = withheld_scores(written)
    assert (sentences["withheld"]["count"], sentences["withheld"]["of"]) == (7, 10)
    assert sentences["rewritten"]["value"] == pytest.approx(0.1)
    assert sentences["asked"]["value"] == sentences["silenced"]["value"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("text", "listed", "unlisted", "denied"),
    [
        ('"chest pain" supports Shock.', {"shock"}, 0, 0),
        ('"chest pain" supports Shock.', set(), 1, 0),
        ('"chest pain" supports Shock. The note itself does not point to Shock.', {"shock"}, 0, 1),
        ('"chest pain" supports Shock. No measurement points to Shock.', {"shock"}, 0, 0),
        ('The note itself does not point to Shock. "chest pain" supports Shock.', set(), 1, 1),
        ("Heart rate is high in every reading.", {"shock"}, 0, 0),
    ],
)
def test_a_rationale_that_disagrees_with_itself_or_its_diagnoses_is_counted(
    vocabulary: Vocabulary, text: str, listed: set[str], unlisted: int, denied: int
) -> None:
    rows = [high_heart_rate(vocabulary, number) for number in range(2)]
    written = written_by(
        [Verified(text, "Heart rate is high in every reading.", 2, 2), None],
        rows,
        checking_of(vocabulary),
        listed=[frozenset(listed), frozenset()],
    )
    found = consistency_scores(written)
    counts = {name: (share["count"], share["of"]) for name, share in found["raw"].items()}
    assert counts == {"unlisted": (unlisted, 1), "denied": (denied, 1), "either": (unlisted or denied, 1)}
    assert {share["count"] for share in found["shown"].values()} == {0}


def test_ties_and_absences_are_counted_apart_from_the_data(vocabulary: Vocabulary) -> None:
    knowledge = load_knowledge(None, vocabulary)
    row = row_with(vocabulary, "heart_rate", 130.0, 140.0, note="Septic shock on pressors. Maroon stools.")
    text = '"septic shock" supports Shock. "maroon stools" supports Shock. '
    text += "No measurement points to Disorders of lipid metabolism."
    written = written_by([text], [row], checking_of(vocabulary, knowledge=knowledge))
    found = claim_scores(written)["shown"]
    assert (found["data"]["claims"], found["data"]["supported"]["count"]) == (2, 2)
    assert (found["ties"]["supported"]["count"], found["ties"]["contradicted"]["count"]) == (1, 1)
    assert found["absences"]["claims"] == 1
    assert found["all"]["claims"] == 5
    assert found["data"]["with_contradiction"]["count"] == 0
    assert found["all"]["with_contradiction"]["count"] == 1
    # Without a knowledge base no tie is judged.
    assert claim_scores(written_by([text], [row], checking_of(vocabulary)))["shown"]["ties"]["claims"] == 0


def test_a_system_is_judged_by_what_it_was_shown(vocabulary: Vocabulary) -> None:
    rows, checking = [high_heart_rate(vocabulary)], checking_of(vocabulary)

    def found(**reads: bool) -> dict[str, Any]:
        return claim_scores(written_by([TRUE], rows, checking, **reads))["raw"]

    both, note_only, labs_only = found(), found(reads_labs=False), found(reads_note=False)
    assert (both["data"]["supported"]["count"], both["not_given"]["count"]) == (2, 0)
    assert note_only["kinds"]["note"]["supported"]["count"] == 1
    assert (note_only["data"]["unverifiable"]["count"], note_only["not_given"]["count"]) == (1, 1)
    # The words are in a note that this system did not see: it made them up.
    assert labs_only["kinds"]["note"]["contradicted"]["count"] == 1
    assert (labs_only["data"]["supported"]["count"], labs_only["not_given"]["count"]) == (1, 1)


def test_nothing_to_count_is_none_and_not_zero(vocabulary: Vocabulary) -> None:
    rows = [high_heart_rate(vocabulary)] * 2
    found = claim_scores(written_by([None, None], rows, checking_of(vocabulary)))["shown"]
    assert found["kinds"] == {}
    assert found["data"]["contradicted"] == {"count": 0, "of": 0, "value": None, "low": None, "high": None}


def test_claims_are_checked_with_the_range_set_of_the_cohort(vocabulary: Vocabulary) -> None:
    row = row_with(vocabulary, "heart_rate", 110.0, 114.0, 118.0)
    text = "Heart rate is normal in every reading."
    for name, verdict in (("paper", "supported"), ("clinical", "contradicted")):
        data = claim_scores(written_by([text], [row], checking_of(vocabulary, name)))["shown"]["data"]
        assert (data["claims"], data[verdict]["count"]) == (1, 1)


def test_claims_about_a_variable_of_ones_own_are_checked(lactate_vocabulary: Vocabulary) -> None:
    row = row_with(lactate_vocabulary, "lactate", 3.1, 4.0)
    texts = ["Lactate is high in every reading.", "Lactate is normal in every reading."]
    data = claim_scores(written_by(texts, [row, row], checking_of(lactate_vocabulary)))["shown"]["data"]
    assert [data[name]["count"] for name in ("supported", "contradicted", "with_contradiction")] == [1, 1, 1]


def test_every_score_of_the_list_is_in_the_entries_of_a_system(vocabulary: Vocabulary) -> None:
    rows = [row_with(vocabulary, "heart_rate", 80.0)] * 3
    written = written_by([*GOOD[:2], None], rows, checking_of(vocabulary), references=REFERENCES)
    scores = rationale_scores(written)
    assert {"bleu", "signature", "without_reference", "well_formed", "examples"} <= set(scores)
    assert {"claims", "sentences", "consistency", "evidence", "findings"} <= set(scores)
    assert scores["bleu"] == bleu_scores(written.shown, REFERENCES)["bleu"]
    assert scores["claims"] == claim_scores(written)
    assert scores["evidence"] is None
    assert set(teacher_scores(written)) < set(scores)
