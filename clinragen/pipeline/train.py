"""Stage `train`: one phase, from a parent model or from a new one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_builder.storage.config_fields import check_values, setting
from dataset_builder.storage.files import read_yaml
from dataset_builder.storage.progress import Report
from modeling_clinragen.errors import SettingsError
from trainers.phases import PHASES


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
    seed: int = setting(0, help="Seed of initialisation, batches and dropout.")

    def __post_init__(self) -> None:
        check_values(self)

    @property
    def deciding_content(self) -> Mapping[str, Any]:
        """The file that the model YAML names: the shape of a language model that is built from scratch."""
        if self.model is None:
            return {}
        content = read_yaml(self.model)
        named = content.get("scratch") if isinstance(content, Mapping) else None
        return {"scratch": self.model.resolve().parent / named} if isinstance(named, str) else {}


def run(config: TrainConfig, inputs: Mapping[str, Any], output: Path, report: Report) -> None:
    """Train the phase on the input `cohort`, from the input `parent` or with the terms of the input `knowledge`.

    Raises:
        SettingsError: Neither a parent is given nor both a model YAML and a knowledge base.
    """
    from clinragen.knowledge import load_knowledge
    from dataset_builder.contract.schema import load_examples
    from trainers.run_phase import NewModel, load_model_config, train_phase

    cohort = load_examples(Path(inputs["cohort"]))
    start: Path | NewModel
    if "parent" in inputs:
        start = Path(inputs["parent"])
    elif config.model is None or "knowledge" not in inputs:
        raise SettingsError(f"phase '{config.phase}' needs a parent model, or both a model YAML and a knowledge base")
    else:
        base = load_knowledge(Path(inputs["knowledge"]) / "knowledge.json", cohort.vocabulary)
        start = NewModel(load_model_config(config.model), list(base.all_terms()))
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
