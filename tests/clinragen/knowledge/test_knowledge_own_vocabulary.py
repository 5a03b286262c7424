"""The knowledge base of a vocabulary without retrieval: a YAML file more is a disease more."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from tiny_corpus import passages

from clinragen.knowledge import load_knowledge, parse_knowledge
from clinragen.knowledge.assemble import Material, base_of, build_knowledge
from clinragen.knowledge.reader import shipped_content
from clinragen.knowledge.statistical import StatisticalConfig, StatisticalExtractor
from clinragen.retrieval.topics import load_topics
from dataset_builder.contract.definitions import Definitions, load_definitions, shipped_definitions
from modeling_clinragen.errors import InputDataError

SHIPPED = shipped_definitions()
VOCABULARY = SHIPPED.vocabulary

TERMS = """terms:
  - {term: podagra, kind: symptom, cited: true, source: "MeSH: Gout", spellings: [gouty toe]}
"""
GOUT = f"""
name: Gout
kind: chronic
history_counts: false
codes: {{10: ["M10.9"]}}
{TERMS}
values:
  - {{names: [uric acid], above: 7.0, unit: mg/dL, source: "MeSH: Hyperuricemia"}}
signs:
  - {{variable: temperature, direction: high, meaning: inflammation}}
"""


def own_definitions(folder: Path, index: str, gout: str = GOUT) -> Definitions:
    (folder / "diseases").mkdir()
    (folder / "vocabulary.yaml").write_text(index)
    (folder / "diseases" / "gout.yaml").write_text(gout)
    return load_definitions(folder)


def test_the_base_of_the_shipped_vocabulary_is_the_shipped_one() -> None:
    assert json.loads(json.dumps(base_of(SHIPPED))) == shipped_content()


def test_one_file_more_is_a_disease_more(tmp_path: Path) -> None:
    definitions = own_definitions(tmp_path, "{format: 1, diseases: [shipped, gout]}")
    base = parse_knowledge(base_of(definitions), "it", definitions.vocabulary)
    shipped = load_knowledge(None, VOCABULARY)
    assert base.diseases[:-1] == shipped.diseases
    assert base.variables == shipped.variables
    assert base.passages == shipped.passages
    gout = base.disease("gout")
    assert [(term.term, term.cited, term.spellings, term.passages) for term in gout.terms] == [
        ("podagra", True, ("gouty toe",), ())
    ]
    assert gout.values[0].holds(7.5)
    assert (gout.signs[0].variable, gout.signs[0].direction) == ("temperature", "high")
    assert base.history_counts == {**shipped.history_counts, "gout": False}
    assert "podagra" in base.all_terms()


def test_a_smaller_vocabulary_has_its_own_passages_and_signs(tmp_path: Path) -> None:
    definitions = own_definitions(tmp_path, "{format: 1, diseases: [gout, shock], variables: [heart_rate]}")
    base = parse_knowledge(base_of(definitions), "it", definitions.vocabulary)
    assert [sign.variable for sign in base.disease("shock").signs] == ["heart_rate"]
    assert base.disease("gout").signs == ()
    assert set(base.passages) == {f"clinragen:{key}-{number}" for key in ("shock", "heart_rate") for number in (1, 2)}
    assert base.disease("shock").terms == load_knowledge(None, VOCABULARY).disease("shock").terms


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (("podagra, kind: symptom", "podagra, kind: sign"), "gout, terms entry 1: 'kind' must be one of name"),
        (("direction: high", "direction: up"), "gout.yaml: unknown direction 'up' of a sign"),
        ((TERMS, ""), "gout: no terms; add some to its YAML file"),
    ],
)
def test_a_faulty_entry_of_a_users_disease_is_named(tmp_path: Path, changed: tuple[str, str], message: str) -> None:
    with pytest.raises(InputDataError, match=message):
        base_of(own_definitions(tmp_path, "{format: 1, diseases: [gout]}", GOUT.replace(*changed)))


def test_without_the_curated_terms_only_history_counts_is_kept(tmp_path: Path) -> None:
    definitions = own_definitions(tmp_path, "{format: 1, diseases: [gout], variables: [heart_rate]}")
    topics = load_topics(definitions)
    retrieved = {topic.key: passages()[topic.key] for topic in topics}
    extractor = StatisticalExtractor(StatisticalConfig(min_score=0.5))
    made = asyncio.run(build_knowledge(definitions, Material(topics, retrieved), [extractor], curated=False))
    entry = made["diseases"]["gout"]
    assert (entry["terms"], entry["values"], entry["signs"], entry["history_counts"]) == ([], [], [], False)
    assert [extractor["name"] for extractor in made["made_by"]["extractors"]] == ["statistical"]
    both = asyncio.run(build_knowledge(definitions, Material(topics, retrieved), [extractor]))
    assert [term["term"] for term in both["diseases"]["gout"]["terms"]] == ["podagra"]
    assert [extractor["name"] for extractor in both["made_by"]["extractors"]] == ["curated", "statistical"]
