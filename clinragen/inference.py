"""One patient in, a diagnosis and its explanation out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.errors import StageError

if TYPE_CHECKING:
    from modeling_clinragen.generation_clinragen import DiseaseListConstraint


@dataclass(frozen=True)
class Explanation:
    """What the model says of one patient. `problem` names what is malformed in the generated text, if anything.

    `probabilities` holds, where they were asked for, how probable each configured disease is, given the others that
    the model listed (see `score_diseases`).
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
        constrained: Let the list of diseases hold configured names only, each once. A greedy output that is well
            formed anyway is the same with and without.
        probabilities: Also score every configured disease.
    """

    def __init__(self, model: Any, processor: Any, *, constrained: bool = True, probabilities: bool = False) -> None:
        self.model = model.eval()
        self.processor = processor
        self.constrained = constrained
        self.probabilities = probabilities

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, *, constrained: bool = True, probabilities: bool = False
    ) -> Explainer:
        """Load a model folder or Hub id.

        Raises:
            InputDataError: The checkpoint lacks weights.
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
                f"{folder}: holds no model that can be loaded; give a folder made by `clinragen train` or `quickstart`"
            ) from error
        if model.config.model_type != "clinragen":
            raise StageError(f"{folder}: is a '{model.config.model_type}' model, not a ClinRaGen model")
        require_whole(folder, found)
        if model.config.lora is not None:
            # Nothing learns any more, and an adapter beside its weights costs a sixth of every token's time.
            model.merge_adapters()
        return cls(model, processor, constrained=constrained, probabilities=probabilities)

    @cached_property
    def _constraint(self) -> DiseaseListConstraint:
        from modeling_clinragen.generation_clinragen import DiseaseListConstraint

        return DiseaseListConstraint(self.processor, self.model.config)

    def explain(self, note: str, series: LabSeries | None, *, num_beams: int = 1) -> Explanation:
        """Diagnose one patient.

        Args:
            note: The note; "" when there is none.
            series: The measurements, or None when there are none.
            num_beams: Beams of the search; 1 is greedy.

        Raises:
            ModelInputError: The series does not fit the model (see `ClinRaGenLabFeatureExtractor.describe`).
            SettingsError: The model names no diseases to choose from, or its layout does not allow to score them.
        """
        given = {"hours": series.hours, "values": series.values} if series is not None else None
        inputs = self.processor(note=[note], series=[given]).to(self.model.device)
        allowed = [self._constraint] if self.constrained else []
        generated = self.model.generate(**inputs, do_sample=False, num_beams=num_beams, logits_processor=allowed)
        text = self.processor.tokenizer.decode(generated[0], skip_special_tokens=True).strip()
        parsed = self.processor.parse(text)
        scores = self._scores(inputs, parsed.diagnoses) if self.probabilities else None
        return Explanation(parsed.diagnoses, parsed.rationale, text, parsed.problem, scores)

    def _scores(self, inputs: Any, listed: tuple[str, ...]) -> dict[str, float]:
        from modeling_clinragen.disease_scoring_clinragen import score_diseases

        diseases = self.model.config.diseases
        # A name that the model made up is none of those that can be given.
        given = [name for name in listed if name in diseases]
        scores = score_diseases(self.model, self.processor, dict(inputs), [given])
        return dict(zip(diseases, scores[0].tolist(), strict=True))
