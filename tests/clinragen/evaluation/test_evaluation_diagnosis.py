"""Generated names become a 0/1 matrix, and no name is lost on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinragen.evaluation.diagnosis import EmbeddingMatcher, match_diagnoses
from dataset_builder.contract.definitions import shipped_definitions
from modeling_clinragen.errors import SettingsError

DISEASES = shipped_definitions().vocabulary.diseases
NAMES = [disease.name for disease in DISEASES]
INDEX = {disease.key: column for column, disease in enumerate(DISEASES)}


def test_exact_names_match_whatever_their_case_and_spaces() -> None:
    matched = match_diagnoses([["SHOCK", "  other  liver\ndiseases "], [], ["Shock", "shock"]], DISEASES)
    expected = np.zeros((3, 25), dtype=int)
    expected[0, [INDEX["shock"], INDEX["other_liver_diseases"]]] = 1
    expected[2, INDEX["shock"]] = 1
    assert matched.predictions.tolist() == expected.tolist()
    assert matched.unmatched == {}


def test_names_outside_the_vocabulary_are_counted_and_returned() -> None:
    matched = match_diagnoses([["Septic  shock", "Shock"], ["Septic shock", "Gout", "", " "]], DISEASES)
    assert matched.unmatched == {"Gout": 1, "Septic shock": 2}
    assert matched.counts() == {"names": 4, "unmatched": 3, "unmatched_distinct": 2}
    assert matched.predictions.sum() == 1


@given(
    st.lists(st.lists(st.one_of(st.sampled_from(NAMES).map(str.upper), st.text(max_size=12)), max_size=5), max_size=6)
)
def test_every_written_name_is_either_a_disease_or_counted(lists: list[list[str]]) -> None:
    matched = match_diagnoses(lists, DISEASES)
    known = {" ".join(name.split()).casefold(): column for column, name in enumerate(NAMES)}
    strangers = 0
    for row, pieces in enumerate(lists):
        folded = [" ".join(piece.split()).casefold() for piece in pieces if piece.strip()]
        assert set(np.flatnonzero(matched.predictions[row])) == {known[piece] for piece in folded if piece in known}
        strangers += sum(piece not in known for piece in folded)
    assert sum(matched.unmatched.values()) == strangers
    assert matched.pieces == sum(bool(piece.strip()) for pieces in lists for piece in pieces)


def test_embedding_matcher_is_the_cosine_rule(minilm: Path) -> None:
    from sentence_transformers import SentenceTransformer

    pieces = ["acute kidney failure", "septic shock", "Shock", "diabetes mellitus", "hypertension", *NAMES]
    matcher = EmbeddingMatcher(minilm)
    # The same rule by another way: one text at a time, unnormalised, the cosine written out.
    model = SentenceTransformer(str(minilm))
    single = {text: model.encode(text, show_progress_bar=False).astype(float) for text in {*pieces, *NAMES}}
    expected = [
        [
            single[piece] @ single[name] / np.linalg.norm(single[piece]) / np.linalg.norm(single[name]) >= 0.9
            for name in NAMES
        ]
        for piece in pieces
    ]
    assert matcher.match(pieces, NAMES).tolist() == expected
    assert np.array_equal(matcher.match(NAMES, NAMES), np.eye(25, dtype=bool))


def test_embedding_matcher_finds_synonyms_and_counts_the_rest(minilm: Path) -> None:
    # Measured cosines with the nearest disease: 0.927, 0.989 and 0.639.
    written = ["acute renal failure", "Pleurisy, pneumothorax, pulmonary collapse", "septic shock"]
    matched = match_diagnoses([written], DISEASES, EmbeddingMatcher(minilm))
    assert np.flatnonzero(matched.predictions[0]).tolist() == [
        INDEX["acute_renal_failure"],
        INDEX["pleurisy_pneumothorax_collapse"],
    ]
    assert matched.unmatched == {"septic shock": 1}


def test_embeddings_are_kept(minilm: Path) -> None:
    matcher = EmbeddingMatcher(minilm)
    first = matcher.match(["Shock", "Gout"], NAMES)
    kept = dict(matcher._embeddings)
    assert set(kept) == {"Shock", "Gout", *NAMES}
    assert np.array_equal(matcher.match(["Gout", "Shock"], NAMES), first[::-1])
    assert all(matcher._embeddings[text] is vector for text, vector in kept.items())


@pytest.mark.parametrize("threshold", [0.0, -0.5, 1.2])
def test_a_threshold_that_is_no_cosine_is_refused(threshold: float) -> None:
    with pytest.raises(SettingsError, match="threshold"):
        EmbeddingMatcher("anything", threshold=threshold)


def test_an_encoder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no-encoder"):
        match_diagnoses([["Shock"]], DISEASES, EmbeddingMatcher(tmp_path / "no-encoder"))
