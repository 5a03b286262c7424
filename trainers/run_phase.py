"""Runs one phase from a parent folder, or from a new model, to a saved model folder; resumes after an interruption."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError
from transformers import PreTrainedTokenizerBase, PrinterCallback, TrainerCallback, TrainerState

from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.storage.files import file_digest, make_private
from dataset_builder.storage.governance import carry_provenance, is_credentialed, read_provenance, write_provenance
from dataset_builder.storage.progress import Progress, Report, no_report
from modeling_clinragen.configuration_clinragen import ClinRaGenConfig
from modeling_clinragen.errors import ClinRaGenError, InputDataError, SettingsError, StageError
from modeling_clinragen.library_errors import library_errors_named
from modeling_clinragen.loading_clinragen import load_part, load_weights
from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration
from modeling_clinragen.pretrained_clinragen import require_whole
from modeling_clinragen.processing_clinragen import ClinRaGenProcessor
from modeling_clinragen.registration import register_auto_classes
from trainers.build_model import build_model, cohort_tokenizer, require_splits
from trainers.calibration import calibrate_head
from trainers.checkpoints import last_whole_checkpoint
from trainers.device import cpu_threads
from trainers.division import require_division_possible, whole_model
from trainers.finite import require_finite_weights
from trainers.memory import FreeMemory
from trainers.memory_check import BeforeLoading, PhaseMemory
from trainers.model_config import ModelConfig, check_model_config, load_model_config
from trainers.model_size import laid_out
from trainers.phase_config import PhaseConfig, check_phase_config, parse_phase_config
from trainers.phase_trainer import PhaseTrainer
from trainers.phases import DEPARTURES, Phase, phase_named
from trainers.precision import require_own_precision
from trainers.tokenizer import CohortTokenizer
from trainers.tokens_report import TOKENS_REPORT

logger = logging.getLogger(__name__)

CHECKPOINTS = "checkpoints"
CURVE = "curve.json"
TENSORBOARD = "tensorboard"
"""Folder of the event files in a model folder, where the phase reports to TensorBoard."""
TENSORBOARD_RUNS = "runs"
"""Where transformers writes them, below its checkpoints."""


@dataclass(frozen=True)
class NewModel:
    """The start of a phase that has no parent: a model to build, and what it takes of the knowledge base.

    Args:
        config: What to build.
        terms: All terms, for the knowledge vocabulary (the paper's V_k).
        disease_terms: Terms by key of the disease, which the queries of a disease head start from.
    """

    config: ModelConfig
    terms: Sequence[str] = ()
    disease_terms: Mapping[str, Sequence[str]] = field(default_factory=dict)


def load_parent(
    folder: Path, before_loading: BeforeLoading | None = None
) -> tuple[ClinRaGenForConditionalGeneration, ClinRaGenProcessor]:
    """Load a model folder.

    Args:
        folder: The folder.
        before_loading: Called before its weights are loaded.

    Raises:
        StageError: It is not a model folder, or one that only foreign code can read.
        InputDataError: Its weights are missing, damaged or pickled.
    """
    if not (folder / "config.json").is_file():
        raise StageError(f"{folder}: is not a model folder (config.json is missing); train the phase before this one")
    # The processor finds its feature extractor through the Auto classes.
    register_auto_classes()
    try:
        processor = load_part(ClinRaGenProcessor, folder)
        if before_loading is not None:
            before_loading(laid_out(load_part(ClinRaGenConfig, folder)), processor)
        model, found = load_weights(ClinRaGenForConditionalGeneration, folder, output_loading_info=True)
    except ClinRaGenError:
        raise
    except ValueError as error:
        raise StageError(
            f"{folder}: is not a ClinRaGen model, or needs code of its own, which is never run; give a folder "
            "that `clinragen train` made"
        ) from error
    except (OSError, SafetensorError) as error:
        raise InputDataError(f"{folder}: the model's weights are missing or damaged; train the phase again") from error
    require_whole(folder, found)
    return model, processor


def cpu_runs_bf16() -> bool:
    """Whether this processor computes in bfloat16; without that, autocast would be slower than single precision."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def train_phase(  # noqa: PLR0913 (what a training is given)
    phase: str,
    folder: Path,
    *,
    cohort: CohortSplits,
    start: Path | NewModel,
    config: Path,
    overrides: Sequence[str] = (),
    seed: int = 0,
    report: Report = no_report,
    free: FreeMemory | None = None,
) -> None:
    """Train a phase and fill a model folder that the next phase, or anybody, can load.

    Of several processes (`torchrun`) that train together the first one writes.

    Args:
        phase: Name of a phase in `trainers.phases`.
        folder: Output. From checkpoints of an interrupted run in it the training resumes; they are removed at the end.
            What was reported to TensorBoard stays in the folder `tensorboard`.
        cohort: Splits with rationales, as `load_examples` reads them.
        start: The parent's model folder, or what to build.
        config, overrides: The phase's YAML file and command-line style overrides.
        seed: Seed of a new model, of batches and dropout.
        report: Called after every optimizer step.
        free: The memory that there is for it; what is free at present by default.

    Raises:
        GovernanceError, StageError: As `PhaseTrainer` and `cohort_tokenizer`; or nothing was trained.
        InputDataError: The parent's weights are missing or damaged, or the disk or the memory is full.
        SettingsError: The parent was trained with another vocabulary or range set than the cohort's, the cohort has no
            vocabulary, there is too little memory, or a setting cannot work.
    """
    chosen = phase_named(phase)
    fixed: dict[str, Any] = {"output_dir": folder / CHECKPOINTS, "seed": seed}
    if not torch.cuda.is_available():
        fixed |= {"use_cpu": True, "bf16": cpu_runs_bf16(), "dataloader_pin_memory": False}
    args = parse_phase_config(config, overrides, **fixed)
    args.disable_tqdm = True
    try:
        require_own_precision(args)
        require_division_possible(args)
    except SettingsError as error:
        raise SettingsError(f"{config}: {error}") from error
    memory = PhaseMemory(chosen, args, FreeMemory.at_present(args.device) if free is None else free)
    first = args.process_index == 0
    provenances = [require_splits(cohort).provenance]
    done: dict[str, Any] = {"config": file_digest(config), "overrides": list(overrides), "seed": seed}
    done |= {name: value for name in DEPARTURES if (value := getattr(args, name)) != getattr(PhaseConfig, name)}
    made = None
    if isinstance(start, NewModel):
        tokenizer: PreTrainedTokenizerBase | None = None
        if start.config.scratch is not None:
            made = cohort_tokenizer(start.config, cohort)
            tokenizer = made.tokenizer
            done["tokenizer_of_patients"] = {
                "patients": made.report.patients,
                "min_patients": made.report.min_patients,
            }
        model, processor = build_model(
            start.config,
            cohort,
            start.terms,
            seed,
            tokenizer,
            disease_terms=start.disease_terms,
            before_loading=memory.require,
        )
    else:
        model, processor = load_parent(start, memory.require)
        _require_fit(processor, cohort, start)
        require_finite_weights(model, f"the parent model {start}", "train its phase again")
        provenances.insert(0, read_provenance(start))
    carried = carry_provenance(provenances, f"train {phase}", done)
    model.set_provenance(carried)
    processor.provenance = carried
    if first:
        # Before the first checkpoint: a folder that must be private is private from the start.
        write_provenance(folder, carried)
    # A setting that cannot work shows itself here at the latest, and a full disk.
    with library_errors_named(folder, config), cpu_threads(args.cpu_threads):
        trainer = _trainer_class(chosen)(
            model=model,
            args=args,
            train_dataset=cohort["train"],
            eval_dataset=cohort["validation"],
            processing_class=processor,
            phase=chosen,
            provenance=cohort.provenance,
            vocabulary=cohort.vocabulary,
            callbacks=[_StepCallback(report)],
        )
        trainer.remove_callback(PrinterCallback)
        if len(trainer.train_dataset) == 0:
            raise StageError("the cohort's training split has no example; build a larger cohort")
        # The first process looks, and removes what is damaged; the others hear of it.
        last = [str(last_whole_checkpoint(folder / CHECKPOINTS) or "") if first else ""]
        broadcast_object_list(last)
        trainer.train(resume_from_checkpoint=last[0] or None)
        if trainer.state.global_step == 0:
            raise StageError(f"phase '{phase}' has trained no step; see its max_steps and num_train_epochs")
        whole = whole_model(trainer)
        if whole is not None:
            require_finite_weights(whole, f"the model after phase '{phase}'")
            if whole.disease_head is not None:
                # In every process that has the whole model.
                calibrate_head(whole, processor, trainer.eval_dataset.items, chosen, args.per_device_eval_batch_size)
        if first and whole is not None:
            trainer.write_curve(folder / CURVE)
            _save(whole, processor, folder)
            _keep_report(made, start, folder)
    if first:
        logged = folder / CHECKPOINTS / TENSORBOARD_RUNS
        if logged.is_dir():
            logged.replace(folder / TENSORBOARD)
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
        if is_credentialed(carried):
            make_private(folder)


