"""Alignment of lab vectors with knowledge terms: planted, absent, and the same for everybody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from intervened_patients import make_group

from clinragen.interventions.alignment import Terms, align, attention_on_terms, mean_attention, terms_of
from clinragen.interventions.heat_map import draw_heat_map, rows_to_show
from clinragen.knowledge import load_knowledge
from modeling_clinragen.knowledge_map_clinragen import map_knowledge, term_token_ids
from modeling_clinragen.vocabulary_clinragen import Vocabulary

DISEASES, TERMS, PATIENTS = 6, 30, 40
OF = np.repeat(np.arange(DISEASES), TERMS // DISEASES)


def made_up(*, planted: float, everywhere: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.random((PATIENTS, DISEASES)) < 0.4
    labels[:, 0] = rng.random(PATIENTS) < 0.9
    labels[~labels.any(axis=1), 1] = True
    attention = rng.normal(size=(PATIENTS, TERMS)) + planted * labels[:, OF]
    attention[:, OF == 0] += everywhere
    return attention, labels


def aligned(attention: np.ndarray, labels: np.ndarray, **settings: Any) -> dict[str, Any]:
    given = {"permutations": 199, "seed": 0, **settings}
    found = align(attention, OF, labels, range(len(labels)), **given)
    assert found is not None
    return found


def test_attention_on_the_present_diseases_terms_is_found() -> None:
    found = aligned(*made_up(planted=1.0))
    for name in ("as_it_is", "above_own_mean"):
        assert found[name]["p"] == 1 / 200
        assert found[name]["difference"]["low"] > 0
    assert (found["patients"], found["terms"]) == (PATIENTS, TERMS)


def test_without_alignment_there_is_none() -> None:
    found = aligned(*made_up(planted=0.0))
    assert found["above_own_mean"]["p"] > 0.05
    assert found["above_own_mean"]["difference"]["low"] < 0.1


def test_what_everybody_has_does_not_count_for_a_patient() -> None:
    found = aligned(*made_up(planted=0.0, everywhere=3.0))
    assert found["as_it_is"]["difference"]["low"] > 0
    assert found["above_own_mean"]["p"] > 0.05


def test_the_score_is_the_mean_over_present_diseases_of_their_terms_means() -> None:
    attention, labels = made_up(planted=0.5)
    found = aligned(attention, labels)
    centred = attention - attention.mean(axis=0)
    scaled = centred / centred.std()
    scores = [
        np.mean([scaled[row, disease == OF].mean() for disease in np.flatnonzero(labels[row])])
        for row in range(PATIENTS)
        if labels[row].any()
    ]
    assert found["above_own_mean"]["present"]["value"] == pytest.approx(np.mean(scores))
    # A mean of random groups is the mean of all terms.
    assert found["above_own_mean"]["shuffled"] == pytest.approx(scaled.mean(), abs=0.05)


def test_nobody_has_a_disease_with_terms() -> None:
    attention, labels = made_up(planted=0.0)
    assert align(attention, OF, labels & False, range(PATIENTS), permutations=99, seed=0) is None


def test_terms_and_their_attention_are_those_of_the_knowledge_map(
    make_model: Any, make_processor: Any, vocabulary: Vocabulary
) -> None:
    model, processor = (
        make_model("t5", lab_summary=True, knowledge_fusion="gated", num_knowledge_tokens=200),
        make_processor(),
    )
    base = load_knowledge(None, vocabulary)
    wanted = {
        token
        for entry in base.diseases[:6]
        for term in entry.all_terms[:3]
        for token in term_token_ids(term.term, processor.tokenizer)
    }
    filler = [token for token in range(len(processor.tokenizer)) if token not in wanted]
    model.set_knowledge_tokens(sorted(wanted) + filler[: 200 - len(wanted)])
    terms = terms_of(model, processor, base)
    assert {vocabulary.diseases[number].key for number in terms.diseases} >= {entry.key for entry in base.diseases[:6]}
    group = make_group(vocabulary, 3)
    case = group.cases[0]
    found, weights = attention_on_terms(model, processor, case, terms)
    expected = map_knowledge(model, processor, {"hours": case.shown.hours, "values": case.shown.values}, terms.words)
    assert weights == pytest.approx(np.concatenate((expected.weights, expected.variable_weights)), abs=1e-6)
    rows, means, of_patches = mean_attention(model, processor, group, terms)
    assert rows == [0, 1, 2]
    assert means[0] == pytest.approx(weights.mean(axis=0))
    assert of_patches[0] == pytest.approx(weights[: len(found.hours)].mean(axis=0))


def test_a_heat_map_shows_present_diseases_first(vocabulary: Vocabulary, tmp_path: Path) -> None:
    from PIL import Image

    count = len(vocabulary.diseases)
    of = np.repeat(np.arange(count), 6)
    terms = Terms(tuple(f"term {number}" for number in range(len(of))), of, np.zeros((0, len(of))))
    weights = np.random.default_rng(0).normal(size=(5, len(of)))
    weights[:, of == 11] += 9.0
    labels = np.zeros(count, dtype=bool)
    labels[[3, 20]] = True
    shown = rows_to_show(weights, terms, labels)
    assert {disease for disease, _ in shown[:2]} == {3, 20}
    assert shown[2][0] == 11
    assert len(shown) == 8
    assert all((of[numbers] == disease).all() and len(numbers) == 4 for disease, numbers in shown)
    hours = np.stack([np.arange(5.0), np.arange(5.0)], axis=1)
    draw_heat_map(tmp_path / "map.png", hours, weights, terms, labels, vocabulary)
    width, height = Image.open(tmp_path / "map.png").size
    assert width > 1000
    assert height > 800
