"""Registers ClinRaGen in transformers' Auto classes. Not saved with a model, which has its own auto map."""

from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForSeq2SeqLM,
    AutoModelForTextEncoding,
    AutoProcessor,
)

from .configuration_clinragen import ClinRaGenConfig
from .feature_extraction_clinragen import ClinRaGenLabFeatureExtractor
from .modeling_clinragen import ClinRaGenForConditionalGeneration, ClinRaGenModel
from .processing_clinragen import ClinRaGenProcessor


def register_auto_classes() -> None:
    """Register configuration, model and processor, so that `from_pretrained` needs no `trust_remote_code`."""
    AutoConfig.register("clinragen", ClinRaGenConfig, exist_ok=True)
    AutoModel.register(ClinRaGenConfig, ClinRaGenForConditionalGeneration, exist_ok=True)
    AutoModelForSeq2SeqLM.register(ClinRaGenConfig, ClinRaGenForConditionalGeneration, exist_ok=True)
    AutoModelForTextEncoding.register(ClinRaGenConfig, ClinRaGenModel, exist_ok=True)
    AutoFeatureExtractor.register(ClinRaGenConfig, ClinRaGenLabFeatureExtractor, exist_ok=True)
    AutoProcessor.register(ClinRaGenConfig, ClinRaGenProcessor, exist_ok=True)
