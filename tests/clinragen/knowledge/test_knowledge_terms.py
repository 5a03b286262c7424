"""Terms: one form for all spellings, defined abbreviations, what statistics find, one entry per concept."""

from __future__ import annotations

import asyncio
import itertools
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_corpus import TEXTS, built, passage, passages, tiny_definitions

from clinragen.knowledge.abbreviations import Abbreviations, Definition, find_definitions, stands_for
from clinragen.knowledge.extraction import Candidate
from clinragen.knowledge.merge import merge
from clinragen.knowledge.reader import parse_knowledge
from clinragen.knowledge.statistical import StatisticalConfig, StatisticalExtractor, log_odds_score
from clinragen.retrieval.topics import load_topics
from clinragen.text.normal_form import normal_form
from dataset_builder.contract.definitions import Definitions
from modeling_clinragen.errors import InputDataError, SettingsError

NONE = Abbreviations([])
WORDS = st.text("bcdfglmnprtv", min_size=4, max_size=9)


@pytest.fixture
def definitions(tmp_path: Path) -> Definitions:
    return tiny_definitions(tmp_path)


# --- one form


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("artery", "arteries"),
        ("Abscess", "abscesses"),
        ("stenosis", "stenoses"),
        ("disease", "diseases"),
        ("virus", "viruses"),
        ("ST-elevation", "ST elevations"),
        ("gas exchange", "Gas Exchange"),
        ("reflex", "reflexes"),
        ("pleural effusion", "Pleural\neffusions"),
    ],
)
def test_singular_and_plural_have_one_form(one: str, many: str) -> None:
    assert normal_form(one) == normal_form(many)


@pytest.mark.parametrize(("one", "other"), [("mass", "mas"), ("diabetes", "diabete"), ("pus", "pu"), ("gas", "ga")])
def test_an_s_that_makes_no_plural_stays(one: str, other: str) -> None:
    assert normal_form(one) != normal_form(other)


@settings(deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=4), st.sampled_from([" ", "-", "\n"]))
def test_case_plural_and_hyphens_do_not_matter(words: list[str], between: str) -> None:
    assert normal_form(" ".join(words)) == normal_form(between.join([*words[:-1], f"{words[-1]}s"]).upper())


# --- abbreviations


@pytest.mark.parametrize(
    ("text", "short", "long"),
    [
        ("Acute kidney injury (AKI) is common.", "AKI", "Acute kidney injury"),
        ("Many have AKI (acute kidney injury).", "AKI", "acute kidney injury"),
        ("non-ST elevation myocardial infarction (NSTEMI), in", "NSTEMI", "non-ST elevation myocardial infarction"),
        ("Sepsis. The heart failure (HF; see below)", "HF", "heart failure"),
        ("after esophagogastroduodenoscopy (EGD)", "EGD", "esophagogastroduodenoscopy"),
        ("infection with Clostridioides difficile (C diff)", "C diff", "Clostridioides difficile"),
    ],
)
def test_a_definition_is_found(text: str, short: str, long: str) -> None:
    assert find_definitions(text) == [Definition(short, long)]


@pytest.mark.parametrize(
    "text",
    [
        "in patients (n = 20)",
        "a trial (Figure 2)",
        "the dose (mg)",
        "pain (often severe)",
        "(AKI)",
        "a AKI (AKI)",
        "x (",
    ],
)
def test_other_parentheses_define_nothing(text: str) -> None:
    assert find_definitions(text) == []


@settings(deadline=None)
@given(st.lists(WORDS, min_size=2, max_size=5), st.lists(WORDS, max_size=6))
def test_initials_of_the_words_before_a_parenthesis_are_defined(long: list[str], before: list[str]) -> None:
    short = "".join(word[0] for word in long).upper()
    found = find_definitions(f"{' '.join([*before, *long])} ({short}) is seen.")
    assert [definition.short for definition in found] == [short]
    # The shortest reading, which may be shorter than what was meant, and ends where that ends.
    assert " ".join(long).endswith(found[0].long) or found[0].long.endswith(" ".join(long))
    assert stands_for(short, " ".join(long)) == (found[0].long == " ".join(long))


