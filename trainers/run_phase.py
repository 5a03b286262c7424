"""Runs one phase from a parent folder (or from nothing) to a saved model folder, and goes on after an interruption."""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
import yaml
from datasets import DatasetDict
from safetensors import SafetensorError
from transformers import PrinterCallback, TrainerCallback, TrainerState
from transformers.trainer import TRAINER_STATE_NAME
from trl import TrlParser

from dataset_builder.contract.cohort_splits import provenance_of
from dataset_builder.storage.files import file_digest, make_private, read_json
from dataset_builder.storage.governance import carry_provenance, is_credentialed, read_provenance, write_provenance
from modeling_clinragen.errors import InputDataError, SettingsError, StageError
from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration
from modeling_clinragen.pretrained_clinragen import require_whole
from modeling_clinragen.processing_clinragen import ClinRaGenProcessor
from modeling_clinragen.registration import register_auto_classes
from trainers.backbone_trainer import BackboneConfig, BackboneTrainer
from trainers.build_model import ModelConfig, build_model
from trainers.lab_trainer import LabConfig, LabTrainer
from trainers.multimodal_trainer import MultimodalConfig, MultimodalTrainer
from trainers.note_trainer import NoteConfig, NoteTrainer
from trainers.phase_trainer import PhaseConfig, PhaseTrainer

logger = logging.getLogger(__name__)

PHASES: dict[str, tuple[type[PhaseTrainer], type[PhaseConfig]]] = {
    "backbone": (BackboneTrainer, BackboneConfig),
    "note": (NoteTrainer, NoteConfig),
    "lab": (LabTrainer, LabConfig),
    "multimodal": (MultimodalTrainer, MultimodalConfig),
}
CHECKPOINTS = "checkpoints"
CURVE = "curve.json"


def parse_yaml(kind: type, path: Path, overrides: list[str] | None = None, **fixed: Any) -> Any:
    """Read a dataclass from a YAML file through TRL's parser; command-line style overrides win.

    Raises:
        SettingsError: The file is missing or no YAML, or has a field or a value that the dataclass does not know.
    """
    if not path.is_file():
        raise SettingsError(f"{path}: is missing; check the path in the recipe")
    arguments = ["--config", str(path), *(overrides or [])]
    for name, value in fixed.items():
        arguments += [f"--{name}", str(value)]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            (parsed,) = TrlParser((kind,)).parse_args_and_config(args=arguments)
    except (ValueError, TypeError, yaml.YAMLError, SystemExit) as error:
        # Of a value of the wrong type the parser prints a list of all fields, then one line, and ends the program.
        fault = said.getvalue().rpartition("error: ")[2] if isinstance(error, SystemExit) else str(error)
        raise SettingsError(
            f"{path}: {' '.join(fault.split())}; {kind.__name__} has {len(fields(kind))} fields, see docs/training.md"
        ) from error
    return parsed


def load_model_config(path: Path) -> ModelConfig:
    """Read a model YAML; a relative `scratch` file is looked up beside it."""
    settings: ModelConfig = parse_yaml(ModelConfig, path)
    if settings.scratch is not None:
        settings.scratch = str(path.resolve().parent / settings.scratch)
    return settings


def load_parent(folder: Path) -> tuple[ClinRaGenForConditionalGeneration, ClinRaGenProcessor]:
    """Load a model folder. Raises `StageError` when it is not one, `InputDataError` when it is not whole."""
    if not (folder / "config.json").is_file():
        raise StageError(f"{folder}: is not a model folder (config.json is missing); train the phase before first")
    # The processor finds its feature extractor through the Auto classes.
    register_auto_classes()
    try:
        model, found = ClinRaGenForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
    except (OSError, SafetensorError) as error:
        raise InputDataError(f"{folder}: the model's weights are missing or damaged; train the phase again") from error
    require_whole(folder, found)
    return model, ClinRaGenProcessor.from_pretrained(folder)


def cpu_runs_bf16() -> bool:
    """Whether this processor computes in bfloat16; without that, autocast would be slower than single precision."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def train_phase(
    phase: str,
    folder: Path,
    *,
    cohort: DatasetDict,
    config: Path,
    overrides: list[str] | None = None,
    parent: Path | None = None,
    model_config: ModelConfig | None = None,
    terms: list[str] | None = None,
    seed: int = 0,
    on_step: Callable[[int, int, float | None], None] | None = None,
) -> None:
    """Train a phase and leave a model folder that the next phase, or anybody, can load.

    Args:
        phase: A key of `PHASES`.
        folder: Output. Checkpoints of an interrupted run in it are gone on from, and removed at the end.
        cohort: Splits with rationales, as `load_examples` reads them. Of splits made otherwise the origin is not
            recorded: they count as credentialed, and so does the model.
        config, overrides: The phase's YAML file and command-line style overrides.
        parent: Model folder to start from; without it `model_config` and `terms` say what to build.
        on_step: Called after every optimizer step with the step, the number of steps and the last loss.
    """
    trainer_class, config_class = PHASES[phase]
    fixed: dict[str, Any] = {"output_dir": folder / CHECKPOINTS, "seed": seed}
    if not torch.cuda.is_available():
        fixed |= {"use_cpu": True, "bf16": cpu_runs_bf16(), "dataloader_pin_memory": False}
    args = parse_yaml(config_class, config, overrides, **fixed)
    args.disable_tqdm = True
    if parent is not None:
        model, processor = load_parent(parent)
    elif model_config is not None:
        model, processor = build_model(model_config, cohort, terms or [], seed)
    else:
        raise StageError(f"the phase '{phase}' needs a parent model folder or a model config")
    provenance = provenance_of(cohort)
    carried = carry_provenance(
        [*([read_provenance(parent)] if parent is not None else []), provenance],
        f"train {phase}",
        {"config": file_digest(config), "overrides": list(overrides or []), "seed": seed},
    )
    # Before the first checkpoint: a folder that must be private never was anything else.
    write_provenance(folder, carried)
    trainer = trainer_class(
        model=model,
        args=args,
        train_dataset=cohort["train"],
        eval_dataset=cohort["validation"],
        processing_class=processor,
        provenance=provenance,
        callbacks=[_StepCallback(on_step)] if on_step is not None else None,
    )
    trainer.remove_callback(PrinterCallback)
    last = last_whole_checkpoint(folder / CHECKPOINTS)
    if last is not None:
        logger.info("Going on from %s", last.name)
    try:
        trainer.train(resume_from_checkpoint=str(last) if last is not None else None)
        trainer.write_curve(folder / CURVE)
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
    except (SafetensorError, RuntimeError) as error:
        # safetensors and torch report a full disk in their own ways, not as an OSError.
        if "No space left" in str(error) or "file write failed" in str(error):
            raise InputDataError(f"{folder}: the disk is full; free some space and run again") from error
        raise
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    if is_credentialed(carried):
        make_private(folder)


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end. A killed run may leave a torn one, which is removed."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    for checkpoint in found:
        try:
            # The Trainer writes this file last.
            read_json(checkpoint / TRAINER_STATE_NAME)
        except InputDataError:
            shutil.rmtree(checkpoint)
        else:
            return checkpoint
    return None


class _StepCallback(TrainerCallback):
    def __init__(self, on_step: Callable[[int, int, float | None], None]) -> None:
        self.on_step = on_step

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        losses = [entry["loss"] for entry in state.log_history[-3:] if "loss" in entry]
        self.on_step(state.global_step, state.max_steps, losses[-1] if losses else None)
