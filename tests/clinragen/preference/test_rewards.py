"""Rewards of rationales: the evaluation's own counts, and no gain by saying less."""

from __future__ import annotations

from typing import Any

import pytest
from written_rationales import checking_of, row_with, written_by

from clinragen.claims.check import Checking
from clinragen.evaluation.scores.claims import claim_scores
from clinragen.evaluation.scores.findings import finding_scores
from clinragen.knowledge.reader import load_knowledge
from clinragen.preference.rewards import ClinicalRewards
from modeling_clinragen.target_layout_clinragen import write_target
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.preference_pairs import Candidate, choose_pairs

LISTED = ["Shock", "Essential hypertension"]
NOTE = "Dyspnea and fever. History of hypertension. Septic shock on arrival."
TRUE = (
    "Heart rate is high in most readings, peaking near 140 bpm, in keeping with Shock. "
    '"hypertension" points to Essential hypertension.'
)
FALSE = 'Heart rate is low in most readings, down to about 40 bpm, in keeping with Shock. "melena" points to Shock.'
TEXTS = [
    TRUE,
    FALSE,
    f"{TRUE} {FALSE}",
    "The patient looks ill.",
    '"hypertension" points to Essential hypertension.',
    'Weight is stable. "septic shock" points to Shock. Heart rate is high.',
]


@pytest.fixture(scope="module")
def checking(vocabulary: Vocabulary) -> Checking:
    return checking_of(vocabulary, knowledge=load_knowledge(None, vocabulary))


@pytest.fixture(scope="module")
def row(vocabulary: Vocabulary) -> dict[str, Any]:
    found = row_with(vocabulary, "heart_rate", 120, 132, 140, 125, note=NOTE)
    return {
        **found,
        "example_id": "one",
        "diagnoses": LISTED,
        "rationale_note": '"hypertension" points to Essential hypertension.',
        "rationale_lab": "Heart rate is high in most readings, peaking near 140 bpm, in keeping with Shock.",
    }


@pytest.fixture
def rewards(checking: Checking) -> ClinicalRewards:
    return ClinicalRewards(checking, "diagnosis-first")


def targets(texts: list[str], listed: list[str] = LISTED) -> list[str]:
    return [write_target("diagnosis-first", listed, [text]) for text in texts]


def test_counts_are_the_evaluations(rewards: ClinicalRewards, checking: Checking, row: dict[str, Any]) -> None:
    listed = frozenset(checking.vocabulary.key_of_disease[name] for name in LISTED)
    rows = [row] * len(TEXTS)
    written = written_by(TEXTS, rows, checking, listed=[listed] * len(TEXTS))
    scores = claim_scores(written)["raw"]["data"]
    for name in ("contradicted", "supported"):
        counted = getattr(rewards, name)(targets(TEXTS), rows)
        assert sum(counted) == scores[name]["count"], name
        assert sum(counted) > 0
    assert sum(rewards.claims(targets(TEXTS), rows)) == scores["claims"]
    findings = finding_scores(written)["raw"]
    cited = sum(rewards.evidence_cited(targets(TEXTS), rows))
    assert cited == findings["note"]["count"] + findings["series"]["count"] > 0
    # Of each patient the share, so that of equally many the mean is the share of all.
    known = findings["note"]["of"] + findings["series"]["of"]
    assert sum(rewards.evidence_recall(targets(TEXTS), rows)) / len(TEXTS) == pytest.approx(cited / known)


def test_each_reward_on_texts_of_which_it_is_known(rewards: ClinicalRewards, row: dict[str, Any]) -> None:
    texts = targets([TRUE, FALSE, "The patient looks ill.", ""])
    rows = [row] * 4
    assert rewards.nothing_contradicted(texts, rows) == [1, 0, 0, 0]
    recall = rewards.evidence_recall(texts, rows)
    assert recall[0] > recall[1] == recall[2] == 0
    assert rewards.length_in_bounds(texts, rows) == [1, 1, 0, 0]
    assert rewards.length_in_bounds(targets([TRUE[:-1], TRUE * 2]), rows[:2]) == [0, 0]
    lists = [LISTED, ["Shock"], ["Pneumonia"], []]
    found = [rewards.diagnosis_f1(targets([TRUE], names), [row])[0] for names in lists]
    assert found == [1, pytest.approx(2 / 3), 0, 0]
    assert rewards.diagnosis_f1(targets([TRUE], []), [{**row, "example_id": "two", "diagnoses": []}]) == [1]


def test_a_text_that_cannot_be_parsed_gets_the_least(rewards: ClinicalRewards, row: dict[str, Any]) -> None:
    broken = [TRUE, "### Rationale: " + TRUE]
    for function in (
        *(rewards.nothing_contradicted, rewards.evidence_recall, rewards.diagnosis_f1, rewards.length_in_bounds),
        *(rewards.distinct_supported, rewards.evidence_cited),
    ):
        assert function(broken, [row] * 2) == [0, 0]
    worst = rewards.fewest_false([broken[0], *targets([FALSE * 5])], [row] * 2)
    assert worst[0] < worst[1] < 0


def test_saying_something_twice_says_no_more(rewards: ClinicalRewards, row: dict[str, Any]) -> None:
    once, twice = rewards.distinct_supported(targets([TRUE, f"{TRUE} {TRUE}"]), [row] * 2)
    assert once == twice > 0
    assert rewards.supported(targets([f"{TRUE} {TRUE}"]), [row])[0] > once


def test_a_text_without_its_false_sentences_is_preferred_only_where_it_says_as_much(
    rewards: ClinicalRewards, row: dict[str, Any]
) -> None:
    """Of a text with two true claims and a false one, the true half is better, a part of it is not."""
    texts = targets([f"{TRUE} {FALSE}", TRUE, '"hypertension" points to Essential hypertension.'])
    rows = [row] * 3
    candidates = [
        Candidate(text, score, (supported, cited), 50)
        for text, score, supported, cited in zip(
            texts,
            rewards.fewest_false(texts, rows),
            rewards.distinct_supported(texts, rows),
            rewards.evidence_cited(texts, rows),
            strict=True,
        )
    ]
    assert choose_pairs(candidates, most=3, tolerance=0.1) == [(1, 0)]


def test_claims_are_judged_by_what_the_model_reads(checking: Checking, row: dict[str, Any]) -> None:
    blind = ClinicalRewards(checking, "diagnosis-first", labs=False)
    assert blind.supported(targets([TRUE]), [row]) == [1]
    assert ClinicalRewards(checking, "diagnosis-first").supported(targets([TRUE]), [row])[0] > 1


def test_many_patients_are_not_kept_for_ever(
    rewards: ClinicalRewards, row: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clinragen.preference.rewards.KEPT_PATIENTS", 2)
    monkeypatch.setattr("clinragen.preference.rewards.KEPT_TEXTS", 2)
    rows = [{**row, "example_id": str(number)} for number in range(4)]
    first = rewards.supported(targets([TRUE] * 4), rows)
    assert len(rewards._kept) == 2
    assert first == rewards.supported(targets([TRUE] * 4), rows)
    assert rewards.claims(targets(TEXTS), [row] * len(TEXTS)) == rewards.claims(targets(TEXTS), [row] * len(TEXTS))