@settings(deadline=None)
@given(st.text(max_size=120))
def test_definitions_of_any_text_lie_in_it(text: str) -> None:
    for definition in find_definitions(text):
        assert definition.short in text
        assert definition.long in text


def test_an_ambiguous_abbreviation_stands_for_nothing() -> None:
    twice = [Definition("PE", "pulmonary embolism"), Definition("PE", "Pulmonary embolisms")]
    once = [Definition("PE", "pericardial effusion")]
    assert Abbreviations(twice + once).expand("PE or PEs") == "pulmonary embolism or pulmonary embolism"
    assert Abbreviations(twice[:1] + once).expand("a PE") == "a PE"


# --- one entry per concept

AKI = Abbreviations([Definition("AKI", "acute kidney injury")])
ALIKE = [Candidate("AKI", "name"), Candidate("acute kidney injuries"), Candidate("Acute Kidney Injury", "finding")]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
def test_case_plural_and_abbreviation_are_one_concept_in_any_order(order: tuple[int, ...]) -> None:
    candidates = [*ALIKE, Candidate("oliguria")]
    concepts = merge([(str(number), candidates[number]) for number in order], [], AKI)
    assert len(concepts) == 2
    concept = next(concept for concept in concepts if concept.term != "oliguria")
    assert {normal_form(surface) for surface in (concept.term, *concept.spellings)} == {
        normal_form("acute kidney injury"),
        normal_form("AKI"),
    }
    assert concept.term.lower().startswith("acute")
    assert concept.kind == next(candidates[n].kind for n in order if n < 3 and candidates[n].kind != "related")
    assert concept.found_by == tuple(str(number) for number in order if number < 3)


def test_a_candidate_that_belongs_to_two_concepts_joins_them() -> None:
    listed = [Candidate("heart attack"), Candidate("infarct"), Candidate("MI", spellings=("heart attack", "infarcts"))]
    (concept,) = merge([("x", candidate) for candidate in listed], [], NONE)
    assert (concept.term, concept.spellings) == ("heart attack", ("infarct", "MI"))


@pytest.mark.parametrize("judged", ["AKI", "acute kidney injury", "Acute-kidney injuries"])
def test_what_a_judged_term_says_is_left_out(judged: str) -> None:
    proposed = [("x", candidate) for candidate in [*ALIKE, Candidate("oliguria")]]
    assert [concept.term for concept in merge(proposed, [judged], AKI)] == ["oliguria"]


SURFACES = st.lists(st.sampled_from(["alpha", "beta", "Alpha", "betas", "alpha-beta", "AB", "gammas"]), max_size=6)


@settings(deadline=None)
@given(SURFACES, st.randoms())
def test_merging_keeps_every_form_once_in_any_order(surfaces: list[str], random: Any) -> None:
    proposed = [("x", Candidate(surface)) for surface in surfaces]
    shuffled = random.sample(proposed, len(proposed))
    abbreviations = Abbreviations([Definition("AB", "alpha beta")])
    groups = [{concept.forms for concept in merge(listed, [], abbreviations)} for listed in (proposed, shuffled)]
    assert groups[0] == groups[1]
    forms = [form for group in groups[0] for form in group]
    assert len(forms) == len(set(forms))
    assert set(forms) >= {normal_form(surface) for surface in surfaces}


# --- statistics


def test_the_score_by_hand() -> None:
    """3 of 4 passages of the topic, 1 of 6 others; the prior is 10 passages with a share of 4/11."""
    own, rest = 3 + 40 / 11, 1 + 40 / 11
    difference = math.log(own / (14 - own)) - math.log(rest / (16 - rest))
    assert log_odds_score(3, 4, 4, 10) == pytest.approx(difference / math.sqrt(1 / own + 1 / rest))
    assert log_odds_score(2, 4, 5, 10) == pytest.approx(0, abs=0.05)  # as frequent here as elsewhere
    assert log_odds_score(0, 4, 6, 10) < -1
    assert math.isfinite(log_odds_score(4, 4, 10, 10))


