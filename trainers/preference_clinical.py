"""A ClinRaGen model as the policy of preference training: it reads a note and a series beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.storage.governance import UNRECORDED, is_credentialed
from modeling_clinragen.diagnosing_clinragen import write_tokens
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration
from modeling_clinragen.processing_clinragen import ClinRaGenProcessor
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.phases import phase_named
from trainers.preference_policy import Example, Target, behind, padded_labels, sampling_options, written_target


class ClinicalPolicy:
    """A `ClinRaGenForConditionalGeneration`, encoder-decoder or decoder-only; examples are rows of a cohort.

    It is shown what its last phase reads. Where its disease head lists the diagnoses, the list is given and only what
    is behind it is written and learned from, as `write_targets` does.

    Args:
        model, processor: The model and its processor.
        vocabulary: The cohort's vocabulary (`cohort.vocabulary`), which must be the processor's.
        provenance: The cohort's provenance. Without it the examples count as credentialed: the model's
            `config.credentialed` becomes true, which nothing reverts.

    Raises:
        SettingsError: Model, processor and examples are of different vocabularies or normal ranges.
    """

    def __init__(
        self,
        model: ClinRaGenForConditionalGeneration,
        processor: ClinRaGenProcessor,
        *,
        vocabulary: Vocabulary,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        own = processor.require_vocabulary(model.config)
        own.require_same(vocabulary, "the model", "the cohort")
        own.require_same_ranges(vocabulary, processor.range_set, "the model", "the cohort")
        if is_credentialed(UNRECORDED if provenance is None else provenance):
            model.mark_credentialed()
        self.model = model
        self._processor = processor
        self._vocabulary = vocabulary
        self._note, self._labs = modalities(model)

    def sample(
        self, examples: Sequence[Example], count: int, *, temperature: float | None, max_new_tokens: int
    ) -> list[list[Target]]:
        """See `Policy`."""
        options = sampling_options(temperature, max_new_tokens)
        pairs = write_tokens(self.model, self._processor, self._patients(examples), copies=count, **options)
        end = self._processor.tokenizer.eos_token_id
        found = [written_target(given, written, end) for given, written in pairs]
        return [found[first : first + count] for first in range(0, len(found), count)]

    def read(self, example: Example, text: str, given: Sequence[int] = ()) -> Target | None:
        """See `Policy`."""
        return behind(self._processor.target_ids(text), given)

    def text(self, target: Target) -> str:
        """See `Policy`; the list of diagnoses is part of it."""
        tokens = [*target.given, *target.written]
        return str(self._processor.tokenizer.decode(tokens, skip_special_tokens=True)).strip()

    def log_probabilities(
        self, examples: Sequence[Example], targets: Sequence[Target], owners: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Policy`."""
        labels, written = (part.to(self.model.device) for part in padded_labels(targets))
        patients = self._patients(examples)
        labs = [series for _, series in patients] if self._labs else None
        inputs = self._processor([note or "" for note, _ in patients], labs, warn=False).to(self.model.device)
        states, mask = self.model.context(**inputs)
        rows = torch.tensor(owners, device=states.device)
        losses = self.model.losses_behind((states[rows], mask[rows]), labels)
        return -losses * written, written

    def _patients(self, examples: Sequence[Example]) -> list[tuple[str | None, Any]]:
        found: list[tuple[str | None, Any]] = []
        for row in examples:
            series = LabSeries.from_example(self._vocabulary, row) if self._labs else None
            given = None if series is None else {"hours": series.hours, "values": series.values}
            found.append((row["note"] if self._note else None, given))
        return found


def modalities(model: ClinRaGenForConditionalGeneration) -> tuple[bool, bool]:
    """Whether the last phase of a model reads the note, and the series.

    Raises:
        SettingsError: The model has not been through any phase.
    """
    if model.config.phase is None:
        raise SettingsError("this model is not trained: preferences are learned after a phase; train one first")
    phase = phase_named(model.config.phase)
    return phase.reads_note, phase.reads_labs


def learn_to_write(
    model: ClinRaGenForConditionalGeneration, *, whole: bool = False, encoder: bool = False
) -> list[str]:
    """Set what preference training learns: what decides how texts are written, and nothing else.

    The disease head and the lab side are frozen. So is the encoder by default, with the token embeddings that it
    shares: the head reads its states, and its probabilities stay what they are. A decoder-only model has no encoder,
    so that what its head reads does change.

    Args:
        model: The model.
        whole: The language model itself rather than its LoRA adapters.
        encoder: Whether an encoder-decoder's encoder learns as well.

    Returns:
        The names of the parameters that learn.

    Raises:
        SettingsError: The adapters are to learn but the model has none.
    """
    model.set_trainable(backbone=whole, adapter=not whole, lab_encoder=False, knowledge_attention=False)
    if model.config.is_encoder_decoder and not encoder:
        model.get_encoder().requires_grad_(False)
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


__all__ = ["ClinicalPolicy", "learn_to_write", "modalities"]
