"""Probabilities of diseases against the model's own likelihoods, one list at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from model_inputs import NOTES

from modeling_clinragen import score_diseases
from modeling_clinragen.errors import ModelInputError, SettingsError
from modeling_clinragen.vocabulary_clinragen import Vocabulary


def test_a_diseases_probability_is_the_odds_of_the_two_lists(
    make_model: Any, make_processor: Any, make_series: Any, vocabulary: Vocabulary
) -> None:
    model, processor = make_model("t5"), make_processor()
    names = list(vocabulary.disease_names)
    model.config.diseases = names
    inputs = processor(NOTES[:2], [make_series(9, 1), None])
    # In another order: the scored list is always in the order of the vocabulary.
    lists = [[names[12], names[3]], []]
    found = score_diseases(model, processor, dict(inputs), lists)
    assert found.shape == (2, len(names))

    def likelihood(row: int, kept: list[str]) -> float:
        text = processor.target([name for name in names if name in kept])
        ids = processor.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        one = processor(NOTES[row], [[make_series(9, 1), None][row]])
        return -model(**one, labels=ids).loss.item() * ids.shape[1]

    for row, name in ((0, names[3]), (0, names[5]), (1, names[0]), (1, names[24])):
        others = [other for other in lists[row] if other != name]
        odds = likelihood(row, [*others, name]) - likelihood(row, others)
        expected = 1 / (1 + np.exp(-odds))
        assert float(found[row, names.index(name)]) == pytest.approx(expected, rel=1e-3, abs=1e-5)

    with pytest.raises(ModelInputError, match="'Gout' is not one of the model's 25 diseases"):
        score_diseases(model, processor, dict(inputs), [["Gout"], []])
    with pytest.raises(SettingsError, match="rationale-first"):
        score_diseases(model, make_processor(layout="rationale-first"), dict(inputs), lists)
    model.config.diseases = []
    with pytest.raises(SettingsError, match=r"config\.diseases is empty"):
        score_diseases(model, processor, dict(inputs), lists)
