"""One patient in, a diagnosis and its explanation out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinragen.explain_config import ExplainConfig
from dataset_builder.contract.lab_csv import read_lab_csv
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.errors import StageError

if TYPE_CHECKING:
    from modeling_clinragen.generation_clinragen import DiseaseListConstraint
    from modeling_clinragen.vocabulary_clinragen import RangeSet, Vocabulary


@dataclass(frozen=True)
class Explanation:
    """The model's answer for one patient.

    Args:
        diagnoses: Names of the diseases in the generated list.
        rationale: The generated rationale.
        text: The whole generated text.
        problem: The format error of the text, if any.
        probabilities: Where requested, the probability of each disease given the others that the model listed (see
            `score_diseases`).
    """

    diagnoses: tuple[str, ...]
    rationale: str
    text: str
    problem: str | None
    probabilities: Mapping[str, float] | None = None


class Explainer:
    """A loaded model that explains single patients, on this machine only.

    Args:
        model, processor: A ClinRaGen model and its processor.
        config: How patients are explained. A greedy output that is well formed is the same with and without
            `constrained`.

    Attributes:
        vocabulary: The model's variables and diseases.
        range_set: The normal ranges that its rationales are written with.

    Raises:
        SettingsError: The processor has no vocabulary, or another one than the model's config.
    """

    def __init__(self, model: Any, processor: Any, config: ExplainConfig | None = None) -> None:
        self.vocabulary: Vocabulary = processor.require_vocabulary(model.config, "the model")
        self.range_set: RangeSet = self.vocabulary.range_set(processor.range_set)
        self.model = model.eval()
        self.processor = processor
        self.config = config if config is not None else ExplainConfig()

    @classmethod
    def from_pretrained(cls, folder: str | Path, config: ExplainConfig | None = None, **settings: Any) -> Explainer:
        """Load a model folder or Hub id.

        Args:
            folder: The folder or id.
            config: How patients are explained; or give its settings as keywords, such as `probabilities=True`.

        Raises:
            InputDataError: The checkpoint lacks weights.
            SettingsError: An older version wrote the folder, which has no vocabulary.
            StageError: There is no ClinRaGen model.
        """
        from safetensors import SafetensorError
        from transformers import AutoModel, AutoProcessor

        from modeling_clinragen.pretrained_clinragen import require_whole
        from modeling_clinragen.registration import register_auto_classes

        register_auto_classes()
        try:
            model, found = AutoModel.from_pretrained(folder, output_loading_info=True)
            processor = AutoProcessor.from_pretrained(folder)
        except (OSError, ValueError, SafetensorError) as error:
            raise StageError(
                f"{folder}: no model could be loaded; give a folder that `clinragen train` or `quickstart` made"
            ) from error
        if model.config.model_type != "clinragen":
            raise StageError(f"{folder}: is a '{model.config.model_type}' model; give a ClinRaGen model")
        require_whole(folder, found)
        if model.config.lora is not None:
            # Nothing is trained any more, and a separate adapter costs a sixth of every token's time.
            model.merge_adapters()
        return cls(model, processor, config if config is not None else ExplainConfig(**settings))

    @cached_property
    def _constraint(self) -> DiseaseListConstraint:
        from modeling_clinragen.generation_clinragen import DiseaseListConstraint

        return DiseaseListConstraint(self.processor, self.model.config)

    def read_labs(self, path: Path) -> LabSeries:
        """Read a CSV of labs and vitals in the model's vocabulary.

        Raises:
            InputDataError: The file is malformed, or has a column that is not one of the model's variables; the
                message names the row or lists the known columns.
        """
        return read_lab_csv(path, self.vocabulary)

    def explain(self, note: str, series: LabSeries | None) -> Explanation:
        """Diagnose one patient.

        Args:
            note: The note; "" where there is none.
            series: The measurements in the model's vocabulary, or None where there are none.

        Raises:
            ModelInputError: The series is too long for the model (see `ClinRaGenLabFeatureExtractor.describe`).
            SettingsError: The series has other variables than the model or another order or units of them (the message
                has both lists); the model has no diseases, or its layout does not allow to score them.
        """
        if series is not None:
            # A series says nothing about diseases, so only the variables are compared.
            measured = replace(series.vocabulary, diseases=self.vocabulary.diseases)
            self.vocabulary.require_same(measured, "the model", "the series")
        given = {"hours": series.hours, "values": series.values} if series is not None else None
        inputs = self.processor(note=[note], series=[given]).to(self.model.device)
        allowed = [self._constraint] if self.config.constrained else []
        beams = self.config.num_beams
        generated = self.model.generate(**inputs, do_sample=False, num_beams=beams, logits_processor=allowed)
        text = self.processor.tokenizer.decode(generated[0], skip_special_tokens=True).strip()
        parsed = self.processor.parse(text)
        scores = self._scores(inputs, parsed.diagnoses) if self.config.probabilities else None
        return Explanation(parsed.diagnoses, parsed.rationale, text, parsed.problem, scores)

    def _scores(self, inputs: Any, listed: tuple[str, ...]) -> dict[str, float]:
        from modeling_clinragen.generation_clinragen import score_diseases

        diseases = self.model.config.diseases
        # Without constraint the model may have generated a name that is not in its vocabulary.
        given = [name for name in listed if name in diseases]
        scores = score_diseases(self.model, self.processor, dict(inputs), [given])
        return dict(zip(diseases, scores[0].tolist(), strict=True))
