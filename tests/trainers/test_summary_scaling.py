"""Summary statistics are standardised by the training split, so that a small course beside great differences shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_examples import tiny_splits
from tiny_training import SETTINGS, SHAPE, TERMS

from dataset_builder.contract.arrays import series_column
from dataset_builder.contract.cohort_splits import CohortSplits
from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration
from modeling_clinragen.summary_encoder_clinragen import MISSING, SUMMARY_STATISTICS, summary_statistics
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.build_model import ModelConfig, build_model


@pytest.fixture(scope="module")
def wide(vocabulary: Vocabulary) -> CohortSplits:
    """More patients than are read at once."""
    return tiny_splits(vocabulary, 300)


@pytest.fixture(scope="module")
def model_of(wide: CohortSplits, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    shape = tmp_path_factory.mktemp("shape") / "t5.json"
    shape.write_text(json.dumps(SHAPE))
    return build_model(ModelConfig(scratch=shape, **SETTINGS, lab_summary=True), wide, TERMS, 0)


def statistics(model: Any, processor: Any, series: list[Any]) -> torch.Tensor:
    features = processor.feature_extractor(series, return_tensors="pt")
    return summary_statistics(features["lab_features"], features["lab_mask"], model.summary_encoder.bounds)


def test_scaling_is_that_of_the_measured_patients_of_the_training_split(
    model_of: tuple[Any, Any], wide: CohortSplits
) -> None:
    """Recomputed one patient at a time, in numpy."""
    model, processor = model_of
    encoder = model.summary_encoder
    rows = np.stack([statistics(model, processor, [one])[0].numpy() for one in series_column(wide["train"])])
    assert 0 < rows[:, :, MISSING].sum() < rows[:, :, MISSING].size / 4
    for variable in range(rows.shape[1]):
        measured = rows[rows[:, variable, MISSING] == 0, variable].astype(np.float64)
        mean, deviation = measured.mean(axis=0), measured.std(axis=0)
        mean[MISSING], deviation[MISSING] = 0, 1
        deviation[deviation < 1e-3] = 1
        assert np.allclose(encoder.centre[variable], mean, atol=1e-5)
        assert np.allclose(encoder.scale[variable], deviation, rtol=1e-4, atol=1e-6)


def test_what_the_first_layer_reads_is_bounded_and_0_where_nothing_was_measured(
    model_of: tuple[Any, Any], wide: CohortSplits
) -> None:
    model, processor = model_of
    found = statistics(model, processor, series_column(wide["test"]))
    read = model.summary_encoder.standardised(found)
    missing = found[..., MISSING] == 1
    assert missing.any()
    assert not missing.all()
    assert torch.equal(read[..., MISSING], found[..., MISSING])
    others = [index for index in range(len(SUMMARY_STATISTICS)) if index != MISSING]
    assert (read[missing][:, others] == 0).all()
    assert read.abs().max() <= 6
    assert 0.8 < read[~missing][:, SUMMARY_STATISTICS.index("mean")].std() < 1.2


def test_a_gain_of_weight_counts_for_a_light_and_a_heavy_patient(
    model_of: tuple[Any, Any], vocabulary: Vocabulary
) -> None:
    """Two kilograms in two days: a tenth of the differences between patients, yet the course reads alike in both."""
    model, processor = model_of
    column = vocabulary.variable_keys.index("weight")

    def read(start: float) -> torch.Tensor:
        values = np.full((6, len(vocabulary.variables)), np.nan)
        values[:, column] = np.linspace(start, start + 2, 6)
        found = statistics(model, processor, [{"hours": np.linspace(0, 40, 6), "values": values}])
        return model.summary_encoder.standardised(found)[0, column]

    light, heavy = read(75.0), read(85.0)
    course = [SUMMARY_STATISTICS.index(name) for name in ("slope", "deviation", "mean_1", "mean_4", "step_mean")]
    assert torch.allclose(light[course], heavy[course], atol=1e-3)
    level = SUMMARY_STATISTICS.index("mean")
    assert (heavy[level] - light[level]).abs() > 0.1


def test_scaling_is_saved_with_the_model(model_of: tuple[Any, Any], tmp_path: Path) -> None:
    model, _ = model_of
    model.save_pretrained(tmp_path)
    again = ClinRaGenForConditionalGeneration.from_pretrained(tmp_path)
    assert torch.equal(again.summary_encoder.centre, model.summary_encoder.centre)
    assert torch.equal(again.summary_encoder.scale, model.summary_encoder.scale)
    assert not torch.equal(again.summary_encoder.scale, torch.ones_like(again.summary_encoder.scale))
