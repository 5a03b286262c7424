"""Stage `prefer`: a trained model learns by preferences of the claim checker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinragen.pipeline.scored_cohort import checking_of
from clinragen.pipeline.stage import StageKind
from dataset_builder.storage.config_fields import LARGEST_SEED, check_values, setting
from dataset_builder.storage.progress import Report


@dataclass(frozen=True, kw_only=True)
class PreferConfig:
    """How a model learns by preferences.

    Raises:
        SettingsError: A value has the wrong type or is out of its range.
    """

    config: Path = setting(help="YAML file with the settings, e.g. recipes/tiny-t5/prefer.yaml.")
    seed: int = setting(0, help="Seed of samples and batches.", at_least=0, at_most=LARGEST_SEED)

    def __post_init__(self) -> None:
        check_values(self)


PREFER = StageKind("prefer", PreferConfig, "clinragen.pipeline.prefer", resumes=True)


def run(config: PreferConfig, inputs: Mapping[str, Any], output: Path, report: Report) -> None:
    """Train the input `model` on the patients of the input `cohort`.

    What supports which disease is read from the model's folder, or where it has no knowledge base from the cohort's
    own definitions.
    """
    from clinragen.knowledge.reader import KNOWLEDGE
    from clinragen.preference.run import train_preference
    from dataset_builder.contract.arrays import require_labels
    from dataset_builder.contract.schema import load_examples

    folder, model = Path(inputs["cohort"]), Path(inputs["model"])
    cohort = load_examples(folder)
    require_labels(cohort["train"])
    knowledge = model / KNOWLEDGE
    checking = checking_of(cohort, folder, knowledge if knowledge.is_file() else None)
    train_preference(
        output,
        parent=model,
        cohort=cohort,
        checking=checking,
        config=config.config,
        seed=config.seed,
        report=report,
    )
