"""Stage `train`: one phase, from a parent model or from a new one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from clinragen.pipeline.phase_settings import deciding_phase_settings
from dataset_builder.storage.code_fingerprint import code_fingerprint
from dataset_builder.storage.config_fields import LARGEST_SEED, check_values, setting
from dataset_builder.storage.files import file_digest, fingerprint, read_yaml
from dataset_builder.storage.processes import ALONE, Processes
from dataset_builder.storage.progress import Report
from modeling_clinragen.errors import SettingsError
from trainers.phases import PHASES, phase_named

DIVIDING = ("per_device_train_batch_size", "gradient_accumulation_steps")
"""Settings of a phase that say how the examples of a step are divided between processes and batches."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Which phase is trained and how.

    Raises:
        SettingsError: There is no such phase.
    """

    phase: str = setting(help="Phase of the training.", choices=[phase.name for phase in PHASES])
    config: Path = setting(help="YAML file with the phase's settings, e.g. recipes/tiny-t5/note.yaml.")
    model: Path | None = setting(None, help="YAML file that says what to build, where there is no parent.")
    overrides: tuple[str, ...] = setting((), help="Settings that win over the phase's YAML, as on the command line.")
    seed: int = setting(0, help="Seed of initialisation, batches and dropout.", at_least=0, at_most=LARGEST_SEED)

    def __post_init__(self) -> None:
        check_values(self)

    @property
    def deciding_content(self) -> Mapping[str, Any]:
        """The phase's settings without those that change nothing, the code of its own trainer, and what the model
        YAML names: the shape of a language model that is built from scratch, or the folder of a pretrained one.
        """
        found: dict[str, Any] = {
            "config": fingerprint(deciding_phase_settings(self.config, self.overrides)),
            "overrides": None,  # they are among the settings
        }
        trainer = phase_named(self.phase).trainer
        if trainer is not None:
            # It is named by a text, which no import shows.
            found["trainer"] = _code_of(trainer.partition(":")[0])
        if self.model is None:
            return found
        content = read_yaml(self.model)
        named = dict(content) if isinstance(content, Mapping) else {}
        beside = self.model.resolve().parent
        scratch, backbone = named.get("scratch"), named.get("backbone")
        if isinstance(scratch, str):
            found["scratch"] = beside / scratch
        if isinstance(backbone, str):
            there = next((path for path in (beside / backbone, Path(backbone)) if path.exists()), None)
            found |= {} if there is None else {"backbone": there.resolve()}
        return found

    @property
    def content_to_go_on(self) -> Mapping[str, Any]:
        """Of `deciding_content` what an interrupted training must have had the same.

        Not how a step's examples were divided: its checkpoints serve another number of processes as well, and refuse
        another number of examples themselves.
        """
        settings = deciding_phase_settings(self.config, self.overrides)
        if isinstance(settings, Mapping):
            settings = {name: value for name, value in settings.items() if name not in DIVIDING}
        return {"config": fingerprint(settings)}


def _code_of(module: str) -> str:
    """Digest of the code of a trainer's module; of one outside this project only its own file counts."""
    try:
        return code_fingerprint(module)
    except ModuleNotFoundError:
        try:
            spec = find_spec(module)
        except ModuleNotFoundError:
            spec = None
        if spec is None or spec.origin is None:
            raise SettingsError(
                f"the trainer's module '{module}' is not installed; correct trainers/phases.py"
            ) from None
        return file_digest(Path(spec.origin))


def run(
    config: TrainConfig, inputs: Mapping[str, Any], output: Path, report: Report, processes: Processes = ALONE
) -> None:
    """Train the phase on the input `cohort`, from the input `parent` or with the terms of the input `knowledge`.

    Several `processes` share every batch: transformers finds them by itself, and the first one writes.

    Raises:
        SettingsError: Neither a parent is given nor both a model YAML and a knowledge base.
    """
    from clinragen.knowledge.reader import load_knowledge
    from dataset_builder.contract.schema import load_examples
    from trainers.run_phase import NewModel, load_model_config, train_phase

    cohort = load_examples(Path(inputs["cohort"]))
    start: Path | NewModel
    if "parent" in inputs:
        start = Path(inputs["parent"])
    elif config.model is None or "knowledge" not in inputs:
        raise SettingsError(f"phase '{config.phase}' needs a parent model, or both a model YAML and a knowledge base")
    else:
        settings = load_model_config(config.model)
        base = load_knowledge(Path(inputs["knowledge"]) / "knowledge.json", cohort.vocabulary)
        base = base.without_sources(settings.knowledge_without)
        start = NewModel(settings, list(base.all_terms()), base.disease_terms())
    train_phase(
        config.phase,
        output,
        cohort=cohort,
        start=start,
        config=config.config,
        overrides=config.overrides,
        seed=config.seed,
        report=report,
    )
