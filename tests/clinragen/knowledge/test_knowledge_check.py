"""`clinragen knowledge check`: right terms score high, terms of other diseases score like chance."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from clinragen.knowledge import KnowledgeBase, load_knowledge
from clinragen.knowledge.check import check_knowledge
from clinragen.knowledge.check_names import known_abbreviations
from clinragen.knowledge.check_passages import split_passages
from clinragen.knowledge.ranks import auc, reciprocal_rank_by_chance
from clinragen.knowledge.reader import RESOURCES
from clinragen.knowledge.support import PassageIndex
from dataset_builder.contract.definitions import shipped_definitions, write_definitions
from dataset_builder.storage.files import write_json
from modeling_clinragen.errors import SettingsError

VOCABULARY = shipped_definitions().vocabulary


@pytest.fixture(scope="module")
def base() -> KnowledgeBase:
    return load_knowledge(None, VOCABULARY)


def with_terms_of_others(base: KnowledgeBase) -> KnowledgeBase:
    """Every topic gets the terms of another one, supported by those of its own passages that contain them."""
    index = PassageIndex(base.passages.values())
    given = [topic.terms for topic in base.topics]
    random.Random(0).shuffle(given)
    names = [topic.passages for topic in base.topics]
    # A term without a supporting passage would not be part of the query at all.
    moved = [
        tuple(replace(term, passages=index.holding(term.surfaces, own) or own) for term in terms)
        for terms, own in zip(given, names, strict=True)
    ]
    shuffled = [replace(topic, terms=terms) for topic, terms in zip(base.topics, moved, strict=True)]
    diseases = len(base.diseases)
    return replace(base, diseases=tuple(shuffled[:diseases]), variables=tuple(shuffled[diseases:]))


@pytest.fixture(scope="module")
def both(base: KnowledgeBase, minilm: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    return check_knowledge(base, VOCABULARY, minilm), check_knowledge(with_terms_of_others(base), VOCABULARY, minilm)


def test_the_shipped_terms_are_relevant_by_both_measures(both: tuple[dict[str, Any], dict[str, Any]]) -> None:
    found = both[0]
    assert found["names"]["mean"]["auc"] > 0.75
    assert found["names"]["mean"]["nearest"] > 8 * found["names"]["chance"]["nearest"]
    assert found["passages"]["mean"]["recall"] > 0.85
    assert found["not_above_chance"] == []


def test_terms_of_other_diseases_score_clearly_lower(both: tuple[dict[str, Any], dict[str, Any]]) -> None:
    right, wrong = both
    assert wrong["names"]["mean"]["auc"] < 0.6 < right["names"]["mean"]["auc"]
    assert wrong["names"]["mean"]["own"] < right["names"]["mean"]["own"] / 1.5
    for score in ("recall", "reciprocal_rank"):
        chance = wrong["passages"]["chance"][score]
        assert abs(wrong["passages"]["mean"][score] - chance) < 0.15, score
        assert right["passages"]["mean"][score] > chance + 0.6, score
    assert len(wrong["not_above_chance"]) > 15


def test_one_topic_with_wrong_terms_is_named(base: KnowledgeBase) -> None:
    wrong = tuple(replace(term, passages=base.disease("copd").passages) for term in base.disease("shock").terms)
    diseases = tuple(replace(entry, terms=wrong) if entry.key == "copd" else entry for entry in base.diseases)
    measured = check_knowledge(replace(base, diseases=diseases), VOCABULARY)["passages"]["topics"]
    assert measured["copd"]["auc"] < 0.7
    assert measured["copd"]["recall"] == 0
    assert measured["pneumonia"]["recall"] == 1


def test_a_topic_with_too_few_passages_says_so(base: KnowledgeBase) -> None:
    def thin(key: str, count: int) -> Any:
        entry = base.disease(key)
        kept = entry.passages[:count]
        terms = tuple(replace(term, passages=tuple(set(term.passages) & set(kept))) for term in entry.terms)
        return replace(entry, passages=kept, terms=terms)

    without = replace(base.disease("copd"), terms=tuple(replace(t, passages=()) for t in base.disease("copd").terms))
    changed = {"shock": thin("shock", 1), "pneumonia": thin("pneumonia", 0), "copd": without}
    diseases = tuple(changed.get(entry.key, entry) for entry in base.diseases)
    found = check_knowledge(replace(base, diseases=diseases), VOCABULARY)["passages"]
    assert found["topics"]["shock"] == {"passages": 1, "too_few": "fewer than 2 passages"}
    assert found["topics"]["pneumonia"] == {"passages": 0, "too_few": "fewer than 2 passages"}
    assert found["topics"]["copd"] == {"passages": 2, "too_few": "no term or passage in one half"}
    assert found["mean"]["recall"] > 0.85


def test_the_halves_share_no_passage_and_part_every_topic(base: KnowledgeBase) -> None:
    halves = split_passages(base.topics)
    assert set(halves) == set(base.passages)
    assert set(halves.values()) == {0, 1}
    for topic in base.topics:
        assert sorted(halves[name] for name in topic.passages) == [0, 1]


def test_abbreviations_are_written_out(base: KnowledgeBase) -> None:
    abbreviations = known_abbreviations(base)
    assert abbreviations.expand("AKI").lower() == "acute kidney injury"
    assert abbreviations.expand("COPD exacerbation").endswith("obstructive pulmonary disease exacerbation")
    assert abbreviations.expand("acute aki") == "acute aki"


SCORES = st.lists(st.integers(0, 5), min_size=1, max_size=8)


@settings(deadline=None)
@given(SCORES, SCORES)
def test_auc_is_that_of_scikit_learn(wanted: list[int], others: list[int]) -> None:
    truth = [1] * len(wanted) + [0] * len(others)
    assert auc(wanted, others) == pytest.approx(roc_auc_score(truth, wanted + others))


@pytest.mark.parametrize(("wanted", "among"), [(1, 1), (1, 10), (3, 10), (10, 10), (2, 36)])
def test_the_reciprocal_rank_by_chance_is_that_of_shuffled_lists(wanted: int, among: int) -> None:
    rng = np.random.default_rng(0)
    drawn = [1 / (1 + rng.permutation(among)[:wanted].min()) for _ in range(4000)]
    assert reciprocal_rank_by_chance(wanted, among) == pytest.approx(np.mean(drawn), abs=0.02)


# --- the command

WRONG = [
    {"term": term, "kind": "name", "cited": False, "source": "made up", "spellings": []}
    for term in ("hematemesis", "stool", "sneezing", "laryngoscopy", "fingerstick", "thirst")
]


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., str]:
    from clinragen.cli.main import app

    def run(*words: object) -> str:
        done = CliRunner().invoke(app, ["knowledge", "check", *map(str, words)], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    return run


@pytest.mark.parametrize("as_folder", [True, False])
def test_the_command_prints_a_table_and_writes_the_report(
    check: Callable[..., str], tmp_path: Path, as_folder: bool
) -> None:
    file = tmp_path / "knowledge.json"
    file.write_bytes(Path(str(RESOURCES / "knowledge.json")).read_bytes())
    write_definitions(tmp_path, shipped_definitions())
    output = check(tmp_path if as_folder else file, "--report", tmp_path / "report.json", "--k", 3)
    assert "recall@3" in output
    assert "give --encoder" in output
    found = json.loads((tmp_path / "report.json").read_text())
    assert found == json.loads(json.dumps(check_knowledge(load_knowledge(None, VOCABULARY), VOCABULARY, k=3)))
    for key in found["passages"]["topics"]:
        assert key in output


def test_the_command_says_which_topics_are_not_above_chance(
    check: Callable[..., str], base: KnowledgeBase, tmp_path: Path
) -> None:
    content = json.loads(Path(str(RESOURCES / "knowledge.json")).read_text())
    wrong = [{**term, "passages": content["diseases"]["copd"]["passages"]} for term in WRONG]
    content["diseases"]["copd"]["terms"] = wrong
    write_json(tmp_path / "mine.json", content)
    assert "not above chance: copd" in check(tmp_path / "mine.json")


def test_an_unusable_encoder_is_named(base: KnowledgeBase, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="encoder"):
        check_knowledge(base, VOCABULARY, tmp_path)
