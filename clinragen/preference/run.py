"""Trains a model folder by preferences of the claim checker: samples, ranks, learns, and writes a model folder."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback, TrainerState

from clinragen.claims.check import Checking
from clinragen.claims.sentences import Patient
from clinragen.preference.card import write_card
from clinragen.preference.config import ClinicalPreferenceConfig
from clinragen.preference.curve import CURVE, joined
from clinragen.preference.rewards import ClinicalRewards
from clinragen.verification import Verifier, VerifyConfig
from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.storage.files import file_digest, make_private, read_json, write_json
from dataset_builder.storage.governance import (
    carry_provenance,
    is_credentialed,
    read_provenance,
    require_local_trackers,
    write_provenance,
)
from dataset_builder.storage.progress import Progress, Report, no_report
from modeling_clinragen.errors import InputDataError, SettingsError
from modeling_clinragen.library_errors import library_errors_named
from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration
from modeling_clinragen.own_adapters_clinragen import untrained_adapters_idle
from modeling_clinragen.processing_clinragen import ClinRaGenProcessor
from trainers.calibration import calibrate_head
from trainers.checkpoints import last_whole_checkpoint
from trainers.data import PhaseExamples
from trainers.finite import require_finite_weights
from trainers.memory import FreeMemory
from trainers.memory_check import require_held
from trainers.muon import muon_with_adamw
from trainers.phases import phase_named
from trainers.preference_clinical import ClinicalPolicy, learn_to_write, modalities
from trainers.preference_config import read_preference_config
from trainers.preference_policy import Example, Target
from trainers.preference_sampling import Pair
from trainers.preference_trainer import ClinRaGenPreferenceTrainer
from trainers.run_phase import CHECKPOINTS, cpu_runs_bf16, load_parent
from trainers.step_memory import held_memory
from trainers.tokens_report import TOKENS_REPORT

logger = logging.getLogger(__name__)

PAIRS = "pairs.json"
ROUND = "round-{number}"


def train_preference(
    folder: Path,
    *,
    parent: Path,
    cohort: CohortSplits,
    checking: Checking,
    config: Path,
    seed: int = 0,
    report: Report = no_report,
) -> list[dict[str, float]]:
    """Train a model by preferences and fill a model folder; its phase stays what it was.

    Interrupted, it goes on from the last finished round, the pairs of the next one and the last whole checkpoint.

    Args:
        folder: Output. What an interrupted run left in it is used.
        parent: The model folder to start from.
        cohort: Splits; the training patients are sampled for, the curve is measured on validation patients.
        checking: What texts are checked by.
        config: The YAML file of settings.
        seed: Seed of samples and batches.
        report: Called with the progress.

    Returns:
        The curve, which is also in `preference_curve.json`.

    Raises:
        SettingsError: A setting cannot work, the parent is of another vocabulary, or there is too little memory.
        StageError: There is no model in `parent`, or the training has diverged.
        InputDataError: The cohort has no training patients, or no pair could be made.
    """
    work = folder / CHECKPOINTS
    settings: dict[str, Any] = {"output_dir": str(work), "seed": seed}
    if not torch.cuda.is_available():
        settings |= {"use_cpu": True, "bf16": cpu_runs_bf16(), "dataloader_pin_memory": False}
    args = read_preference_config(config, ClinicalPreferenceConfig, **settings)
    args.disable_tqdm = True
    if not len(cohort["train"]) or not len(cohort["validation"]):
        raise InputDataError("preferences need training and validation patients; build a larger cohort")
    rounds = args.rounds if args.loss == "dpo" else 1
    done = [number for number in range(rounds) if (work / ROUND.format(number=number) / CURVE).is_file()]
    first = len(done)
    start = parent if not first else work / ROUND.format(number=first - 1)
    model, processor = load_parent(start, partial(_require_memory, args))
    own = processor.require_vocabulary(where=f"the parent model {parent}")
    own.require_same(checking.vocabulary, f"the parent model {parent}", "the checking of claims")
    details = {"config": file_digest(config), "seed": seed, "loss": args.loss, "rounds": rounds}
    carried = carry_provenance([read_provenance(parent), cohort.provenance], "prefer", details)
    model.set_provenance(carried)
    processor.provenance = carried
    write_provenance(folder, carried)
    if is_credentialed(carried):
        require_local_trackers(args.report_to or ())
    with library_errors_named(folder, config):
        for number in range(first, rounds):
            _Round(model, processor, cohort, checking, args, work / ROUND.format(number=number), number).run(report)
        if args.train_encoder or not model.config.is_encoder_decoder:
            _calibrate(model, processor, cohort, args.per_device_eval_batch_size)
    curve = joined([read_json(work / ROUND.format(number=number) / CURVE) for number in range(rounds)])
    write_json(folder / CURVE, curve)
    _save(model, processor, folder)
    write_card(folder, carried, args, curve)
    for name in (TOKENS_REPORT, "knowledge.json"):
        if (parent / name).is_file():
            shutil.copyfile(parent / name, folder / name)
    shutil.rmtree(work, ignore_errors=True)
    if is_credentialed(carried):
        make_private(folder)
    return curve


def _require_memory(
    args: ClinicalPreferenceConfig, layout: ClinRaGenForConditionalGeneration, processor: ClinRaGenProcessor
) -> None:
    learn_to_write(layout, whole=args.train_backbone, encoder=args.train_encoder)
    # One copy: what learns as it was at the start, which the model is held to.
    held = held_memory(layout, optim=args.optim, muon=args.muon_learning_rate is not None, copies=1)
    require_held("preference training", held, FreeMemory.at_present(args.device))


class _Round:
    """One round: its patients, their pairs, and the training, with all that an interrupted one can go on from."""

    def __init__(
        self,
        model: Any,
        processor: Any,
        cohort: CohortSplits,
        checking: Checking,
        args: ClinicalPreferenceConfig,
        folder: Path,
        number: int,
    ) -> None:
        self._model, self._processor, self._args = model, processor, args
        self._folder, self._number = folder, number
        self._checking = checking
        note, labs = modalities(model)
        self._shown = note, labs
        self._rewards = ClinicalRewards(checking, processor.layout, note=note, labs=labs)
        learn_to_write(model, whole=args.train_backbone, encoder=args.train_encoder)
        if args.attn_implementation is not None:
            _set_attention(model, args.attn_implementation)
        args.output_dir = str(folder)
        self._examples = list(cohort["train"].select(self._rows(len(cohort["train"]))))
        shown = min(args.curve_patients, len(cohort["validation"]))
        policy = ClinicalPolicy(model, processor, vocabulary=cohort.vocabulary, provenance=cohort.provenance)
        self._trainer = ClinRaGenPreferenceTrainer(
            model,
            args,
            self._examples,
            list(cohort["validation"].select(range(shown))),
            processor,
            reward_functions=[
                self._rewards.nothing_contradicted,
                self._rewards.evidence_recall,
                self._rewards.diagnosis_f1,
                self._rewards.length_in_bounds,
            ],
            ranking=self._rewards.fewest_false,
            coverage=[self._rewards.distinct_supported, self._rewards.evidence_cited],
            measures=[self._rewards.claims, self._rewards.supported, self._rewards.contradicted],
            proposals=self._proposals if args.verified else None,
            policy=policy,
        )
        self._trainer.remove_callback(PrinterCallback)
        if args.muon_learning_rate is not None:
            self._trainer.optimizer = muon_with_adamw(model, args)

    def run(self, report: Report) -> None:
        """Make the pairs where they are not there yet, train, and leave the model and its curve in the folder."""
        trainer = self._trainer
        trainer.add_callback(_StepCallback(report))
        self._folder.mkdir(parents=True, exist_ok=True)
        idle = untrained_adapters_idle(self._model.language_model) if self._args.train_backbone else nullcontext()
        with idle:
            if self._args.loss == "dpo":
                self._pairs(report)
            last = last_whole_checkpoint(self._folder)
            # Before its first step a later round has the model that the round before it measured at its end, and one
            # that goes on has measured what its checkpoint holds.
            self._args.eval_on_start = self._args.eval_on_start and self._number == 0 and last is None
            trainer.train(resume_from_checkpoint=None if last is None else str(last))
            require_finite_weights(self._model, "the model after preference training")
            if not trainer.measured:
                trainer.evaluate()
        _save(self._model, self._processor, self._folder)
        for path in self._folder.glob("checkpoint-*"):
            shutil.rmtree(path)
        # Last: it says that the round is finished.
        trainer.write_curve(self._folder / CURVE)

    def _pairs(self, report: Report) -> None:
        file = self._folder / PAIRS
        if file.is_file():
            self._trainer.pairs = [_pair(entry, self._examples) for entry in read_json(file)]
            return
        # The draws of a round are its own, whatever was drawn before it.
        torch.manual_seed(self._args.seed + self._number)
        write_json(file, [_entry(pair) for pair in self._trainer.make_pairs(report)])

    def _rows(self, total: int) -> list[int]:
        """The patients of this round: of a fixed order the next ones, around its end."""
        count = min(self._args.patients or total, total)
        order = torch.randperm(total, generator=torch.Generator().manual_seed(self._args.seed)).tolist()
        return [order[(self._number * count + place) % total] for place in range(count)]

    def _proposals(self, rows: Sequence[Example]) -> list[list[str]]:
        """The text that the model writes under the constraint for each patient; none where it cannot be parsed."""
        note, labs = self._shown
        vocabulary = self._checking.vocabulary
        patients = [
            Patient(
                LabSeries.from_example(vocabulary, row) if labs else LabSeries.empty(vocabulary),
                (row["note"] or None) if note else None,
            )
            for row in rows
        ]
        verify = VerifyConfig(batch_size=self._args.sample_batch_size)
        found = Verifier(self._model, self._processor, self._checking, verify).generate(patients)
        return [[self._processor.target(one.diagnoses, one.rationale)] if one.problem is None else [] for one in found]


def _entry(pair: Pair) -> dict[str, Any]:
    """A pair as JSON: the row of its patient in this round, and tokens."""
    return {
        "row": pair.row,
        "chosen": [list(pair.chosen.given), list(pair.chosen.written), pair.chosen.finished],
        "rejected": [list(pair.rejected.given), list(pair.rejected.written), pair.rejected.finished],
    }


def _pair(entry: Mapping[str, Any], examples: Sequence[Example]) -> Pair:
    chosen, rejected = (
        Target(tuple(given), tuple(written), finished)
        for given, written, finished in (entry["chosen"], entry["rejected"])
    )
    return Pair(examples[entry["row"]], chosen, rejected, entry["row"])


def _calibrate(model: Any, processor: Any, cohort: CohortSplits, batch_size: int) -> None:
    """Set the disease head's thresholds anew: what it reads has changed."""
    if model.disease_head is None:
        return
    phase = phase_named(model.config.phase)
    items = PhaseExamples(cohort["validation"], phase, processor).items
    calibrate_head(model, processor, items, phase, batch_size)


def _set_attention(model: Any, name: str) -> None:
    try:
        model.set_attn_implementation(name)
    except (ValueError, ImportError) as error:
        raise SettingsError(f"attn_implementation '{name}' cannot be used here; give sdpa or eager") from error


def _save(model: Any, processor: Any, folder: Path) -> None:
    # How the parent's tokenizer was found says nothing about this one.
    for name in ("is_local", "local_files_only"):
        processor.tokenizer.init_kwargs.pop(name, None)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


class _StepCallback(TrainerCallback):
    def __init__(self, report: Report) -> None:
        self.report = report

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        self.report(Progress(state.global_step, state.max_steps, "steps"))
