"""The shipped knowledge: complete, checkable, built like any other, refused when malformed, measured on notes."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from tiny_corpus import tiny_definitions

from clinragen.knowledge import KnowledgeBase, load_knowledge
from clinragen.knowledge.coverage import coverage
from clinragen.knowledge.reader import RESOURCES
from clinragen.knowledge.shipped import build_shipped
from clinragen.knowledge.writer import fill_knowledge
from dataset_builder.contract.definitions import read_definitions, shipped_definitions
from dataset_builder.storage.files import read_yaml, write_json
from dataset_builder.storage.governance import PROVENANCE, read_provenance
from modeling_clinragen.errors import InputDataError, SettingsError

SHIPPED = shipped_definitions()
VOCABULARY = SHIPPED.vocabulary
DISEASES = [disease.key for disease in VOCABULARY.diseases]
VARIABLES = list(VOCABULARY.variable_keys)
OPEN = {"source": "made up", "credentialed": False}


@pytest.fixture(scope="module")
def knowledge() -> KnowledgeBase:
    return load_knowledge(None, VOCABULARY)


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    return json.loads((RESOURCES / "knowledge.json").read_text(encoding="utf-8"))


def test_the_shipped_file_is_what_the_code_makes_of_corpus_and_curated_terms(tmp_path: Path) -> None:
    write_json(tmp_path / "again.json", build_shipped())
    shipped = Path(str(RESOURCES / "knowledge.json"))
    assert (tmp_path / "again.json").read_bytes() == shipped.read_bytes(), (
        "make it again: python -m clinragen.knowledge.shipped"
    )


def test_every_disease_and_variable_has_enough_terms(knowledge: KnowledgeBase) -> None:
    assert [entry.key for entry in knowledge.diseases] == DISEASES
    assert [entry.key for entry in knowledge.variables] == VARIABLES
    for entry in knowledge.diseases:
        assert 12 <= len(entry.terms) <= 25, entry.key
        assert sum(term.cited for term in entry.terms) >= 8, entry.key
        assert entry.terms[0].kind == "name", entry.key
    for topic in knowledge.variables:
        assert 5 <= len(topic.terms) <= 12, topic.key
        assert {term.kind for term in topic.terms} == {"high", "low"}, topic.key


def test_every_entry_says_where_to_check_it(knowledge: KnowledgeBase) -> None:
    sources = [term.source for topic in knowledge.topics for term in topic.terms]
    sources += [rule.source for entry in knowledge.diseases for rule in entry.values]
    kinds = re.compile(
        r"^(MeSH|MedlinePlus|Wikipedia): \S|guideline|Guideline|Definition|report \(Global|Standards of Care"
    )
    for source in sources:
        assert kinds.search(source), source
        assert not re.search(r"PMID|pubmed|\d{6,}|https?:", source, re.IGNORECASE), source


def test_every_shipped_term_stands_in_each_passage_that_is_said_to_support_it(knowledge: KnowledgeBase) -> None:
    for topic in knowledge.topics:
        assert len(topic.passages) == 2, topic.key
        assert topic.extracted == (), topic.key
        for term in topic.terms:
            assert term.passages, (topic.key, term.term)
            for name in term.passages:
                text = re.sub(r"[\s-]+", " ", knowledge.passages[name].text.lower())
                spelled = [re.sub(r"[\s-]+", " ", surface.lower()) for surface in term.surfaces]
                assert any(surface.removesuffix("s") in text for surface in spelled), (topic.key, term.term)
    for passage in knowledge.passages.values():
        assert 60 <= len(passage.text.split()) <= 150, passage.id
        assert passage.licence == "Apache-2.0"


def test_terms_stand_once_per_disease_in_any_spelling(knowledge: KnowledgeBase) -> None:
    for entry in knowledge.diseases:
        surfaces = [surface.lower() for term in entry.terms for surface in term.surfaces]
        assert len(set(surfaces)) == len(surfaces), entry.key


def test_signs_can_be_judged(knowledge: KnowledgeBase) -> None:
    """Each level sign has a range in one of the range sets; only lipid disorders and the like lack a bedside sign."""
    ranged = set(VOCABULARY.range_set("clinical").bounds) | set(VOCABULARY.range_set("paper").bounds)
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
    assert terms == load_knowledge(None, VOCABULARY).all_terms()
    assert terms[: len(knowledge.diseases[0].terms)] == knowledge.terms_for("acute_renal_failure")
    every = [term for key in (*DISEASES, *VARIABLES) for term in knowledge.terms_for(key)]
    assert set(terms) == set(every)
    assert len(every) > len(terms)  # septic shock and others belong to two
    with pytest.raises(SettingsError, match="gout"):
        knowledge.terms_for("gout")


Fault = Callable[[dict[str, Any]], Any]


def shock(base: dict[str, Any]) -> dict[str, Any]:
    return base["diseases"]["shock"]


def in_shock(section: str, index: int = 0, **changes: Any) -> Fault:
    """Changes one entry of the disease; None takes a field away."""

    def change(base: dict[str, Any]) -> None:
        entry = shock(base)[section][index]
        entry.update(changes)
        for name in [name for name, value in changes.items() if value is None]:
            del entry[name]

    return change


def in_ph(**changes: Any) -> Fault:
    return lambda base: base["variables"]["ph"]["terms"][0].update(changes)


def in_passage(**changes: Any) -> Fault:
    return lambda base: base["passages"]["clinragen:ph-1"].update(changes)


def again(section: str, **changes: Any) -> Fault:
    return lambda base: shock(base)[section].append({**shock(base)[section][0], **changes})


def as_extracted(base: dict[str, Any]) -> None:
    shock(base)["extracted"] = [{**shock(base)["terms"][0], "term": "new"}]


ONE_LIMIT = "shock, values entry 1: must be a measurement with one limit"
FAULTS: list[tuple[str, Fault]] = [
    ("expected schema_version 2; make it again", lambda base: base.update(schema_version=1)),
    ("'origin' is missing", lambda base: base.pop("origin")),
    ("'colour' is unknown", lambda base: base.update(colour="red")),
    ("'shock' in diseases is missing", lambda base: base["diseases"].pop("shock")),
    ("'gout' in diseases", lambda base: base["diseases"].update(gout=shock(base))),
    ("'ph' in variables is missing", lambda base: base["variables"].pop("ph")),
    ("'diseases' must be an object", lambda base: base.update(diseases=[])),
    ("diseases, shock: 'history_counts' must be true or false", lambda base: shock(base).update(history_counts="now")),
    ("shock: no terms; add some", lambda base: shock(base).update(terms=[])),
    ("shock, terms entry 2: 'source' is missing", in_shock("terms", 1, source=None)),
    ("shock, terms entry 2: 'kind' must be one of name", in_shock("terms", 1, kind="word")),
    ("shock, terms entry 1: 'cited' is missing", in_shock("terms", cited=None)),
    ("shock, terms entry 1: 'spellings' must be a list", in_shock("terms", spellings="x")),
    ("shock, terms entry 1: must be an object", lambda base: shock(base)["terms"].insert(0, "shock")),
    ("shock: duplicate term 'shock'; remove one", again("terms")),
    ("shock, extracted entry 1: 'cited' must be false", as_extracted),
    ("term 'shock': unknown passage 'x:1'", in_shock("terms", passages=["x:1"])),
    ("shock, passages: unknown passage 'x:1'", lambda base: shock(base)["passages"].append("x:1")),
    ("shock: unknown variable 'bun' in a sign; use one of diastolic", in_shock("signs", variable="bun")),
    ("shock, signs entry 1: 'direction'", in_shock("signs", direction="odd")),
    ("shock: duplicate sign 'systolic_blood_pressure low'", again("signs", meaning="the same")),
    (f"{ONE_LIMIT}, 'above' or 'below'", in_shock("values", above=1, below=2)),
    (ONE_LIMIT, lambda base: shock(base)["values"].insert(0, {"names": ["x"], "unit": "mg/dL", "source": "MeSH: X"})),
    ("shock, values entry 1: 'names' must have at least 1", in_shock("values", names=[])),
    ("ph, terms entry 1: 'kind' must be one of high, low", in_ph(kind="up")),
    ("ph, terms entry 1: 'term' must be a text without spaces", in_ph(term=" acid ")),
    ("passages, clinragen:ph-1: 'date' must be like", in_passage(date="May")),
    ("passages, clinragen:ph-1: the key must be 'source:id'", in_passage(id="ph-9")),
]


@pytest.mark.parametrize(("message", "fault"), FAULTS, ids=[f"{n} {message}" for n, (message, _) in enumerate(FAULTS)])
def test_a_faulty_file_names_the_entry(
    tmp_path: Path, content: dict[str, Any], message: str, fault: Callable[[dict[str, Any]], Any]
) -> None:
    broken = copy.deepcopy(content)
    fault(broken)
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(broken))
    with pytest.raises(InputDataError, match=re.escape(message)) as raised:
        load_knowledge(path, VOCABULARY)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_or_damaged_file(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match="missing"):
        load_knowledge(tmp_path / "none.json", VOCABULARY)
    (tmp_path / "half.json").write_text('{"schema_version": 1, ')
    with pytest.raises(InputDataError, match="JSON"):
        load_knowledge(tmp_path / "half.json", VOCABULARY)


def test_coverage_by_hand(knowledge: KnowledgeBase) -> None:
    notes = ["Septic shock on Levophed.", "No septic shock. Tachycardia and fever.", "A fall from a ladder."]
    measured = coverage(notes, knowledge)
    assert measured["notes"] == 3
    shock = measured["diseases"]["shock"]
    assert (shock["found"], shock["terms"]) == (2, len(knowledge.terms_for("shock")))
    assert shock["share"] == round(2 / shock["terms"], 4)
    assert shock["notes"] == round(2 / 3, 4)
    assert measured["variables"]["heart_rate"]["found"] == 2  # tachycardia, fever
    terms = len(knowledge.terms_for("lipid_disorders"))
    nothing = {"terms": terms, "judged": terms, "found": 0, "share": 0.0, "notes": 0.0}
    support = {"passages": 2, "supported": 1.0, "two_sources": 0.0}
    assert measured["diseases"]["lipid_disorders"] == nothing | support
    assert coverage([], knowledge)["diseases"]["shock"]["notes"] == 0.0


def test_the_vocabulary_is_counted_in_tokens_of_a_tokenizer(knowledge: KnowledgeBase, tiny_tokenizer: Any) -> None:
    counted = coverage([], knowledge, tiny_tokenizer)["vocabulary"]
    text = " ".join(knowledge.all_terms())
    assert counted["terms"] == len(knowledge.all_terms())
    assert counted["words"] < len(text.split())
    assert 50 < counted["tokens"] <= len(tiny_tokenizer)
    assert coverage([], knowledge)["vocabulary"]["tokens"] is None


def fill(folder: Path, content: dict[str, Any], notes: Iterable[str] = (), **more: Any) -> dict[str, Any]:
    return fill_knowledge(folder, content, SHIPPED, notes, **more)


def test_the_folder_of_the_stage(tmp_path: Path, content: dict[str, Any]) -> None:
    output = tmp_path / "stage"
    report = fill(output, content, ["Septic shock."], parents=[OPEN], details={"extract": ["curated"]})
    names = ["coverage.json", "coverage.png", "knowledge.json", PROVENANCE, "vocabulary.json"]
    assert sorted(item.name for item in output.iterdir()) == names
    assert (output / "knowledge.json").read_bytes() == (RESOURCES / "knowledge.json").read_bytes()
    assert read_definitions(output) == SHIPPED
    shipped = load_knowledge(None, VOCABULARY)
    assert load_knowledge(output / "knowledge.json", VOCABULARY) == shipped
    assert json.loads((output / "coverage.json").read_text())["notes"] == 1
    assert report["terms"] == len(shipped.all_terms())
    assert report["disease_terms_in_notes"] == 2  # septic shock is a term of two diseases
    assert read_provenance(output)["steps"][-1] == {"step": "knowledge", "extract": ["curated"]}
    fill(output, {**content, "origin": "mine"}, parents=[OPEN])
    assert load_knowledge(output / "knowledge.json", VOCABULARY).origin == "mine"


@pytest.mark.parametrize(
    ("parents", "closed"),
    [([OPEN], False), ([OPEN, {"credentialed": True}], True), ([], True)],
    ids=["open", "one closed", "unrecorded"],
)
def test_counts_of_credentialed_notes_are_the_owners_alone(
    tmp_path: Path, content: dict[str, Any], parents: list[dict[str, Any]], closed: bool
) -> None:
    fill(tmp_path / "stage", content, ["Septic shock."], parents=parents)
    assert read_provenance(tmp_path / "stage")["credentialed"] is closed
    for path in (tmp_path / "stage", *(tmp_path / "stage").iterdir()):
        assert (path.stat().st_mode & 0o077 == 0) is closed, path


def test_the_folder_is_private_before_a_note_is_read(tmp_path: Path, content: dict[str, Any]) -> None:
    def notes() -> Any:
        assert (tmp_path / "stage").stat().st_mode & 0o077 == 0
        yield "Melena."

    assert fill(tmp_path / "stage", content, notes())["notes"] == 1


def test_a_base_of_another_vocabulary_is_refused(tmp_path: Path, content: dict[str, Any]) -> None:
    with pytest.raises(InputDataError, match="in diseases is missing or not in the vocabulary"):
        fill_knowledge(tmp_path / "stage", content, tiny_definitions(tmp_path))
    assert not (tmp_path / "stage").exists()


def test_a_source_left_out_takes_its_terms_and_nothing_else(knowledge: KnowledgeBase) -> None:
    assert {"MeSH", "Wikipedia", "MedlinePlus"} < set(knowledge.sources)
    left = knowledge.without_sources(["MeSH"])
    for before, after in zip(knowledge.topics, left.topics, strict=True):
        assert after.terms == tuple(term for term in before.terms if not term.source.startswith("MeSH"))
        assert after.passages == before.passages
    assert [entry.signs for entry in left.diseases] == [entry.signs for entry in knowledge.diseases]
    assert 0 < len(left.all_terms()) < len(knowledge.all_terms())
    assert knowledge.without_sources([]) == knowledge


@pytest.mark.parametrize("of", [["MESH"], None])
def test_sources_that_leave_no_term_or_are_unknown_are_refused(knowledge: KnowledgeBase, of: list[str] | None) -> None:
    with pytest.raises(SettingsError, match="choose from" if of else "knowledge_fusion: none"):
        knowledge.without_sources(knowledge.sources if of is None else of)


def test_the_two_shipped_source_ablations_divide_the_knowledge(knowledge: KnowledgeBase) -> None:
    recipes = Path(__file__).resolve().parents[3] / "recipes" / "ablations"
    for folder in (recipes, recipes / "phases"):
        without, only = (
            read_yaml(folder / f"{name}-mesh.yaml")["change"]["model"]["knowledge_without"]
            for name in ("without", "only")
        )
        assert sorted([*without, *only]) == list(knowledge.sources)
