"""Whether there is memory for a training, estimated before any weights are loaded."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedOperatorException,
)

from modeling_clinragen.errors import SettingsError
from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration
from modeling_clinragen.processing_clinragen import ClinRaGenProcessor
from trainers.division import division_asked
from trainers.four_bit import bytes_saved
from trainers.memory import MORE_MEMORY, FreeMemory, in_words
from trainers.phase_config import PhaseConfig
from trainers.phases import Phase
from trainers.step_memory import CountedModel, HeldMemory, Sizes, ample_activations, held_in_phase

logger = logging.getLogger(__name__)

BeforeLoading = Callable[[ClinRaGenForConditionalGeneration, ClinRaGenProcessor], None]
"""Called with a model on PyTorch's meta device (see `laid_out`), which it may use up, and its processor, before any
weights are loaded."""
FAR_ABOVE = 2
"""How many times the free memory of a GPU an estimate must be for the phase to be refused. Examples may be longer than
any there is, so that a batch of the cohort's own may take half of it."""
UNCOUNTABLE = (DataDependentOutputException, DynamicOutputShapeException, UnsupportedOperatorException)
"""Raised where a language model looks at values, which what is only counted has not."""


@dataclass(frozen=True)
class PhaseMemory:
    """The memory that a phase needs, beside what is free.

    Args:
        phase: The phase.
        settings: Its settings.
        free: What is free before anything is loaded.
    """

    phase: Phase
    settings: PhaseConfig
    free: FreeMemory

    def require(self, layout: ClinRaGenForConditionalGeneration, processor: ClinRaGenProcessor) -> None:
        """Refuse the phase where it cannot fit, and log a warning where the longest batch there can be does not.

        Where several GPUs divide the model between them, only its loading is checked.

        Args:
            layout: The model on PyTorch's meta device (see `laid_out`); it is used up.
            processor: The model's processor, which says how long inputs and targets can be.

        Raises:
            SettingsError: Weights, gradients and optimizer do not fit; or with the activations of the longest batch
                the estimate is `FAR_ABOVE` the GPU's free memory. Or as `set_learning`.
        """
        settings, free, there = self.settings, self.free, self.free.for_steps
        held = held_in_phase(layout, self.phase, settings)
        if division_asked(settings):
            require_loadable(self._who, held, free)
            return
        saved = bytes_saved(layout.language_model) if settings.load_in_4bit and free.gpu is not None else 0
        require_held(self._who, held, free, saved, else_four_bits=free.gpu is not None and not saved)
        sizes = _longest_batch(self.phase, settings.per_device_train_batch_size, processor)
        if held.whole - saved + ample_activations(layout, sizes) <= there:
            return
        try:
            step = CountedModel(layout).memory(self.phase, settings, sizes, fused=free.gpu is not None)
        except UNCOUNTABLE as error:
            logger.info("%s: the memory of a step cannot be estimated: %s", self._who, error)
            return
        needed = step.whole - saved
        if needed <= there:
            return
        message = (
            f"{self._who}: a step with the longest examples that there can be is estimated to take {in_words(needed)} "
            f"of {free.name_for_steps}, of which {in_words(there)} are free; {self._cure()}"
        )
        if free.gpu is not None and needed > FAR_ABOVE * there:
            raise SettingsError(message)
        logger.warning("%s", message[0].upper() + message[1:])

    @property
    def _who(self) -> str:
        return f"the phase '{self.phase.name}'"

    def _cure(self) -> str:
        settings = self.settings
        cures = []
        if settings.per_device_train_batch_size > 1:
            cures.append(
                "lower per_device_train_batch_size (with as much more gradient_accumulation_steps the training is "
                "the same)"
            )
        if not settings.activation_checkpointing:
            cures.append("set activation_checkpointing: true")
        if self.free.gpu is not None and not settings.load_in_4bit and not settings.train_backbone:
            cures.append("set load_in_4bit: true")
        return ", or ".join([*cures, "lower max_source_tokens or max_target_tokens"])


def require_loadable(who: str, held: HeldMemory, free: FreeMemory) -> None:
    """Refuse a training whose weights this machine has no memory for.

    Raises:
        SettingsError: It has too little; the message begins with `who`.
    """
    if held.weights > free.machine:
        raise SettingsError(
            f"{who}: the model's weights need {in_words(held.weights)} of memory, of which {in_words(free.machine)} "
            f"are free; {MORE_MEMORY}"
        )


def require_held(
    who: str, held: HeldMemory, free: FreeMemory, saved: int = 0, *, else_four_bits: bool = False
) -> None:
    """Refuse a training that holds more than is free: weights, gradients and optimizer alone.

    Args:
        who: What is trained.
        held: What it holds.
        free: What is free before anything is loaded.
        saved: How many bytes less the weights take where layers are held in four bits.
        else_four_bits: Whether the message names holding layers in four bits as another cure.

    Raises:
        SettingsError: It does not fit.
    """
    require_loadable(who, held, free)
    needed, there = held.whole - saved, free.for_steps
    if needed <= there:
        return
    parts = f"{in_words(held.weights)} for weights, {in_words(held.gradients + held.optimizer)} for what learns"
    if saved:
        parts += f", {in_words(saved)} less in four bits"
    four_bits = ", or set load_in_4bit: true where only adapters learn" if else_four_bits else ""
    raise SettingsError(
        f"{who} needs at least {in_words(needed)} of {free.name_for_steps} ({parts}), of which {in_words(there)} are "
        f"free; {MORE_MEMORY}{four_bits}"
    )


def _longest_batch(phase: Phase, batch: int, processor: ClinRaGenProcessor) -> Sizes:
    extractor, source = processor.feature_extractor, processor.max_source_tokens
    if processor.lab_input == "words":
        # The series is among the tokens.
        return Sizes(batch, source, 0, processor.max_target_tokens)
    patches = extractor.num_positions(extractor.max_steps)
    return Sizes.longest(phase, batch, source=source, patches=patches, target=processor.max_target_tokens)


__all__ = ["FAR_ABOVE", "BeforeLoading", "PhaseMemory", "require_held", "require_loadable"]
