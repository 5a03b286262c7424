"""The base of the phase trainers: one phase of the sequential rationale distillation (section 3.4)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from datasets import Dataset
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments

from dataset_builder.storage.files import write_json
from dataset_builder.storage.governance import UNRECORDED, is_credentialed
from modeling_clinragen.errors import SettingsError, StageError
from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration
from modeling_clinragen.processing_clinragen import ClinRaGenProcessor
from trainers.data import PhaseCollator, PhaseExamples, View
from trainers.muon import MuonWithAdamW, split_parameters
from trainers.sampling import EpochSeededLengthSampler

logger = logging.getLogger(__name__)


@dataclass
class PhaseConfig(Seq2SeqTrainingArguments):
    r"""Settings of one phase. The defaults are the paper's; fields of `Seq2SeqTrainingArguments` are all available.

    Args:
        train_backbone: Train the whole language model instead of its LoRA adapters. Meant for a backbone that was
            built from scratch: it has nothing to adapt.
        muon_learning_rate: Use Muon at this rate for hidden matrices (see `trainers.muon`); None is AdamW alone.
        diagnosis_weight: How much a token of the disease list counts in the loss; a token of the rationale counts 1.
            The list is a tenth of a target, and all that the diagnosis is scored by.
        attention: Implementation of attention while training; None leaves the model's (sdpa). For a small model on a
            CPU "eager" is faster.
        allow_skipped_phases: Accept a parent checkpoint that has not been through the phase before (ablations).
    """

    learning_rate: float = field(default=1e-5, metadata={"help": "AdamW's initial learning rate."})
    weight_decay: float = field(default=0.05, metadata={"help": "AdamW's weight decay."})
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "Learning-rate schedule."})
    warmup_steps: float = field(default=0.1, metadata={"help": "Warm-up steps, or their share where below 1."})
    per_device_train_batch_size: int = field(default=12, metadata={"help": "Batch size per device."})
    # transformers' parser reads the members of the union by position.
    report_to: None | str | list[str] = field(  # noqa: RUF036
        default="none", metadata={"help": "Trackers; none by default."}
    )
    train_backbone: bool = field(
        default=False, metadata={"help": "Train the whole language model instead of its LoRA adapters."}
    )
    muon_learning_rate: float | None = field(
        default=None, metadata={"help": "Use Muon at this rate for hidden weight matrices; by default AdamW alone."}
    )
    diagnosis_weight: float = field(
        default=1.0, metadata={"help": "Loss weight of the disease list's tokens; the rationale's is 1."}
    )
    attention: str | None = field(
        default=None, metadata={"help": "Implementation of attention while training: sdpa, eager, ..."}
    )
    allow_skipped_phases: bool = field(
        default=False, metadata={"help": "Accept a parent that has not been through the phase before."}
    )


class PhaseTrainer(Seq2SeqTrainer):
    """Trains one phase; the subclasses say what it reads, what learns, and which phase comes before.

    Args:
        model: The parent checkpoint. Its `config.phase` must be one of `parents`.
        args: The phase's config.
        train_dataset, eval_dataset: Cohort splits (see `dataset_builder.contract.schema`) with rationales.
        processing_class: The model's processor.
        provenance: Where the examples come from (the cohort's provenance.json). Without it they count as credentialed:
            the model's `config.credentialed` becomes true, which no later phase takes back.

    Raises:
        GovernanceError: The model is to be pushed to the Hub, and it learns or learned from credentialed data.
        StageError: The parent has not been through the phase before, or examples have no rationale.
        SettingsError: The model has no adapters and the backbone is not to be trained, or a setting cannot work.
    """

    _name: ClassVar[str] = ""
    _tag_names: ClassVar[list[str]] = ["clinragen"]
    _paper: ClassVar[dict[str, str]] = {
        "title": "Knowledge-Augmented Multimodal Clinical Rationale Generation for Disease Diagnosis with "
        "Small Language Models",
        "id": "2411.07611",
    }
    phase: ClassVar[str]
    parents: ClassVar[tuple[str | None, ...]]
    views: ClassVar[tuple[View, ...]]
    language_model_learns: ClassVar[bool]
    lab_encoder_learns: ClassVar[bool]
    knowledge_attention_learns: ClassVar[bool]

    def __init__(
        self,
        model: ClinRaGenForConditionalGeneration,
        args: PhaseConfig,
        train_dataset: Dataset,
        eval_dataset: Dataset | None = None,
        processing_class: ClinRaGenProcessor | None = None,
        provenance: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if processing_class is None:
            raise SettingsError(f"{type(self).__name__} needs the model's processor as processing_class")
        parent = model.config.phase
        if parent not in self.parents and not args.allow_skipped_phases:
            wanted = " or ".join(f"'{name}'" for name in self.parents if name) or "an untrained model"
            raise StageError(
                f"the phase '{self.phase}' starts from {wanted}, but this checkpoint's last phase is '{parent}'; "
                "train the phases in order, or set allow_skipped_phases"
            )
        if args.label_smoothing_factor:
            raise SettingsError("label_smoothing_factor needs logits that no phase computes; leave it at 0")
        if is_credentialed(UNRECORDED if provenance is None else provenance):
            model.config.credentialed = True
        if args.push_to_hub:
            model.require_publishable("push_to_hub")
        learns = self.language_model_learns
        model.set_trainable(
            backbone=learns and args.train_backbone,
            adapter=learns and not args.train_backbone,
            lab_encoder=self.lab_encoder_learns,
            knowledge_attention=self.knowledge_attention_learns,
        )
        if args.attention is not None:
            try:
                model.set_attn_implementation(args.attention)
            except (ValueError, ImportError) as error:
                raise SettingsError(f"attention '{args.attention}' cannot be used here; give sdpa or eager") from error
        model.config.phase = self.phase
        trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        total = sum(parameter.numel() for parameter in model.parameters())
        logger.info("Phase %s inherits from %s; %d of %d parameters learn", self.phase, parent, trainable, total)
        # The collator needs notes, series and targets, none of which is an argument of the model.
        args.remove_unused_columns = False
        train_examples = PhaseExamples(train_dataset, self.views, processing_class)
        eval_examples = PhaseExamples(eval_dataset, self.views, processing_class) if eval_dataset is not None else None
        super().__init__(
            model=model,
            args=args,
            data_collator=PhaseCollator(processing_class, train_examples.reads_labs, args.diagnosis_weight),
            train_dataset=train_examples,
            eval_dataset=eval_examples,
            processing_class=processing_class,
            **kwargs,
        )

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        batch_size = self.args.train_batch_size * self.args.gradient_accumulation_steps
        by_length = self._by_length(self.train_dataset, batch_size)
        return super()._get_train_sampler(train_dataset) if by_length is None else by_length

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        by_length = self._by_length(eval_dataset, self.args.eval_batch_size)
        return super()._get_eval_sampler(eval_dataset) if by_length is None else by_length

    def _by_length(self, examples: PhaseExamples, batch_size: int) -> EpochSeededLengthSampler | None:
        # transformers groups by length what is tokenised already; notes are tokenised batch by batch.
        if self.args.train_sampling_strategy != "group_by_length":
            return None
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        return EpochSeededLengthSampler(examples.lengths(self.processing_class), batch_size, seed)

    def create_optimizer(self, model: Any = None) -> Any:
        """AdamW, or Muon with AdamW where the phase asks for it."""
        if self.args.muon_learning_rate is None:
            return super().create_optimizer(model)
        matrices, others = split_parameters(self.model)
        self.optimizer: Any = MuonWithAdamW(
            matrices,
            others,
            matrix_lr=self.args.muon_learning_rate,
            lr=self.args.learning_rate,
            weight_decay=self.args.weight_decay,
        )
        return self.optimizer

    def push_to_hub(self, *args: Any, **kwargs: Any) -> Any:
        """As in transformers. Raises `GovernanceError` for a model that learned from credentialed data."""
        self.model.require_publishable("push_to_hub")
        return super().push_to_hub(*args, **kwargs)

    def write_curve(self, path: Any) -> list[dict[str, float]]:
        """Write the logged losses as JSON and return them: `step`, and `loss` and/or `eval_loss`."""
        kept = ("step", "loss", "eval_loss", "learning_rate")
        curve = [{key: entry[key] for key in kept if key in entry} for entry in self.state.log_history]
        curve = [entry for entry in curve if "loss" in entry or "eval_loss" in entry]
        write_json(path, curve)
        return curve
