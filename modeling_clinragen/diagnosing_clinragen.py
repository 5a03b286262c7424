"""Diagnosing with a disease head: how probable each disease is, and which ones are listed, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .disease_head_clinragen import MODALITIES
from .errors import ModelInputError, SettingsError
from .prefix_clinragen import prefixes_can_be_padded


class WithDiseaseHead:
    """Diagnosing for a ClinRaGen model; needs its `encode`, `_encode`, `config` and `disease_head`."""

    config: Any
    disease_head: Any

    def require_disease_head(self) -> Any:
        """The disease head. Raises `SettingsError` where there is none."""
        if self.disease_head is None:
            raise SettingsError(
                "this model has no disease head; train one with disease_head: true, or score the diseases with "
                "score_diseases"
            )
        return self.disease_head

    @torch.no_grad()
    def diagnose(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        lab_features: torch.Tensor | None = None,
        lab_mask: torch.Tensor | None = None,
        *,
        encoded: tuple[torch.Tensor, torch.Tensor] | None = None,
        modality: str | Sequence[str] = "both",
    ) -> torch.Tensor:
        """Calibrated probabilities of the diseases, `(batch, diseases)`, in one pass.

        Args:
            input_ids, attention_mask, lab_features, lab_mask: As in `forward`.
            encoded: The outcome of `encode`, instead of the inputs.
            modality: What the patients are given by, one of `MODALITIES` for all or for each (see
                `ClinRaGenProcessor.modality`): each has its own calibration.

        Raises:
            SettingsError: The model has no disease head.
            ModelInputError: A modality is unknown.
        """
        head = self.require_disease_head()
        if encoded is None:
            encoded = self.encode(input_ids, attention_mask, lab_features, lab_mask)  # type: ignore[attr-defined]
        logits = self.disease_logits(encoded)
        rows = _rows_of(modality, len(logits)).to(logits.device)
        return (logits / head.temperatures[rows, None].float()).sigmoid()

    @torch.no_grad()
    def disease_logits(self, encoded: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """The head's logits `(batch, diseases)` before calibration, of the outcome of `encode`."""
        states, mask = encoded
        if not self.config.is_encoder_decoder:
            states, mask = self._encode(states, mask)  # type: ignore[attr-defined]
        return self.require_disease_head()(states, mask)

    @torch.no_grad()
    def listed(self, probabilities: torch.Tensor, modality: str | Sequence[str] = "both") -> list[tuple[str, ...]]:
        """Names of the diseases whose probability reaches their threshold, for each patient, in label order.

        Args:
            probabilities: As `diagnose` gives them.
            modality: As for `diagnose`.
        """
        thresholds = self.require_disease_head().thresholds.float()
        rows = _rows_of(modality, len(probabilities)).to(thresholds.device)
        found = (probabilities.to(thresholds.device) >= thresholds[rows]).tolist()
        return [tuple(name for name, yes in zip(self.config.diseases, row, strict=True) if yes) for row in found]


@torch.no_grad()
def diagnose_patients(model: Any, processor: Any, patients: Sequence[tuple[str | None, Any]]) -> torch.Tensor:
    """Probabilities `(patients, diseases)` of a batch of patients, each with the calibration of what is given of it.

    Args:
        model, processor: A `ClinRaGenForConditionalGeneration` with a disease head, and its processor.
        patients: Note and series of each, as the processor takes them; None for one that is not given.
    """
    labs = [series for _, series in patients] if any(series is not None for _, series in patients) else None
    inputs = processor([note or "" for note, _ in patients], labs, warn=False).to(model.device)
    return model.diagnose(**inputs, modality=[processor.modality(*one) for one in patients]).cpu()


@torch.no_grad()
def write_targets(
    model: Any, processor: Any, notes: Sequence[str | None], series: Sequence[Any], **kwargs: Any
) -> list[str]:
    """Generate one target for each patient, without any constraint; by `config.list_from` the head lists its diseases.

    Args:
        model, processor: A `ClinRaGenForConditionalGeneration` and its processor.
        notes, series: As the processor takes them; None for a modality that is not given.
        kwargs: Options of `generate`.
    """
    labs = list(series) if any(one is not None for one in series) else None
    inputs = processor([note or "" for note in notes], labs, warn=False).to(model.device)
    decode, tokenizer = processor.tokenizer.batch_decode, processor.tokenizer
    if model.config.list_from == "decoder":
        return [text.strip() for text in decode(model.generate(**inputs, **kwargs), skip_special_tokens=True)]
    states, mask = model.encode(**inputs)
    modality = [processor.modality(note, one) for note, one in zip(notes, series, strict=True)]
    listed = model.listed(model.diagnose(encoded=(states, mask), modality=modality), modality)
    written = [""] * len(listed)
    for rows, prefix, known in listed_prefixes(model, processor, listed):
        chosen = torch.tensor(rows, device=states.device)
        generated = model.generate(
            encoded=(states[chosen], mask[chosen]), target_prefix=prefix, target_prefix_mask=known, **kwargs
        )
        whole = torch.cat((prefix, generated[:, 1:] if model.config.is_encoder_decoder else generated), dim=1)
        for row, ids, given in zip(rows, whole.tolist(), known.tolist(), strict=True):
            written[row] = tokenizer.decode(ids[given.index(1) :], skip_special_tokens=True).strip()
    return written


def listed_prefixes(
    model: Any, processor: Any, listed: Sequence[Sequence[str]]
) -> list[tuple[list[int], torch.Tensor, torch.Tensor]]:
    """The beginnings of targets that list these diseases: rows, tokens padded on the left, and their mask.

    They are one batch, or where the decoder counts padding one for each length.
    """
    tokens = [processor.list_ids(names) for names in listed]
    if prefixes_can_be_padded(model.language_model):
        groups = [list(range(len(tokens)))]
    else:
        lengths = sorted({len(ids) for ids in tokens})
        groups = [[row for row, ids in enumerate(tokens) if len(ids) == length] for length in lengths]
    batches = []
    for rows in groups:
        longest = max(len(tokens[row]) for row in rows)
        prefix = torch.full((len(rows), longest), processor.tokenizer.eos_token_id)
        known = torch.zeros_like(prefix)
        for place, row in enumerate(rows):
            prefix[place, longest - len(tokens[row]) :] = torch.tensor(tokens[row])
            known[place, longest - len(tokens[row]) :] = 1
        batches.append((rows, prefix.to(model.device), known.to(model.device)))
    return batches


def _rows_of(modality: str | Sequence[str], patients: int) -> torch.Tensor:
    each = [modality] * patients if isinstance(modality, str) else list(modality)
    unknown = sorted(set(each) - set(MODALITIES))
    if unknown or len(each) != patients:
        raise ModelInputError(
            f"modality is '{unknown[0]}'; give one of {', '.join(MODALITIES)}"
            if unknown
            else f"{len(each)} modalities are given for {patients} patients; give one for all or one for each"
        )
    return torch.tensor([MODALITIES.index(one) for one in each])


__all__ = ["WithDiseaseHead", "diagnose_patients", "listed_prefixes", "write_targets"]
