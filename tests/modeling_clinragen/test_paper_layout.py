"""The lab layout of the authors' code: fixed rows, imputed and mixed, against a few lines of NumPy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_inputs import NOTES, TARGETS, in_layout, three_stays
from tiny_examples import tiny_splits

from dataset_builder.contract.definitions import shipped_definitions
from modeling_clinragen import ClinRaGenConfig, ClinRaGenLabEncoder, ClinRaGenLabFeatureExtractor
from modeling_clinragen.errors import ModelInputError, SettingsError
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.build_model import ModelConfig, build_model

VARIABLES = shipped_definitions().vocabulary.variables
FILLS = [variable.fill for variable in VARIABLES]
STATISTICS: dict[str, Any] = {
    "variables": [variable.key for variable in VARIABLES],
    "units": [variable.unit for variable in VARIABLES],
    "means": [fill + 1 for fill in FILLS],
    # Wide enough that nothing is clipped.
    "stds": [40.0] * 11,
}


def authors_patches(values: np.ndarray) -> np.ndarray:
    """`(steps, 11)` with NaN to `(125, 11, 8)`, as the paper's public code does."""
    filled = np.where(np.isnan(values), FILLS, values)[:1000]
    rows = np.concatenate([filled, np.repeat(filled[-1:], 1000 - len(filled), axis=0)])
    return ((rows - STATISTICS["means"]) / 40.0).reshape(125, 11, 8)


@pytest.mark.parametrize("steps", [1, 9, 1000, 1203])
def test_patches_are_those_of_the_authors_code(steps: int, make_series: Any) -> None:
    series = make_series(steps, steps)
    extractor = ClinRaGenLabFeatureExtractor(**STATISTICS, lab_layout="paper", fills=FILLS)
    features = extractor([series], return_tensors="pt")
    assert features["lab_features"].shape == (1, 1000, 11, 1)
    assert bool(features["lab_mask"].all())
    assert extractor.num_positions(steps) == 125
    lab = {"num_input_channels": 11, "patch_length": 8, "patch_stride": 8, "context_length": 1000}
    small = {"d_model": 16, "num_attention_heads": 2, "ffn_dim": 16, "num_hidden_layers": 1, "norm_type": "layernorm"}
    encoder = ClinRaGenLabEncoder(ClinRaGenConfig(lab_config=lab | small, lab_layout="paper"))
    read: list[torch.Tensor] = []
    encoder.patchtst.encoder.embedder.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    vectors, mask = encoder(features["lab_features"], features["lab_mask"])
    assert vectors.shape[:2] == mask.shape == (1, 125)
    # (batch, variables, patches, patch) there, (patches, variables, patch) here
    np.testing.assert_allclose(read[0][0].transpose(0, 1), authors_patches(series["values"]), rtol=1e-5, atol=1e-5)


def test_a_stay_without_series_has_the_fill_values_all_the_time() -> None:
    extractor = ClinRaGenLabFeatureExtractor(**STATISTICS, lab_layout="paper", fills=FILLS)
    for nothing in (None, {"hours": [], "values": []}):
        features = extractor([nothing])["lab_features"]
        np.testing.assert_allclose(features, np.full((1, 1000, 11, 1), -1 / 40), rtol=1e-5)


def test_the_default_configuration_of_the_layout_has_the_papers_numbers() -> None:
    config = ClinRaGenConfig(lab_layout="paper")
    assert (config.lab_step_features, config.lab_max_steps, config.lab_patch_steps) == (1, 1000, 8)


def test_a_model_of_the_layout_learns_generates_and_comes_back(
    make_model: Any, make_processor: Any, make_series: Any, tmp_path: Path
) -> None:
    model, processor = in_layout("paper", make_model, make_processor)
    inputs = processor(NOTES, three_stays(make_series), TARGETS)
    loss = model(**inputs).loss
    loss.backward()
    assert model.lab_encoder.projection.weight.grad.abs().any()
    processor.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path).eval()
    again = type(processor).from_pretrained(tmp_path)(NOTES, three_stays(make_series), TARGETS)
    torch.testing.assert_close(loaded(**again).loss, loss)
    del again["labels"]
    assert model.generate(**again, max_new_tokens=3).shape[0] == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [("norm_type", "batchnorm"), ("scaling", "std"), ("do_mask_input", True), ("use_cls_token", True)],
)
def test_what_the_lab_encoder_does_not_do_cannot_be_configured(name: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=f"lab_config.{name} is '{value}'"):
        ClinRaGenConfig(lab_config={**ClinRaGenConfig().lab_config.to_dict(), name: value})


def test_layouts_that_cannot_work_are_refused(make_model: Any, make_processor: Any, make_series: Any) -> None:
    with pytest.raises(SettingsError, match="unknown lab_layout 'flat'"):
        ClinRaGenConfig(lab_layout="flat")
    with pytest.raises(SettingsError, match="unknown lab_layout 'flat'"):
        ClinRaGenLabFeatureExtractor(lab_layout="flat")
    with pytest.raises(SettingsError, match="lab_step_features is 4"):
        ClinRaGenConfig(lab_layout="paper", lab_step_features=4)
    with pytest.raises(SettingsError, match="11 variables but 0 fills"):
        ClinRaGenLabFeatureExtractor(**STATISTICS, lab_layout="paper")
    model, processor = in_layout("paper", make_model, make_processor)
    features = processor.feature_extractor([make_series(9)], return_tensors="pt")
    with pytest.raises(ModelInputError, match="60 steps but the lab layout 'paper' needs 64"):
        model.get_lab_vectors(features["lab_features"][:, :60], features["lab_mask"][:, :60])


@pytest.mark.parametrize(("layout", "fusion"), [("paper", "attention"), ("patches", "tokens")])
def test_training_builds_what_the_model_config_asks_for(
    layout: str, fusion: str, make_series: Any, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    (tmp_path / "t5.json").write_text(json.dumps({"model_type": "t5", "d_model": 16, "num_layers": 1, "num_heads": 2}))
    series = make_series(9)
    settings = ModelConfig(
        scratch=tmp_path / "t5.json", vocab_size=400, lab_layout=layout, knowledge_fusion=fusion, lab_max_steps=64
    )
    model, processor = build_model(settings, tiny_splits(vocabulary), ["fever", "cough"], 0)
    inputs = processor(["Fever."], [series], ["x"])
    read = model.eval()(**inputs, return_knowledge_weights=True)
    assert torch.isfinite(read.loss)
    assert inputs["lab_features"].shape[1:] == ((64, 11, 1) if layout == "paper" else (9, 11, 4))
    assert (read.knowledge_weights is None) == (fusion == "tokens")
    assert model.config.num_knowledge_tokens > 0