def found(texts: dict[str, list[str]], definitions: Definitions, **settings: Any) -> dict[str, list[str]]:
    retrieved = {key: [passage(f"{key}{n}", text) for n, text in enumerate(listed)] for key, listed in texts.items()}
    extractor = StatisticalExtractor(StatisticalConfig(**settings))
    result = asyncio.run(extractor.extract(load_topics(definitions), retrieved))
    return {key: [candidate.term for candidate in candidates] for key, candidates in result.candidates.items()}


def test_planted_phrases_are_found_and_common_ones_are_not(definitions: Definitions) -> None:
    planted = {"gout": "uric acid crystals", "asthma": "bronchial hyperreactivity", "heart_rate": "sinus node disease"}
    texts = {
        key: [f"Of the renal ward, {phrase} was number {n}. Then 2024 {n}{n}." for n in range(8)]
        for key, phrase in planted.items()
    }
    assert found(texts, definitions) == {key: [phrase] for key, phrase in planted.items()}


def test_a_phrase_inside_a_longer_one_stands_alone_only_where_it_does(definitions: Definitions) -> None:
    others = {"asthma": ["Wheezing."] * 6, "heart_rate": ["Bradycardia."] * 6}
    always = {"gout": ["Tophaceous gout flares."] * 6, **others}
    assert found(always, definitions)["gout"] == ["tophaceous gout flares"]
    often = {"gout": ["Tophaceous gout hurts."] * 3 + ["Gout; tophi."] * 5, **others}
    assert "gout" in [term.lower() for term in found(often, definitions)["gout"]]


def test_the_settings_bound_what_is_found(definitions: Definitions) -> None:
    texts = {key: list(listed) * 3 for key, listed in TEXTS.items()}
    every = found(texts, definitions)
    assert all(len(term.split()) <= 4 and not term.isdigit() for terms in every.values() for term in terms)
    assert {len(terms) for terms in found(texts, definitions, terms_per_topic=1).values()} == {1}
    assert all(len(term.split()) == 1 for terms in found(texts, definitions, max_words=1).values() for term in terms)
    assert found(texts, definitions, min_passages=7) == {key: [] for key in TEXTS}
    assert sum(map(len, found(texts, definitions, min_score=2.0).values())) < sum(map(len, every.values()))
    with pytest.raises(SettingsError, match="min_passages: expected a whole number of at least 1"):
        StatisticalConfig(min_passages=0)


# --- the whole


def test_extracted_terms_have_their_passages_and_their_abbreviations(definitions: Definitions) -> None:
    content = built(definitions, [StatisticalExtractor(StatisticalConfig(min_score=0.5))])
    base = parse_knowledge(content, "it", definitions.vocabulary)
    gout = {term.term: term for term in base.disease("gout").extracted}
    assert {"uric acid", "podagra", "colchicine"} <= {name.lower() for name in gout}
    acid = next(term for name, term in gout.items() if name.lower() == "uric acid")
    assert acid.passages == ("local:gout-0", "local:gout-1")
    assert (acid.cited, acid.source, acid.kind) == (False, "extracted: statistical", "related")
    fev = next(term for term in base.disease("asthma").extracted if "FEV" in term.surfaces)
    assert fev.term == "Forced expiratory volume"
    assert fev.passages == ("local:asthma-0", "local:asthma-1")
    assert base.disease("gout").history_counts is True
    assert base.disease("asthma").history_counts is False
    assert "podagra" in base.all_terms()


def test_a_topic_without_a_term_is_refused(definitions: Definitions) -> None:
    with pytest.raises(InputDataError, match="gout: no terms; add some to its YAML file, or retrieve more passages"):
        built(definitions)


def test_the_same_inputs_give_the_same_and_other_passages_another(definitions: Definitions) -> None:
    extractors = [StatisticalExtractor(StatisticalConfig(min_score=0.5))]
    assert built(definitions, extractors) == built(definitions, extractors)
    other = built(definitions, extractors, retrieved=passages("elsewhere"))
    assert other["made_by"]["passages"] != built(definitions, extractors)["made_by"]["passages"]
