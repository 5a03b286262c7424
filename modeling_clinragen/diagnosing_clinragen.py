"""Diagnosing with a disease head: how probable each disease is, and which ones are listed, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import StoppingCriteria

from .disease_head_clinragen import MODALITIES
from .errors import ModelInputError, SettingsError
from .loss_clinragen import disease_loss, evidence_loss
from .prefix_clinragen import pad_prefixes, prefixes_can_be_padded
from .processing_clinragen import RATIONALE_MARK


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

    def _head_loss(
        self, states: torch.Tensor, mask: torch.Tensor, targets: torch.Tensor, evidence: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        # Logits and loss; the evidence is of the first positions.
        logits, weights = self.require_disease_head().read(states, mask)
        loss = self.config.disease_loss_weight * disease_loss(logits, targets)
        if evidence is not None:
            own = evidence_loss(weights[..., : evidence.shape[1]], evidence)
            loss = loss + self.config.evidence_loss_weight * own
        return logits, loss

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
    modality = [processor.modality(*one) for one in patients]
    return model.diagnose(**_inputs_of(model, processor, patients), modality=modality).cpu()


@torch.no_grad()
def write_targets(model: Any, processor: Any, patients: Sequence[tuple[str | None, Any]], **kwargs: Any) -> list[str]:
    """Generate one target for each patient, without any constraint; by `config.list_from` the head lists its diseases.

    Args:
        model, processor, patients: As for `diagnose_patients`; the head is needed only where it lists.
        kwargs: Options of `generate`.
    """
    found = write_tokens(model, processor, patients, **kwargs)
    return [processor.tokenizer.decode([*given, *ids], skip_special_tokens=True).strip() for given, ids in found]


@torch.no_grad()
def write_tokens(
    model: Any, processor: Any, patients: Sequence[tuple[str | None, Any]], copies: int = 1, **kwargs: Any
) -> list[tuple[list[int], list[int]]]:
    """As `write_targets`, in tokens: those given by the head (none where the decoder lists), and those written.

    Args:
        model, processor, patients, kwargs: As for `write_targets`.
        copies: Targets of each patient, which follow one another; useful where they are sampled.
    """
    states, mask = model.encode(**_inputs_of(model, processor, patients))
    skipped = 1 if model.config.is_encoder_decoder else 0
    rows = torch.arange(len(patients), device=states.device).repeat_interleave(copies)
    if model.config.list_from == "decoder":
        generated = model.generate(encoded=(states[rows], mask[rows]), **kwargs)
        return [([], ids[skipped:]) for ids in generated.tolist()]
    modality = [processor.modality(*one) for one in patients]
    listed = model.listed(model.diagnose(encoded=(states, mask), modality=modality), modality)
    tokens = [ids for ids in map(processor.list_ids, listed) for _ in range(copies)]
    written: list[tuple[list[int], list[int]]] = [([], [])] * len(tokens)
    for group in _groups(tokens, padded=prefixes_can_be_padded(model.language_model)):
        own = [tokens[row] for row in group]
        prefix, known = (part.to(model.device) for part in pad_prefixes(own, processor.tokenizer.eos_token_id))
        chosen = rows[torch.tensor(group, device=states.device)]
        generated = model.generate(
            encoded=(states[chosen], mask[chosen]), target_prefix=prefix, target_prefix_mask=known, **kwargs
        )
        for row, before, ids in zip(group, own, generated.tolist(), strict=True):
            written[row] = before, ids[skipped:]
    return written


@torch.no_grad()
def write_lists(model: Any, processor: Any, patients: Sequence[tuple[str | None, Any]]) -> list[tuple[str, ...]]:
    """The list that the language model itself writes for each patient, freely, whatever `config.list_from` is.

    A list that is not over within `max_target_tokens` counts as empty, as it does in a whole target.

    Args:
        model, processor, patients: As for `diagnose_patients`; the layout must be diagnosis-first, so that nothing but
            the list has to be written.

    Raises:
        SettingsError: The layout is another one.
    """
    if processor.layout != "diagnosis-first":
        raise SettingsError(f"lists alone need the layout diagnosis-first, this processor's is {processor.layout}")
    tokenizer = processor.tokenizer
    generated = model.generate(
        **_inputs_of(model, processor, patients),
        do_sample=False,
        num_beams=1,
        max_new_tokens=processor.max_target_tokens,
        stopping_criteria=[_ListsEnd(tokenizer, model.config.is_encoder_decoder)],
    )
    texts = tokenizer.batch_decode(generated, skip_special_tokens=True)
    return [processor.parse(text.strip()).diagnoses for text in texts]


class _ListsEnd(StoppingCriteria):
    """True for each text whose list is over: the marker of the rationale stands in it."""

    def __init__(self, tokenizer: Any, is_encoder_decoder: bool) -> None:
        self._tokenizer = tokenizer
        self._skipped = 1 if is_encoder_decoder else 0

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        # A marker is not longer than its characters; where it ended earlier, the text was over then.
        behind = input_ids[:, max(self._skipped, input_ids.shape[1] - len(RATIONALE_MARK)) :]
        texts = self._tokenizer.batch_decode(behind, skip_special_tokens=True)
        return torch.tensor([RATIONALE_MARK in text for text in texts], device=input_ids.device)


def _inputs_of(model: Any, processor: Any, patients: Sequence[tuple[str | None, Any]]) -> Any:
    labs = [series for _, series in patients] if any(series is not None for _, series in patients) else None
    return processor([note or "" for note, _ in patients], labs, warn=False).to(model.device)


def _groups(tokens: Sequence[Sequence[int]], *, padded: bool) -> list[list[int]]:
    """Rows that can be one batch: all, or where the decoder counts padding those of each length."""
    if padded:
        return [list(range(len(tokens)))]
    lengths = sorted({len(ids) for ids in tokens})
    return [[row for row, ids in enumerate(tokens) if len(ids) == length] for length in lengths]


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


__all__ = ["WithDiseaseHead", "diagnose_patients", "write_lists", "write_targets", "write_tokens"]
