"""The memory of one training step, counted on tensors that have shapes and no content.

A model of any size is laid out by PyTorch's fake tensors, and one step of a phase is run on them: the parts of the
model are called as its own `forward` calls them, but for checks that look at values. Counted are the bytes that are
alive at every moment. `benchmarks/recipe_costs.py` compares the count with real steps.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers.modeling_outputs import BaseModelOutput
from transformers.pytorch_utils import Conv1D

from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration
from trainers.learning import set_learning
from trainers.muon import split_parameters
from trainers.phase_config import PhaseConfig
from trainers.phases import Phase

EAGER = "eager"
ADAMW = ("adamw_torch", "adamw_torch_fused")
ADAMW_BYTES = 8
"""AdamW keeps two numbers in single precision for each weight that learns."""
MUON_BYTES = 4
"""Muon keeps one."""


@dataclass(frozen=True)
class Sizes:
    """The tensors of a step.

    Args:
        batch: Examples.
        source: Tokens of prompt and note; 0 in a phase without notes.
        patches: Patches of the series; 0 in a phase without labs.
        target: Tokens of the target.
    """

    batch: int
    source: int
    patches: int
    target: int

    @classmethod
    def longest(cls, phase: Phase, batch: int, *, source: int, patches: int, target: int) -> Sizes:
        """A batch in a phase whose examples all have these lengths, as far as the phase reads them."""
        return cls(batch, source if phase.reads_note else 0, patches if phase.reads_labs else 0, target)


@dataclass(frozen=True)
class HeldMemory:
    """Bytes that a training holds from its first optimizer step on, whatever its batches are.

    Args:
        weights: Of all weights.
        gradients: Of those that learn.
        optimizer: Of the optimizer's state, and of copies of the weights that learn.
        learned: Number of weights that learn.
    """

    weights: int
    gradients: int
    optimizer: int
    learned: int

    @property
    def whole(self) -> int:
        """All of them."""
        return self.weights + self.gradients + self.optimizer


@dataclass(frozen=True)
class StepMemory:
    """Bytes at the worst moment of a step.

    Args:
        held: What is there in all steps.
        activations: The most that is alive beside weights and optimizer: activations, gradients and temporaries.
    """

    held: HeldMemory
    activations: int

    @property
    def whole(self) -> int:
        """All of them; the gradients are among the activations."""
        return self.held.weights + self.held.optimizer + self.activations


def held_memory(
    model: ClinRaGenForConditionalGeneration, *, optim: str, muon: bool = False, copies: int = 0
) -> HeldMemory:
    """The memory that a training holds; the model may lie on PyTorch's meta device.

    Args:
        model: With `requires_grad` set.
        optim: transformers' name of the optimizer. What others than AdamW keep counts as nothing.
        muon: Whether Muon with AdamW takes its place.
        copies: How many copies of the weights that learn are kept, such as their mean.
    """
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    learned = sum(parameter.numel() for parameter in learning)
    kept = ADAMW_BYTES * learned if muon or optim in ADAMW else 0
    if muon:
        kept -= (ADAMW_BYTES - MUON_BYTES) * sum(matrix.numel() for matrix in split_parameters(model)[0])
    gradients = sum(map(_bytes, learning))
    weights = sum(_bytes(tensor) for tensor in (*model.parameters(), *model.buffers()))
    return HeldMemory(weights, gradients, kept + copies * gradients, learned)


def held_in_phase(model: ClinRaGenForConditionalGeneration, phase: Phase, settings: PhaseConfig) -> HeldMemory:
    """The memory that a phase holds; sets what learns.

    Raises:
        SettingsError: As `set_learning`.
    """
    set_learning(model, phase, settings)
    muon = settings.muon_learning_rate is not None
    return held_memory(model, optim=settings.optim, muon=muon, copies=1 if settings.average_share else 0)


def ample_activations(model: ClinRaGenForConditionalGeneration, sizes: Sizes) -> int:
    """Bytes that are well above the activations of a step, by a rule of thumb.

    It takes no time where the count of `CountedModel` takes seconds, so that nothing need be counted where there is
    that much memory.

    Args:
        model: It may lie on PyTorch's meta device.
        sizes: The tensors of the step.
    """
    config, language_model = model.config, model.language_model
    text, lab = config.text_config.get_text_config(decoder=True), config.lab_config
    context, target, lab_rows = sizes.source + sizes.patches, sizes.target, sizes.patches * lab.num_input_channels
    # The head is given the target's positions alone.
    widths = _widths(language_model) - text.vocab_size - config.text_width
    if config.is_encoder_decoder:
        inside = _widths(language_model.get_encoder())
        through_layers = inside * context + (widths - inside) * target
        pairs = context**2 + target**2 + context * target
    else:
        through_layers = widths * (context + target)
        pairs = (context + target) ** 2
    lab_layers = _widths(model.lab_encoder)
    through_layers += lab_layers * lab_rows
    through_layers += (_widths(model) - _widths(language_model) - lab_layers) * (context + target)
    # A language model without attention has no heads.
    scores = getattr(text, "num_attention_heads", 0) * text.num_hidden_layers * pairs
    scores += lab.num_attention_heads * lab.num_hidden_layers * sizes.patches * lab_rows
    logits = target * text.vocab_size
    features = lab_rows * config.lab_patch_steps * config.lab_step_features
    # Of what layers read and write there are values and gradients, of the others also what is made of them.
    return 4 * sizes.batch * (2 * through_layers + 6 * scores + 5 * logits + 20 * features)


def _widths(part: nn.Module) -> int:
    """How many numbers all linear layers of a part read and write at one position."""
    return sum(sum(layer.weight.shape) for layer in part.modules() if isinstance(layer, nn.Linear | Conv1D))


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors that are made while it is on; `peak` is the most at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(found):
            if isinstance(tensor, torch.Tensor):
                self._add(tensor.untyped_storage())
        return found

    def forget(self, tensors: Any) -> None:
        """Count nothing for these, which were there before."""
        self._known.update(id(tensor.untyped_storage()) for tensor in tensors)

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


class CountedModel:
    """A model without content, whose steps are counted.

    Args:
        layout: The model, adapters included, on PyTorch's meta device (see `laid_out`). It is used up.
    """

    def __init__(self, layout: ClinRaGenForConditionalGeneration) -> None:
        self.mode = FakeTensorMode()
        with self.mode:
            self.model = _without_content(layout).train()
        self._own_attention = str(layout.language_model.config._attn_implementation)
        self._recomputes = False

    def memory(self, phase: Phase, settings: PhaseConfig, sizes: Sizes, *, fused: bool = True) -> StepMemory:
        """The memory of one step.

        Args:
            phase: What is read and what learns.
            settings: Precision, optimizer, attention and gradient checkpointing, and whether a mean of the weights is
                kept.
            sizes: The tensors; `batch` is that of one device at a time.
            fused: Whether attention keeps no scores, as with the kernels of a GPU; those of a CPU keep them where
                there is dropout of attention, and `eager` keeps them everywhere.

        Raises:
            SettingsError: As `set_learning`.
        """
        fused = fused and settings.attn_implementation != EAGER
        held = held_in_phase(self.model, phase, settings)
        with self.mode:
            model = self.prepared(phase, settings)
            live = LiveBytes()
            live.forget([*model.parameters(), *model.buffers()])
            dropout = _without_attention_dropout(model.language_model) if fused else nullcontext()
            with dropout, live:
                self.loss(phase, settings, sizes).backward()
        return StepMemory(held, live.peak)

    def prepared(self, phase: Phase, settings: PhaseConfig) -> ClinRaGenForConditionalGeneration:
        """The model as it is in a phase: what learns, which attention it has, and what is computed again."""
        model = self.model
        set_learning(model, phase, settings)
        # Adapters that have not been trained are skipped while the language model itself learns.
        for module in model.language_model.modules():
            if isinstance(module, LoraLayer):
                module._disable_adapters = settings.train_backbone
        model.zero_grad(set_to_none=True)
        # Others need what may not be here, and keep as little as the default.
        model.set_attn_implementation(EAGER if settings.attn_implementation == EAGER else self._own_attention)
        if settings.activation_checkpointing != self._recomputes:
            self._recomputes = settings.activation_checkpointing
            switch = (
                model.activation_checkpointing_enable if self._recomputes else model.activation_checkpointing_disable
            )
            switch()
        return model

    def loss(self, phase: Phase, settings: PhaseConfig, sizes: Sizes) -> torch.Tensor:
        """The loss of a batch of these sizes, within `mode`."""
        model, batch = self.model, sizes.batch
        with torch.autocast("cpu", torch.bfloat16) if settings.bf16 or settings.fp16 else nullcontext():
            context = torch.cat(list(_context(model, phase, sizes)), dim=1)
            labels = torch.zeros(batch, sizes.target, dtype=torch.long)
            if model.config.is_encoder_decoder:
                mask = torch.ones(context.shape[:2], dtype=torch.bool)
                states = model.get_encoder()(inputs_embeds=context, attention_mask=mask).last_hidden_state
                inputs = {"encoder_outputs": BaseModelOutput(last_hidden_state=states), "attention_mask": mask}
                logits = model.language_model(**inputs, decoder_input_ids=labels, use_cache=False).logits
            else:
                targets = model.get_input_embeddings()(labels)
                embeds = torch.cat((context, targets.to(context.dtype)), dim=1)
                mask = torch.ones(embeds.shape[:2], dtype=torch.bool)
                with _last_positions(model.get_output_embeddings(), sizes.target) as seen:
                    logits = model.language_model(inputs_embeds=embeds, attention_mask=mask, use_cache=False).logits
                states = seen[0]
            losses = nn.functional.cross_entropy(logits.float().flatten(0, -2), labels.flatten(), reduction="none")
            loss = losses.sum()
            if model.disease_head is not None:
                loss = loss + model.disease_head(states, mask).sum()
        return loss


def _without_content(model: ClinRaGenForConditionalGeneration) -> ClinRaGenForConditionalGeneration:
    """The model with fake tensors of the CPU in place of those on the meta device, whose precision nothing changes."""
    made: dict[int, Any] = {}
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                if tensor is None:
                    continue
                if id(tensor) not in made:
                    empty = torch.empty(tensor.shape, dtype=tensor.dtype)
                    made[id(tensor)] = nn.Parameter(empty) if isinstance(tensor, nn.Parameter) else empty
                # Weights that are shared stay so.
                tensors[name] = made[id(tensor)]
    return model


def _context(model: ClinRaGenForConditionalGeneration, phase: Phase, sizes: Sizes) -> Iterator[torch.Tensor]:
    """Embeddings of the note `(batch, tokens, width)`, and lab vectors `(batch, vectors, width)`."""
    config = model.config
    if sizes.source:
        yield model.get_input_embeddings()(torch.zeros(sizes.batch, sizes.source, dtype=torch.long))
    if phase.reads_labs and sizes.patches:
        encoder, variables = model.lab_encoder, config.lab_config.num_input_channels
        patched = torch.zeros(sizes.batch, variables, sizes.patches, config.lab_config.patch_length)
        hidden = encoder._encode(patched, torch.ones(sizes.batch, sizes.patches, dtype=torch.bool))
        vectors = encoder.projection(hidden.transpose(1, 2).reshape(sizes.batch, sizes.patches, -1))
        if model.summary_encoder is not None:
            steps = sizes.patches * config.lab_patch_steps
            features = torch.zeros(sizes.batch, steps, variables, config.lab_step_features)
            summaries, _ = model.summary_encoder(features, torch.ones(sizes.batch, steps, dtype=torch.bool))
            vectors = torch.cat((vectors, summaries.to(vectors.dtype)), dim=1)
        if model.knowledge_attention is not None:
            known = model.get_input_embeddings()(torch.zeros(config.num_knowledge_tokens, dtype=torch.long))
            vectors, _ = model.knowledge_attention(vectors, known)
        yield vectors


@contextmanager
def _without_attention_dropout(language_model: nn.Module) -> Iterator[None]:
    """Where attention has no dropout, also the kernels of a CPU keep no scores."""
    found = [
        (module, name, vars(module)[name])
        for module in language_model.modules()
        if type(module).__name__.endswith("Attention")
        for name in ("dropout", "attention_dropout")
        if isinstance(vars(module).get(name), float)
    ]
    for module, name, _ in found:
        setattr(module, name, 0.0)
    try:
        yield
    finally:
        for module, name, share in found:
            setattr(module, name, share)


@contextmanager
def _last_positions(head: nn.Module, count: int) -> Iterator[list[torch.Tensor]]:
    """Give the head the last positions only, as the model does with those that count; collects what it was given."""
    seen: list[torch.Tensor] = []

    def select(_: nn.Module, hidden: tuple[Any, ...]) -> tuple[Any, ...]:
        seen.append(hidden[0])
        return (hidden[0][:, -count:], *hidden[1:])

    handle = head.register_forward_pre_hook(select)
    try:
        yield seen
    finally:
        handle.remove()


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


__all__ = [
    "CountedModel",
    "HeldMemory",
    "LiveBytes",
    "Sizes",
    "StepMemory",
    "ample_activations",
    "held_in_phase",
    "held_memory",
]
