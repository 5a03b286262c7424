"""Operations and memory of one training step, counted on tensors that have shapes and no content.

A model of any size is laid out by PyTorch's fake tensors, and one step of a phase is run on them: the parts of the
model are called as its own `forward` calls them, but for checks that look at values. Every matrix product is counted,
forward and backward, with frozen weights getting no gradients; and at every moment the bytes that are alive.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from transformers.modeling_outputs import BaseModelOutput

from modeling_clinragen import ClinRaGenConfig, ClinRaGenForConditionalGeneration
from trainers.model_size import laid_out
from trainers.phase_config import PhaseConfig
from trainers.phases import Phase

OPTIMIZER_BYTES = 8
"""AdamW keeps two numbers in single precision for each weight that learns."""


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


@dataclass(frozen=True)
class StepOperations:
    """Operations of a step, a multiplication and an addition being two.

    Args:
        forward: Those of the forward pass.
        backward: Those of the backward pass, and of activations that are computed again.
    """

    forward: int
    backward: int


@dataclass(frozen=True)
class StepMemory:
    """Bytes at the worst moment of a step.

    Args:
        weights: Of all weights.
        learning: Of the optimizer's state, and of the mean of the weights if one is kept.
        activations: The most that is alive beside these: activations, gradients and temporaries.
        learned: Number of weights that learn.
    """

    weights: int
    learning: int
    activations: int
    learned: int

    @property
    def whole(self) -> int:
        """All of them."""
        return self.weights + self.learning + self.activations


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
        config: The model, adapters included.
    """

    def __init__(self, config: ClinRaGenConfig) -> None:
        self._mode = FakeTensorMode()
        layout = laid_out(config)
        with self._mode:
            self.model = _without_content(layout).train()
        self._recomputes = False

    def memory(self, phase: Phase, settings: PhaseConfig, sizes: Sizes, *, fused: bool = True) -> StepMemory:
        """The memory of one step.

        Args:
            phase: What is read and what learns.
            settings: Precision and gradient checkpointing, and whether a mean of the weights is kept.
            sizes: The tensors; `batch` is that of one device at a time.
            fused: Whether attention keeps no scores, as with the kernels of a GPU; those of a CPU keep them where
                there is dropout of attention.
        """
        with self._mode:
            model = self._prepared(phase, settings)
            live = LiveBytes()
            live.forget([*model.parameters(), *model.buffers()])
            with _without_attention_dropout(model.language_model) if fused else nullcontext(), live:
                _loss(model, phase, settings, sizes).backward()
        learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
        learned = sum(parameter.numel() for parameter in learning)
        kept = OPTIMIZER_BYTES * learned + (sum(map(_bytes, learning)) if settings.average_share else 0)
        weights = sum(_bytes(tensor) for tensor in (*model.parameters(), *model.buffers()))
        return StepMemory(weights, kept, live.peak, learned)

    def operations(self, phase: Phase, settings: PhaseConfig, sizes: Sizes) -> StepOperations:
        """The operations of one step; arguments as of `memory`. Attention counts all products, causal or not."""
        with self._mode:
            model = self._prepared(phase, settings)
            chosen = model.language_model.config._attn_implementation
            model.set_attn_implementation("eager")
            try:
                with FlopCounterMode(display=False) as counter:
                    loss = _loss(model, phase, settings, sizes)
                    forward = counter.get_total_flops()
                    loss.backward()
            finally:
                model.set_attn_implementation(chosen)
        return StepOperations(forward, counter.get_total_flops() - forward)

    def _prepared(self, phase: Phase, settings: PhaseConfig) -> ClinRaGenForConditionalGeneration:
        learns, model = phase.learns, self.model
        model.set_trainable(
            backbone=learns.language_model and settings.train_backbone,
            adapter=learns.language_model and not settings.train_backbone,
            lab_encoder=learns.lab_encoder,
            knowledge_attention=learns.knowledge_attention,
            disease_head=learns.disease_head,
        )
        model.zero_grad(set_to_none=True)
        if settings.activation_checkpointing != self._recomputes:
            self._recomputes = settings.activation_checkpointing
            switch = (
                model.activation_checkpointing_enable if self._recomputes else model.activation_checkpointing_disable
            )
            switch()
        return model


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


def _loss(model: ClinRaGenForConditionalGeneration, phase: Phase, settings: PhaseConfig, sizes: Sizes) -> torch.Tensor:
    precision = torch.autocast("cpu", torch.bfloat16) if settings.bf16 else nullcontext()
    with precision:
        context = torch.cat(list(_context(model, phase, sizes)), dim=1)
        labels = torch.zeros(sizes.batch, sizes.target, dtype=torch.long)
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


def _context(model: ClinRaGenForConditionalGeneration, phase: Phase, sizes: Sizes) -> Iterator[torch.Tensor]:
    """Embeddings of the note `(batch, tokens, width)`, and lab vectors `(batch, vectors, width)`."""
    config = model.config
    if phase.reads_note:
        yield model.get_input_embeddings()(torch.zeros(sizes.batch, sizes.source, dtype=torch.long))
    if phase.reads_labs:
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
