"""The shipped knowledge: complete, checkable, refused when faulty, measured on notes."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataset_builder.knowledge import KnowledgeBase, coverage, load_knowledge, write_knowledge
from dataset_builder.vocabulary import RESOURCES, load_diseases, load_range_set, load_variables
from modeling_clinragen.errors import InputDataError, SettingsError

DISEASES = [disease.key for disease in load_diseases()]
VARIABLES = [variable.key for variable in load_variables()]


@pytest.fixture(scope="module")
def knowledge() -> KnowledgeBase:
    return load_knowledge()


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    return json.loads((RESOURCES / "knowledge.json").read_text(encoding="utf-8"))


def test_every_disease_and_variable_has_enough_terms(knowledge: KnowledgeBase) -> None:
    assert [entry.key for entry in knowledge.diseases] == DISEASES
    assert [key for key, _ in knowledge.variables] == VARIABLES
    for entry in knowledge.diseases:
        assert 12 <= len(entry.terms) <= 25, entry.key
        assert sum(term.cited for term in entry.terms) >= 8, entry.key
        assert entry.terms[0].kind == "name", entry.key
    for key, terms in knowledge.variables:
        assert 5 <= len(terms) <= 12, key
        assert {term.side for term in terms} == {"high", "low"}, key


def test_every_entry_says_where_to_check_it(knowledge: KnowledgeBase) -> None:
    sources = [term.source for entry in knowledge.diseases for term in entry.terms]
    sources += [rule.source for entry in knowledge.diseases for rule in entry.values]
    sources += [term.source for _, terms in knowledge.variables for term in terms]
    kinds = re.compile(
        r"^(MeSH|MedlinePlus|Wikipedia): \S|guideline|Guideline|Definition|report \(Global|Standards of Care"
    )
    for source in sources:
        assert kinds.search(source), source
        assert not re.search(r"PMID|pubmed|\d{6,}|https?:", source, re.IGNORECASE), source


def test_terms_stand_once_per_disease_in_any_spelling(knowledge: KnowledgeBase) -> None:
    for entry in knowledge.diseases:
        surfaces = [surface.lower() for term in entry.terms for surface in term.surfaces]
        assert len(set(surfaces)) == len(surfaces), entry.key


def test_signs_can_be_judged(knowledge: KnowledgeBase) -> None:
    """Each level sign has a range in one of the range sets; only lipid disorders and the like lack a bedside sign."""
    ranged = set(load_range_set("clinical").bounds) | set(load_range_set("paper").bounds)
    for entry in knowledge.diseases:
        for sign in entry.signs:
            assert sign.variable in VARIABLES
            assert sign.direction in ("rising", "falling", "erratic") or sign.variable in ranged
    without = {entry.key for entry in knowledge.diseases if not entry.signs}
    assert without == {"coronary_atherosclerosis"}


def test_textbook_signs_are_there(knowledge: KnowledgeBase) -> None:
    def signs(key: str) -> set[tuple[str, str]]:
        return {(sign.variable, sign.direction) for sign in knowledge.disease(key).signs}

    assert ("temperature", "high") in signs("septicemia")
    assert ("systolic_blood_pressure", "low") in signs("shock")
    assert ("oxygen_saturation", "low") in signs("respiratory_failure")
    assert ("glucose", "high") in signs("diabetes_without_complication")
    assert ("heart_rate", "low") in signs("conduction_disorders")
    assert ("systolic_blood_pressure", "high") in signs("essential_hypertension")


def test_acute_diseases_do_not_count_history(knowledge: KnowledgeBase) -> None:
    counts = {entry.key for entry in knowledge.diseases if entry.history_counts}
    assert not counts & {
        "pneumonia",
        "septicemia",
        "shock",
        "acute_myocardial_infarction",
        "gastrointestinal_hemorrhage",
    }
    assert {"copd", "chronic_kidney_disease", "essential_hypertension", "congestive_heart_failure"} <= counts


def test_all_terms_are_unique_and_in_a_fixed_order(knowledge: KnowledgeBase) -> None:
    terms = knowledge.all_terms()
    assert len(terms) == len(set(terms))
    assert terms == load_knowledge().all_terms()
    assert terms[: len(knowledge.diseases[0].terms)] == knowledge.terms_for("acute_renal_failure")
    every = [term for key in (*DISEASES, *VARIABLES) for term in knowledge.terms_for(key)]
    assert set(terms) == set(every)
    assert len(every) > len(terms)  # septic shock and others belong to two
    with pytest.raises(SettingsError, match="gout"):
        knowledge.terms_for("gout")


FAULTS: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
    ("schema_version 1", lambda base: base.update(schema_version=2)),
    ("'origin'", lambda base: base.pop("origin")),
    ("'shock' in diseases is missing", lambda base: base["diseases"].pop("shock")),
    ("'gout' in diseases", lambda base: base["diseases"].update(gout={})),
    ("'ph' in variables is missing", lambda base: base["variables"].pop("ph")),
    ("'diseases' must map", lambda base: base.update(diseases=[])),
    ("shock: 'history_counts'", lambda base: base["diseases"]["shock"].update(history_counts="now")),
    ("shock: 'terms' must be a list with", lambda base: base["diseases"]["shock"].update(terms=[])),
    ("shock, terms entry 2: 'source'", lambda base: base["diseases"]["shock"]["terms"][1].pop("source")),
    ("shock, terms entry 2: 'kind'", lambda base: base["diseases"]["shock"]["terms"][1].update(kind="word")),
    ("shock, terms entry 1: 'cited'", lambda base: base["diseases"]["shock"]["terms"][0].pop("cited")),
    ("shock, terms entry 1: 'spellings'", lambda base: base["diseases"]["shock"]["terms"][0].update(spellings="x")),
    ("shock, terms entry 1: must be an object", lambda base: base["diseases"]["shock"]["terms"].insert(0, "shock")),
    (
        "shock, terms entry 2: stands in the list twice",
        lambda base: base["diseases"]["shock"]["terms"].insert(0, base["diseases"]["shock"]["terms"][0]),
    ),
    ("shock, signs entry 1: 'variable'", lambda base: base["diseases"]["shock"]["signs"][0].update(variable="bun")),
    ("shock, signs entry 1: 'direction'", lambda base: base["diseases"]["shock"]["signs"][0].update(direction="odd")),
    ("shock, values entry 1: needs one of", lambda base: base["diseases"]["shock"]["values"][0].update(below=1)),
    ("shock, values entry 1: 'names'", lambda base: base["diseases"]["shock"]["values"][0].update(names=[])),
    ("ph, terms entry 1: 'side'", lambda base: base["variables"]["ph"]["terms"][0].update(side="up")),
    ("ph, terms entry 1: 'term'", lambda base: base["variables"]["ph"]["terms"][0].update(term=" acid ")),
]


@pytest.mark.parametrize(("message", "fault"), FAULTS, ids=[message for message, _ in FAULTS])
def test_a_faulty_file_names_the_entry(
    tmp_path: Path, content: dict[str, Any], message: str, fault: Callable[[dict[str, Any]], Any]
) -> None:
    broken = copy.deepcopy(content)
    fault(broken)
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(broken))
    with pytest.raises(InputDataError, match=re.escape(message)) as raised:
        load_knowledge(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_or_damaged_file(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match="missing"):
        load_knowledge(tmp_path / "none.json")
    (tmp_path / "half.json").write_text('{"schema_version": 1, ')
    with pytest.raises(InputDataError, match="JSON"):
        load_knowledge(tmp_path / "half.json")


def test_coverage_by_hand(knowledge: KnowledgeBase) -> None:
    notes = ["Septic shock on Levophed.", "No septic shock. Tachycardia and fever.", "A fall from a ladder."]
    measured = coverage(notes, knowledge)
    assert measured["notes"] == 3
    shock = measured["diseases"]["shock"]
    assert (shock["found"], shock["terms"]) == (2, len(knowledge.terms_for("shock")))
    assert shock["share"] == round(2 / shock["terms"], 4)
    assert shock["notes"] == round(2 / 3, 4)
    assert measured["variables"]["heart_rate"]["found"] == 2  # tachycardia, fever
    assert measured["diseases"]["lipid_disorders"] == {
        "terms": len(knowledge.terms_for("lipid_disorders")),
        "found": 0,
        "share": 0.0,
        "notes": 0.0,
    }
    assert coverage([], knowledge)["diseases"]["shock"]["notes"] == 0.0


def test_write_knowledge(tmp_path: Path, content: dict[str, Any]) -> None:
    output = tmp_path / "stage"
    report = write_knowledge(output, ["Septic shock."])
    assert sorted(item.name for item in output.iterdir()) == ["coverage.json", "knowledge.json"]
    assert load_knowledge(output / "knowledge.json") == load_knowledge()
    assert json.loads((output / "coverage.json").read_text())["notes"] == 1
    assert report["terms"] == len(load_knowledge().all_terms())
    assert report["disease_terms_in_notes"] == 2  # septic shock is a term of two diseases
    mine = copy.deepcopy(content)
    mine["origin"] = "mine"
    (tmp_path / "mine.json").write_text(json.dumps(mine))
    write_knowledge(output, [], tmp_path / "mine.json")
    assert load_knowledge(output / "knowledge.json").origin == "mine"


def test_an_interrupted_write_leaves_the_old_folder(tmp_path: Path) -> None:
    output = tmp_path / "stage"
    write_knowledge(output, ["Septic shock."])
    before = (output / "coverage.json").read_bytes()

    def notes() -> Any:
        yield "Melena."
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_knowledge(output, notes())
    assert (output / "coverage.json").read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["stage"]