def _save(model: ClinRaGenForConditionalGeneration, processor: ClinRaGenProcessor, folder: Path) -> None:
    # How the parent's tokenizer was found says nothing about this one.
    for name in ("is_local", "local_files_only"):
        processor.tokenizer.init_kwargs.pop(name, None)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def _keep_report(made: CohortTokenizer | None, start: Path | NewModel, folder: Path) -> None:
    """Put the report of the tokenizer's tokens into the folder; it stays with the tokenizer from phase to phase."""
    if made is not None:
        made.report.write(folder)
    elif isinstance(start, Path) and (start / TOKENS_REPORT).is_file():
        shutil.copyfile(start / TOKENS_REPORT, folder / TOKENS_REPORT)


def _require_fit(processor: ClinRaGenProcessor, cohort: CohortSplits, parent: Path) -> None:
    here, there = f"the parent model {parent}", "the cohort"
    own = processor.require_vocabulary(where=here)
    own.require_same(cohort.vocabulary, here, there)
    if processor.range_set != cohort.range_set:
        raise SettingsError(
            f"{here} was trained on rationales with the range set '{processor.range_set}', but {there} has "
            f"'{cohort.range_set}'; build the cohort with the parent's range set, or train from the first phase"
        )
    own.require_same_ranges(cohort.vocabulary, cohort.range_set, here, there)


def _trainer_class(phase: Phase) -> type[PhaseTrainer]:
    if phase.trainer is None:
        return PhaseTrainer
    module, _, name = phase.trainer.partition(":")
    return getattr(import_module(module), name)


class _StepCallback(TrainerCallback):
    def __init__(self, report: Report) -> None:
        self.report = report

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        losses = [entry["loss"] for entry in state.log_history[-3:] if "loss" in entry]
        remark = f"loss {losses[-1]:.3f}" if losses else ""
        self.report(Progress(state.global_step, state.max_steps, "steps", remark))


__all__ = [
    "CHECKPOINTS",
    "CURVE",
    "NewModel",
    "check_model_config",
    "check_phase_config",
    "load_model_config",
    "load_parent",
    "train_phase",
]
