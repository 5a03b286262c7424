"""Stage `interventions`: a trained model is asked about the test split again, with something changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinragen.interventions.config import InterventionsConfig
from clinragen.pipeline.scored_cohort import checking_of
from clinragen.pipeline.stage import StageKind
from dataset_builder.contract.truth import TRUTH
from dataset_builder.storage.progress import Report

INTERVENTIONS = StageKind(
    "interventions", InterventionsConfig, "clinragen.interventions.stage", reads={"truth": (f"*{TRUTH}",)}
)


def run(config: InterventionsConfig, inputs: Mapping[str, Any], output: Path, report: Report) -> None:
    """Ask the input `model` about the test split of the input `cohort`.

    What supports which disease, and the terms of the alignment, are read from the model's folder, or where it has no
    knowledge base from the cohort's own definitions. With the input `truth`, the folder of the synthetic hospital
    that the cohort comes from, causes that are known are removed; no model reads it.
    """
    from clinragen.evaluation.examples import require_vocabulary
    from clinragen.interventions.run import Asked, run_interventions
    from clinragen.knowledge.reader import KNOWLEDGE
    from clinragen.pipeline.tables_folder import tables_of
    from dataset_builder.contract.schema import load_examples
    from dataset_builder.contract.truth import read_truth
    from dataset_builder.storage.governance import (
        PROVENANCE,
        carry_provenance,
        read_provenance,
        write_provenance,
    )
    from trainers.device import cpu_threads, resolve_device
    from trainers.run_phase import load_parent

    folder, parent = Path(inputs["cohort"]), Path(inputs["model"])
    cohort = load_examples(folder)
    truth = read_truth(tables_of(inputs["truth"])) if "truth" in inputs else None
    model, processor = load_parent(parent)
    require_vocabulary(processor, cohort.vocabulary, str(parent))
    knowledge = parent / KNOWLEDGE
    checking = checking_of(cohort, folder, knowledge if knowledge.is_file() else None)
    parents = [cohort.provenance, *([read_provenance(parent)] if (parent / PROVENANCE).is_file() else [])]
    write_provenance(output, carry_provenance(parents, "interventions", {}))
    model.to(resolve_device(config.device))
    with cpu_threads(config.cpu_threads):
        run_interventions(output, cohort, Asked(model, processor, checking, config, truth, report))
