"""Stage `publish`: the finished model folder, with the code that loads it and a card."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_builder.storage.config_fields import setting
from dataset_builder.storage.progress import Report


@dataclass(frozen=True)
class PublishConfig:
    """Facts about the training that the card gives."""

    phases: tuple[str, ...] = setting((), help="Phases that were trained, in order.")


def run(config: PublishConfig, inputs: Mapping[str, Any], output: Path, report: Report) -> None:
    """Copy the input `model` without what belongs to its training, and write its card from the `evaluation`.

    With the input `knowledge` the model's folder also gets the base that its rationales are checked by.
    """
    from clinragen.evaluation.cost import COST
    from clinragen.knowledge.reader import KNOWLEDGE
    from clinragen.pipeline.digests import file_names, read_stamp
    from dataset_builder.storage.files import read_json
    from dataset_builder.storage.governance import PROVENANCE
    from trainers.model_card import write_model_card
    from trainers.run_phase import CURVE

    model = Path(inputs["model"])
    stamp = read_stamp(model)
    # What somebody laid beside a stage's own files is not published.
    for name in sorted(file_names(model) if stamp is None else stamp["files"]):
        if "/" not in name and name != CURVE:
            shutil.copy2(model / name, output / name)
    if "knowledge" in inputs:
        shutil.copy2(Path(inputs["knowledge"]) / KNOWLEDGE, output / KNOWLEDGE)
    provenance, cost = Path(inputs["cohort"]) / PROVENANCE, Path(inputs["evaluation"]) / COST
    write_model_card(
        output,
        metrics=read_json(Path(inputs["evaluation"]) / "metrics.json"),
        provenance=read_json(provenance) if provenance.is_file() else {},
        phases=list(config.phases),
        cost=read_json(cost) if cost.is_file() else None,
    )
