"""The map of hours and terms: what the model computes, the strongest first, readable without colours."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from claim_cases import KNOWLEDGE, VOCABULARY, series_of
from explained_patients import FAST, SLOW

from clinragen.demo.attention_map import (
    MOST_COLUMNS,
    MOST_TERMS,
    AttentionMaps,
    attention_style,
    in_words,
)
from clinragen.inference import Explainer
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.knowledge_map_clinragen import map_knowledge, term_token_ids
from modeling_clinragen.vocabulary_clinragen import Vocabulary

LONG = series_of({"hours": list(range(60)), "heart_rate": [60 + 2 * hour for hour in range(60)]})


@pytest.fixture(scope="module")
def explainer(make_model: Any, make_processor: Any) -> Explainer:
    """A tiny model that has the tokens of some terms of every disease among its knowledge."""
    processor = make_processor()
    terms = [term.term for disease in KNOWLEDGE.diseases for term in disease.all_terms[:3]]
    tokens = sorted({token for term in terms for token in term_token_ids(term, processor.tokenizer)})
    model = make_model("bart", num_knowledge_tokens=len(tokens))
    model.set_knowledge_tokens(tokens)
    return Explainer(model, processor, knowledge=KNOWLEDGE)


@pytest.fixture(scope="module")
def maps(explainer: Explainer) -> AttentionMaps:
    return AttentionMaps(explainer)


class Table(HTMLParser):
    """The table of a page as rows of (tag, scope, text)."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[tuple[str, str | None, str]]] = []
        self._open: tuple[str, str | None] | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self._open = tag, dict(attrs).get("scope")
            self.rows[-1].append((*self._open, ""))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._open = None

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            tag, scope, text = self.rows[-1][-1]
            self.rows[-1][-1] = tag, scope, text + data


def test_weights_are_those_of_the_model_in_standard_deviations(explainer: Explainer, maps: AttentionMaps) -> None:
    found = maps.map(FAST)
    assert found is not None
    # The model groups tokens by terms itself where it is given the terms.
    known = set(explainer.model.knowledge_token_ids.tolist())
    terms = dict.fromkeys(
        term.term
        for disease in KNOWLEDGE.diseases
        for term in disease.all_terms
        if set(term_token_ids(term.term, explainer.processor.tokenizer)) <= known
    )
    given = {"hours": FAST.hours, "values": FAST.values}
    own = map_knowledge(explainer.model, explainer.processor, given, list(terms))
    weights = (own.weights - own.weights.mean()) / own.weights.std()
    places = [own.words.index(word) for word in found.terms]
    np.testing.assert_allclose(found.weights, weights[:, places].T, rtol=1e-3, atol=1e-4)
    assert found.hours == tuple(map(tuple, own.hours.tolist()))
    # The strongest come first, and no other one is stronger.
    means = weights.mean(axis=0)
    assert len(found.terms) == MOST_TERMS
    np.testing.assert_allclose(means[places], np.sort(means)[::-1][:MOST_TERMS], rtol=1e-5)


def test_every_term_has_the_diseases_it_belongs_to(maps: AttentionMaps) -> None:
    found = maps.map(FAST)
    assert found is not None
    for word, diseases in zip(found.terms, found.diseases, strict=True):
        expected = [
            VOCABULARY.disease_names[place]
            for place, disease in enumerate(KNOWLEDGE.diseases)
            if word in {term.term for term in disease.all_terms}
        ]
        assert list(diseases) == expected != []


def test_other_measurements_have_another_map(maps: AttentionMaps) -> None:
    assert maps.html(FAST) == maps.html(FAST)
    assert maps.html(FAST) != maps.html(SLOW)
    changed = FAST.values.copy()
    changed[0, VOCABULARY.variable_keys.index("heart_rate")] = 190
    other = maps.map(LabSeries.from_values(VOCABULARY, FAST.hours, changed))
    before = maps.map(FAST)
    assert other is not None
    assert before is not None
    assert not np.array_equal(other.weights, before.weights)


def test_beside_other_patients_only_what_is_above_their_mean_counts(explainer: Explainer) -> None:
    # Whoever is like all others has nothing above the mean: as much below as above, and of each term none in sum.
    alike = AttentionMaps(explainer, [FAST]).map(FAST)
    assert alike is not None
    np.testing.assert_allclose(alike.weights.mean(axis=1), 0, atol=1e-4)
    html = AttentionMaps(explainer, [FAST, SLOW]).html(FAST)
    assert "above the mean over 2 patients" in html
    assert html != AttentionMaps(explainer).html(FAST)


def test_a_long_stay_has_a_table_that_fits(maps: AttentionMaps) -> None:
    found = maps.map(LONG)
    assert found is not None
    assert len(found.hours) == MOST_COLUMNS
    assert found.hours[0][0] == 0
    assert found.hours[-1][1] == 59
    assert all(before[1] <= after[0] for before, after in zip(found.hours, found.hours[1:], strict=False))


def test_the_table_has_headers_numbers_and_a_sentence_that_says_the_same(maps: AttentionMaps) -> None:
    found = maps.map(FAST)
    assert found is not None
    html = maps.html(FAST)
    head, *rows = Table(html).rows
    assert [(tag, scope) for tag, scope, _ in head] == [("th", "col")] * (len(found.hours) + 1)
    assert [row[0] for row in rows] == [("th", "row", word) for word in found.terms]
    numbers = [[float(text.replace("−", "-")) for _, _, text in row[1:]] for row in rows]
    np.testing.assert_allclose(numbers, found.weights, atol=0.051)
    # What is below the mean has another class and the sign in words that can be read aloud.
    signs = re.findall(r'<td class="(\w+)" style="--share: \d+%">(.)', html)
    assert set(signs) <= {("above", "+"), ("below", "−")}
    assert "<caption>" in html
    assert in_words(found).startswith(f"The strongest terms: “{found.terms[0]}” ({'; '.join(found.diseases[0][:3])})")


def test_where_there_is_no_map_it_says_why(
    maps: AttentionMaps, make_model: Any, make_processor: Any, lactate_vocabulary: Vocabulary
) -> None:
    assert "Nothing was measured" in maps.html(LabSeries.empty(VOCABULARY))
    plain = Explainer(make_model("bart", knowledge_fusion="none"), make_processor(), knowledge=KNOWLEDGE)
    html = AttentionMaps(plain, [FAST]).html(FAST)
    assert "This model has no knowledge attention (its knowledge_fusion is &#x27;none&#x27;)" in html
    assert "<table" not in html
    # The shipped knowledge is not of this vocabulary, and the model has none of its own.
    vocabulary = lactate_vocabulary
    other = Explainer(make_model("bart", vocabulary=vocabulary), make_processor(vocabulary=vocabulary))
    series = series_of({"hours": [0, 4], "heart_rate": [90, 95]}, vocabulary)
    assert "no knowledge base whose terms it knows" in AttentionMaps(other).html(series)
    assert AttentionMaps(other, [series]).map(series) is None


def test_the_style_sheet_keeps_to_its_section() -> None:
    css = re.sub(r"/\*.*?\*/", "", attention_style(), flags=re.DOTALL)
    for selectors in re.findall(r"([^{}]+)\{", css):
        assert all(part.strip().startswith(".clinragen-attention") for part in selectors.split(","))
