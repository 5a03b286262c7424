"""Stage `evaluate`: trained models and baselines on held-out patients."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinragen.evaluation.config import EvaluateConfig
from dataset_builder.storage.progress import Report
from trainers.phases import PHASES


def run(config: EvaluateConfig, inputs: Mapping[str, Any], output: Path, report: Report) -> None:
    """Score the models among the inputs on the test split of the input `cohort`.

    A model is given by the name of the system that it stands for, or by its phase where it stands for none and only
    its training curve is shown. Whether a past mention of a disease counts is read from the input `knowledge`, or,
    without it, from the cohort's own definitions.
    """
    from clinragen.claims.check import Checking
    from clinragen.evaluation.run import evaluate_systems
    from clinragen.evaluation.systems import systems_of
    from clinragen.knowledge.reader import load_knowledge
    from dataset_builder.contract.definitions import read_definitions
    from dataset_builder.contract.schema import load_examples

    folder = Path(inputs["cohort"])
    cohort = load_examples(folder)
    if "knowledge" in inputs:
        base = load_knowledge(Path(inputs["knowledge"]) / "knowledge.json", cohort.vocabulary)
        history_counts = base.history_counts
    else:
        written = read_definitions(folder).diseases
        history_counts = {key: bool(entry["history_counts"]) for key, entry in written.items()}
    checking = Checking(cohort.vocabulary, cohort.vocabulary.range_set(cohort.range_set), history_counts)
    models = {role: Path(path) for role, path in inputs.items() if role not in ("cohort", "knowledge")}
    curves = {phase.name: models[role] for phase in PHASES if (role := phase.system or phase.name) in models}
    evaluate_systems(output, cohort, systems_of(models), config, checking=checking, curves=curves, report=report)
