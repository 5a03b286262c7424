"""Stage `synthesize`: a synthetic hospital in MIMIC-IV's own tables, with its truth beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinragen.pipeline.tables_folder import TABLES
from dataset_builder.storage.config_fields import LARGEST_SEED, check_values, setting
from dataset_builder.storage.progress import Report
from dataset_builder.synthetic.identifiers import MAX_PATIENTS


@dataclass(frozen=True)
class SynthesizeConfig:
    """Size and seed of the synthetic hospital. Raises `SettingsError` for a value out of its range."""

    patients: int = setting(1000, help="Number of patients.", at_least=1, at_most=MAX_PATIENTS)
    world: Path | None = setting(None, help="Folder with another world: world.yaml and phrases.yaml.")
    seed: int = setting(0, help="Seed of the patients.", at_least=0, at_most=LARGEST_SEED)

    def __post_init__(self) -> None:
        check_values(self)


def run(config: SynthesizeConfig, inputs: Mapping[str, Any], output: Path, report: Report) -> None:
    """Write the hospital into `output`/tables."""
    from dataset_builder.synthetic.hospital import fill_hospital

    tables = output / TABLES
    tables.mkdir()
    fill_hospital(tables, patients=config.patients, seed=config.seed, world=config.world, report=report)
