"""Registers ClinRaGen in transformers' Auto classes. Not saved with a model, which has its own auto map."""

from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForMultimodalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForTextEncoding,
    AutoProcessor,
)
from transformers.pipelines import PIPELINE_REGISTRY

from .configuration_clinragen import ClinRaGenConfig
from .custom_tasks_clinragen import TASK
from .feature_extraction_clinragen import ClinRaGenLabFeatureExtractor
from .modeling_clinragen import ClinRaGenForConditionalGeneration, ClinRaGenModel
from .pipeline_clinragen import ClinicalRationalePipeline
from .processing_clinragen import ClinRaGenProcessor


def register_auto_classes() -> None:
    """Register configuration, model, processor and pipeline.

    `from_pretrained` and `pipeline` need no `trust_remote_code` then.
    """
    AutoConfig.register("clinragen", ClinRaGenConfig, exist_ok=True)
    AutoModel.register(ClinRaGenConfig, ClinRaGenForConditionalGeneration, exist_ok=True)
    AutoModelForSeq2SeqLM.register(ClinRaGenConfig, ClinRaGenForConditionalGeneration, exist_ok=True)
    AutoModelForMultimodalLM.register(ClinRaGenConfig, ClinRaGenForConditionalGeneration, exist_ok=True)
    AutoModelForTextEncoding.register(ClinRaGenConfig, ClinRaGenModel, exist_ok=True)
    AutoFeatureExtractor.register(ClinRaGenConfig, ClinRaGenLabFeatureExtractor, exist_ok=True)
    AutoProcessor.register(ClinRaGenConfig, ClinRaGenProcessor, exist_ok=True)
    # A stand-in may be there, which transformers would warn of.
    PIPELINE_REGISTRY.supported_tasks.pop(TASK, None)
    PIPELINE_REGISTRY.register_pipeline(
        TASK, pipeline_class=ClinicalRationalePipeline, pt_model=(AutoModelForSeq2SeqLM,), type="multimodal"
    )
