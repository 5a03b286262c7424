"""The trainer of any phase of the sequential rationale distillation (section 3.4)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from datasets import Dataset
from transformers import EarlyStoppingCallback, Seq2SeqTrainer
from transformers.trainer_utils import get_last_checkpoint

from dataset_builder.storage.files import write_json
from dataset_builder.storage.governance import UNRECORDED, is_credentialed, require_local_trackers
from modeling_clinragen.errors import SettingsError, StageError
from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration
from modeling_clinragen.own_adapters_clinragen import untrained_adapters_idle
from modeling_clinragen.processing_clinragen import ClinRaGenProcessor
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.checkpoints import CHECKPOINT, keep_batch, remove_older, require_batch, seal_checkpoint
from trainers.data import ROWS, PhaseCollator, PhaseExamples, check_split, disease_targets
from trainers.division import require_division_possible
from trainers.finite import require_finite_loss, require_finite_weights
from trainers.four_bit import FourBitLayers
from trainers.learning import learning_parts, set_learning
from trainers.loss_meter import LossMeter
from trainers.muon import muon_with_adamw
from trainers.phase_config import PhaseConfig
from trainers.phases import Phase
from trainers.precision import require_own_precision
from trainers.reading import profile_inputs
from trainers.sampling import (
    EpochOfSharedBatches,
    EpochSeededLengthSampler,
    EpochSeededWeightedSampler,
    balanced_weights,
)
from trainers.weight_average import WeightAverage

logger = logging.getLogger(__name__)


class PhaseTrainer(Seq2SeqTrainer):
    """Trains one phase: its row in `trainers.phases` gives the inputs, the trained parts and the parent phases.

    Args:
        model: The parent checkpoint. Its `config.phase` must be one of the phase's `parents`.
        args: The phase's settings.
        train_dataset, eval_dataset: Cohort splits (see `dataset_builder.contract.schema`) with rationales.
        processing_class: The model's processor. Its `profile` becomes that of this phase's training inputs.
        provenance: The cohort's provenance. Without it the examples count as credentialed: the model's
            `config.credentialed` becomes true, which no later phase reverts.
        phase: The phase; a subclass may have it as a class attribute instead.
        vocabulary: The cohort's vocabulary (`cohort.vocabulary`), which must be the processor's. Required: a split
            does not record the order of its variables.

    Raises:
        GovernanceError: The model is to be pushed to the Hub, or a tracker to send its losses to another machine, and
            it learns or learned from credentialed data.
        StageError: The parent has not been through the previous phase, or no example has a rationale; in training, a
            loss or a weight is not a finite number.
        SettingsError: Model, processor and examples are of different vocabularies or normal ranges, the model has no
            adapters and the backbone is not to be trained, or a setting cannot work.
    """

    _name: ClassVar[str] = ""
    _tag_names: ClassVar[list[str]] = ["clinragen"]
    _paper: ClassVar[dict[str, str]] = {
        "title": "Knowledge-Augmented Multimodal Clinical Rationale Generation for Disease Diagnosis with "
        "Small Language Models",
        "id": "2411.07611",
    }
    phase: Phase
    data_collator: Any

    def __init__(
        self,
        model: ClinRaGenForConditionalGeneration,
        args: PhaseConfig,
        train_dataset: Dataset,
        eval_dataset: Dataset | None = None,
        processing_class: ClinRaGenProcessor | None = None,
        *,
        provenance: Mapping[str, Any] | None = None,
        phase: Phase | None = None,
        vocabulary: Vocabulary,
        **kwargs: Any,
    ) -> None:
        if phase is not None:
            self.phase = phase
        if processing_class is None:
            raise SettingsError(f"{type(self).__name__} needs the model's processor as processing_class")
        parent = model.config.phase
        if parent not in self.phase.parents and not args.allow_skipped_phases:
            wanted = " or ".join(f"'{name}'" for name in self.phase.parents if name) or "an untrained model"
            raise StageError(
                f"the phase '{self.phase.name}' starts from {wanted}, but this checkpoint's last phase is '{parent}'; "
                "train the phases in order, or set allow_skipped_phases"
            )
        own = processing_class.require_vocabulary(model.config)
        if not isinstance(vocabulary, Vocabulary):
            raise SettingsError(
                f"{type(self).__name__} needs the cohort's vocabulary: give vocabulary=cohort.vocabulary, with the "
                "cohort from `load_examples`"
            )
        own.require_same(vocabulary, "the model", "the cohort")
        own.require_same_ranges(vocabulary, processing_class.range_set, "the model", "the cohort")
        for split in (train_dataset, eval_dataset):
            if split is not None:
                check_split(split, own)
        if args.label_smoothing_factor:
            raise SettingsError("label_smoothing_factor needs logits, which no phase computes; leave it at 0")
        require_own_precision(args)
        require_division_possible(args)
        if is_credentialed(UNRECORDED if provenance is None else provenance):
            model.mark_credentialed()
        if model.config.credentialed is not False:
            require_local_trackers(args.report_to or ())
        if args.push_to_hub:
            model.require_publishable("push_to_hub")
        learns = learning_parts(self.phase, args)
        if processing_class.lab_input == "words" and not learns.language_model:
            raise SettingsError(
                f"the phase '{self.phase.name}' trains what reads lab vectors, but with lab_input: words there are "
                "none; leave the phase out, and set allow_skipped_phases in the next one"
            )
        set_learning(model, self.phase, args)
        if args.attn_implementation is not None:
            try:
                model.set_attn_implementation(args.attn_implementation)
            except (ValueError, ImportError) as error:
                raise SettingsError(
                    f"attn_implementation '{args.attn_implementation}' cannot be used here; give sdpa or eager"
                ) from error
        model.config.phase = self.phase.name
        trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        total = sum(parameter.numel() for parameter in model.parameters())
        logger.info("Phase %s starts from %s; %d of %d parameters learn", self.phase.name, parent, trainable, total)
        self._four_bit: FourBitLayers | None = None
        if args.load_in_4bit:
            # Before transformers moves the model to a GPU that it may be too large for.
            dtype = torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else torch.float32
            self._four_bit = FourBitLayers(model.language_model, args.device, dtype)
        # The collator needs notes, series and targets, none of which is an argument of the model.
        args.remove_unused_columns = False
        own_examples = partial(PhaseExamples, phase=self.phase, processor=processing_class, rationale=args.rationale)
        train_examples = own_examples(train_dataset)
        processing_class.profile = profile_inputs(processing_class, train_examples.items)
        eval_examples = own_examples(eval_dataset) if eval_dataset is not None else None
        super().__init__(
            model=model,
            args=args,
            data_collator=PhaseCollator(
                processing_class,
                self.phase,
                diagnosis_weight=args.diagnosis_weight,
                diseases=model.config.diseases if model.disease_head is not None else None,
                evidence=model.config.evidence_loss_weight > 0,
                text_share=args.text_share,
                token_dropout=args.token_dropout,
                modality_dropout=args.modality_dropout,
                rationale=args.rationale,
                rows=True,
            ),
            train_dataset=train_examples,
            eval_dataset=eval_examples,
            processing_class=processing_class,
            **kwargs,
        )
        self._meter = LossMeter(self._mean_of_processes)
        self.add_callback(self._meter)
        self.add_callback(EpochOfSharedBatches())
        self._examples_of_step = 0
        self._average = WeightAverage(model, args.average_share)
        if args.average_share:
            self.add_callback(self._average)
        if args.early_stopping is not None:
            self.add_callback(EarlyStoppingCallback(args.early_stopping))

    def _mean_of_processes(self, value: torch.Tensor) -> float:
        return float(self.accelerator.gather(value.to(self.args.device)).mean().item())

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        """As in transformers; at the end the model has the mean of the weights, where `average_share` asks for it.

        While the backbone itself is trained, its untrained adapters are skipped.

        Raises:
            SettingsError: The checkpoint to go on from was made with another number of examples a step.
        """
        found = get_last_checkpoint(self.args.output_dir) if resume_from_checkpoint is True else resume_from_checkpoint
        if isinstance(found, str):
            require_batch(Path(found), self._whole_batch())
            self._average.load(Path(found))
        idle = untrained_adapters_idle(self.model.language_model) if self.args.train_backbone else nullcontext()
        with idle:
            output = super().train(resume_from_checkpoint, *args, **kwargs)
        self._average.give()
        if self._four_bit is not None:
            self._four_bit.give_back()
            self._four_bit = None
        return output

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """As in transformers, of the weights that the model would have if the training ended here."""
        with self._average.given():
            return super().evaluate(*args, **kwargs)

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> tuple[list[dict[str, Any]], Any]:
        """As in transformers; the examples of the whole step are counted besides its target tokens."""
        batches, tokens = super().get_batch_samples(*args, **kwargs)
        self._examples_of_step = sum(len(batch[ROWS]) for batch in batches)
        if self.args.world_size > 1 and self.args.average_tokens_across_devices:
            own = torch.tensor(self._examples_of_step, device=self.args.device)
            self._examples_of_step = int(self.accelerator.gather(own).sum())
        return batches, tokens

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """As in transformers. Raises `StageError` where the loss is not a finite number."""
        rows = inputs.pop(ROWS).tolist()
        inputs["num_examples_in_batch"] = self._examples_of_step
        loss: torch.Tensor = super().training_step(model, inputs, *args, **kwargs)
        require_finite_loss(float(loss), self.state.global_step + 1, self._get_learning_rate(), rows)
        self._meter.add(loss)
        return loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """As in transformers; the training loss is the mean since the last log, interruptions or not."""
        if "loss" in logs:
            logs["loss"] = self._meter.mean(self.state.global_step)
        super().log(logs, *args, **kwargs)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        require_finite_weights(self.model, f"step {self.state.global_step}")
        # transformers would delete the older ones before the new one is sealed.
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self.args.save_total_limit = limit
        # Every process has a file in it.
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            folder = Path(self._get_output_dir(trial=trial))
            checkpoint = folder / f"{CHECKPOINT}{self.state.global_step}"
            self._average.save(checkpoint)
            keep_batch(checkpoint, self._whole_batch())
            seal_checkpoint(checkpoint)
            best = self.state.best_model_checkpoint
            remove_older(folder, limit, None if best is None else Path(best))

    def _save(self, *args: Any, **kwargs: Any) -> None:
        with self._whole_layers():
            super()._save(*args, **kwargs)

    def _load_from_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        with self._whole_layers():
            super()._load_from_checkpoint(*args, **kwargs)

    def _load_best_model(self) -> None:
        with self._whole_layers():
            super()._load_best_model()

    def _whole_layers(self) -> AbstractContextManager[None]:
        return nullcontext() if self._four_bit is None else self._four_bit.whole()

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        """As in transformers; nothing is left out of the examples."""
        drawing: PhaseCollator = self.data_collator
        self.data_collator = drawing.whole()
        try:
            return super().get_eval_dataloader(eval_dataset)
        finally:
            self.data_collator = drawing

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if self.args.class_balance:
            labels = disease_targets(self.train_dataset.items, self.model.config.diseases)
            return EpochSeededWeightedSampler(balanced_weights(labels, self.args.class_balance), self._data_seed())
        # Examples of the whole batch are put together, so that the order does not depend on how it is divided.
        by_length = self._by_length(self.train_dataset, self._whole_batch())
        return super()._get_train_sampler(train_dataset) if by_length is None else by_length

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        by_length = self._by_length(eval_dataset, self.args.eval_batch_size)
        return super()._get_eval_sampler(eval_dataset) if by_length is None else by_length

    def _by_length(self, examples: PhaseExamples, batch_size: int) -> EpochSeededLengthSampler | None:
        # transformers can group tokenised examples only; notes are tokenised batch by batch.
        if self.args.train_sampling_strategy != "group_by_length":
            return None
        return EpochSeededLengthSampler(examples.lengths(self.data_collator), batch_size, self._data_seed())

    def _whole_batch(self) -> int:
        """How many examples a step learns from, of all processes and accumulated batches together."""
        processes = 1 if self.args.accelerator_config.split_batches else self.args.world_size
        return int(self.args.train_batch_size * processes * self.args.gradient_accumulation_steps)

    def _data_seed(self) -> int:
        return self.args.seed if self.args.data_seed is None else self.args.data_seed

    def create_optimizer(self, model: Any = None) -> Any:
        """AdamW, or Muon with AdamW where `muon_learning_rate` is set."""
        if self.args.muon_learning_rate is None:
            return super().create_optimizer(model)
        self.optimizer: Any = muon_with_adamw(self.model, self.args)
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
