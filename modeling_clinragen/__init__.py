"""The ClinRaGen model: configuration, features, processing and modeling. Flat, so that a saved model can carry it."""

from importlib import import_module
from typing import Any

_EXPORTS = {
    "ClinRaGenConfig": "configuration_clinragen",
    "ClinRaGenLabEncoder": "lab_encoder_clinragen",
    "ClinRaGenKnowledgeAttention": "knowledge_attention_clinragen",
    "ClinRaGenLabFeatureExtractor": "feature_extraction_clinragen",
    "ClinRaGenProcessor": "processing_clinragen",
    "ParsedOutput": "processing_clinragen",
    "ClinRaGenForConditionalGeneration": "modeling_clinragen",
    "ClinRaGenModel": "modeling_clinragen",
    "ClinRaGenOutput": "output_clinragen",
    "ClinRaGenPreTrainedModel": "pretrained_clinragen",
    "ExportableDecoder": "export_clinragen",
    "ExportableEncoder": "export_clinragen",
    "KnowledgeMap": "knowledge_map_clinragen",
    "map_knowledge": "knowledge_map_clinragen",
    "DiseaseListConstraint": "generation_clinragen",
    "ClinicalRationalePipeline": "pipeline_clinragen",
    "Facts": "grounding_clinragen",
    "GroundedConstraint": "grounded_clinragen",
    "TargetReader": "grounded_clinragen",
    "Vocabulary": "vocabulary_clinragen",
    "score_diseases": "generation_clinragen",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:
    # Lazy: importing the package must not import torch, since the command line and the data tools share its errors.
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # `from_pretrained` of these classes goes through the Auto classes.
    import_module(".registration", __name__).register_auto_classes()
    return getattr(import_module(f".{_EXPORTS[name]}", __name__), name)
