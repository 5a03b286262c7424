"""Calibration of the disease head: temperatures by likelihood, thresholds by F1, each modality for itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_examples import tiny_splits

from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.calibration import best_temperature, calibrate_head, head_logits
from trainers.data import PhaseExamples
from trainers.phases import phase_named


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_a_temperature_undoes_overconfidence(true: float) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = 2 * torch.randn(4000, 5, generator=generator)
    labels = (torch.rand(logits.shape, generator=generator) < logits.sigmoid()).float()
    assert best_temperature(logits * true, labels) == pytest.approx(true, rel=0.1)


def test_each_modality_is_calibrated_on_what_it_is_shown(
    make_model: Any, make_processor: Any, vocabulary: Vocabulary
) -> None:
    model, processor = make_model("t5", lab_summary=True, disease_head=True), make_processor()
    both = phase_named("multimodal")
    items = PhaseExamples(tiny_splits(vocabulary, 60)["train"], both, processor).items
    labels = torch.tensor([[name in item["diagnoses"] for name in vocabulary.disease_names] for item in items]).float()
    model.disease_head.start_from(torch.randn(len(vocabulary.disease_names), 32), labels.mean(dim=0))
    with torch.no_grad():
        model.disease_head.weight.normal_(std=0.5, generator=torch.Generator().manual_seed(2))
    calibrate_head(model, processor, items, both, batch_size=7)
    head = model.disease_head
    assert len(set(head.temperatures.tolist())) > 1
    for place, (note, labs) in enumerate(((True, True), (True, False), (False, True))):
        logits = head_logits(model, processor, items, note=note, labs=labs)
        assert head.temperatures[place] == pytest.approx(best_temperature(logits, labels), rel=1e-4)
    # Batches change nothing.
    assert torch.allclose(
        head_logits(model, processor, items, batch_size=3), head_logits(model, processor, items), atol=1e-4
    )


def test_a_phase_that_reads_one_modality_leaves_the_others_as_they_are(
    make_model: Any, make_processor: Any, vocabulary: Vocabulary
) -> None:
    model, processor = make_model("t5", disease_head=True), make_processor()
    with torch.no_grad():
        model.disease_head.weight.normal_(std=0.3, generator=torch.Generator().manual_seed(2))
    note = phase_named("note")
    items = PhaseExamples(tiny_splits(vocabulary, 60)["train"], note, processor).items
    calibrate_head(model, processor, items, note)
    assert model.disease_head.temperatures[0] == model.disease_head.temperatures[2] == 1.0
    assert model.disease_head.temperatures[1] != 1.0
    before = model.disease_head.thresholds.clone()
    calibrate_head(model, processor, [], note)
    assert torch.equal(model.disease_head.thresholds, before)
