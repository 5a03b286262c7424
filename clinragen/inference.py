"""One patient in, a diagnosis and its explanation out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_builder.lab_series import LabSeries
from modeling_clinragen.errors import StageError


@dataclass(frozen=True)
class Explanation:
    """What the model says of one patient. `problem` names what is malformed in the generated text, if anything."""

    diagnoses: tuple[str, ...]
    rationale: str
    text: str
    problem: str | None


class Explainer:
    """A loaded model that explains single patients, on this machine only."""

    def __init__(self, model: Any, processor: Any) -> None:
        self.model = model.eval()
        self.processor = processor

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Explainer:
        """Load a model folder or Hub id. Raises `StageError` when there is no ClinRaGen model."""
        from transformers import AutoModel, AutoProcessor

        from modeling_clinragen.registration import register_auto_classes

        register_auto_classes()
        try:
            model = AutoModel.from_pretrained(folder)
            processor = AutoProcessor.from_pretrained(folder)
        except (OSError, ValueError) as error:
            raise StageError(
                f"{folder}: holds no model that can be loaded; give a folder made by `clinragen train` or `quickstart`"
            ) from error
        if model.config.model_type != "clinragen":
            raise StageError(f"{folder}: is a '{model.config.model_type}' model, not a ClinRaGen model")
        return cls(model, processor)

    def explain(self, note: str, series: LabSeries | None, *, num_beams: int = 1) -> Explanation:
        """Diagnose one patient.

        Args:
            note: The note; "" when there is none.
            series: The measurements, or None when there are none.
            num_beams: Beams of the search; 1 is greedy.

        Raises:
            ModelInputError: The series does not fit the model (see `ClinRaGenLabFeatureExtractor.describe`).
        """
        given = {"hours": series.hours, "values": series.values} if series is not None else None
        inputs = self.processor(note=[note], series=[given]).to(self.model.device)
        generated = self.model.generate(**inputs, do_sample=False, num_beams=num_beams)
        text = self.processor.tokenizer.decode(generated[0], skip_special_tokens=True).strip()
        parsed = self.processor.parse(text)
        return Explanation(parsed.diagnoses, parsed.rationale, text, parsed.problem)
