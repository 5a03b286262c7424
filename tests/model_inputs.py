"""Inputs that several tests of the model share: three patients, models in both lab layouts, visible weights."""

from __future__ import annotations

from typing import Any

from torch import nn

from modeling_clinragen.feature_extraction_clinragen import ClinRaGenLabFeatureExtractor
from modeling_clinragen.vocabulary_clinragen import Vocabulary

NOTES = ["Dyspnea and fever.", "", "No chest pain. History of hypertension and diabetes, now with cough."]
TARGETS = ["### Disease Diagnosed: Shock. ### Rationale: heart rate is high", "### Disease Diagnosed: x.", "a b c"]


def three_stays(make_series: Any) -> list[Any]:
    """The series of `NOTES`: two that fill no whole number of patches, and none at all."""
    return [make_series(9, 1), make_series(3, 2), None]


def randomise(model: nn.Module, *parts: str) -> Any:
    """Give every parameter with one of `parts` in its name random values, and return the model."""
    for name, parameter in model.named_parameters():
        if any(part in name for part in parts):
            nn.init.normal_(parameter, std=0.1)
    return model


def in_layout(
    layout: str, make_model: Any, make_processor: Any, *, vocabulary: Vocabulary | None = None, **settings: Any
) -> tuple[Any, Any]:
    """A tiny model and its processor in a lab layout; `settings` are the model's."""
    chosen = {} if vocabulary is None else {"vocabulary": vocabulary}
    processor = make_processor(**chosen)
    if layout == "paper":
        extractor = processor.feature_extractor
        names = ("variables", "units", "means", "stds", "max_steps", "patch_steps")
        own = {name: getattr(extractor, name) for name in names}
        fills = [variable.fill for variable in processor.vocabulary.variables]
        processor.feature_extractor = ClinRaGenLabFeatureExtractor(**own, lab_layout="paper", fills=fills)
        # As many steps as in the other layout, each of one number instead of four.
        lab = make_model("t5", **chosen).config.lab_config.to_dict()
        lab |= {"patch_length": 4, "patch_stride": 4, "context_length": 64}
        settings |= {"lab_layout": "paper", "lab_config": lab}
    return make_model("t5", **chosen, **settings), processor
