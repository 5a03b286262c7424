"""Stage `evaluate`: trained models and baselines on held-out patients."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinragen.evaluation.config import EvaluateConfig
from clinragen.pipeline.kept import kept_beside
from clinragen.pipeline.tables_folder import tables_of
from dataset_builder.storage.processes import ALONE, Processes
from dataset_builder.storage.progress import Report
from trainers.phases import PHASES

OTHER_INPUTS = ("cohort", "knowledge", "truth")
"""Inputs besides the models."""


def run(
    config: EvaluateConfig, inputs: Mapping[str, Any], output: Path, report: Report, processes: Processes = ALONE
) -> None:
    """Score the models among the inputs on the test split of the input `cohort`.

    A model is given by the name of the system that it stands for, or by its phase where it stands for none and only
    its training curve is shown. What supports which disease is read from the input `knowledge`, or,
    without it, from the cohort's own definitions. With the input `truth`, the folder of the synthetic hospital that
    the cohort comes from, omissions are counted against what is true; no model reads it.

    What the baselines gave is kept beside `output`, and used again while cohort, setting and code are the same.

    Several `processes` share the examples; the first one scores and writes.
    """
    from clinragen.claims.check import Checking
    from clinragen.evaluation.answers import answer_systems
    from clinragen.evaluation.baselines.fit import fit_baselines
    from clinragen.evaluation.run import Results, score_answers
    from clinragen.evaluation.systems import MAIN, in_order, systems_alone, systems_of
    from clinragen.knowledge.assemble import base_of
    from clinragen.knowledge.reader import load_knowledge, parse_knowledge
    from dataset_builder.contract.definitions import read_definitions
    from dataset_builder.contract.schema import load_examples
    from dataset_builder.contract.truth import read_truth
    from trainers.device import cpu_threads

    folder = Path(inputs["cohort"])
    cohort = load_examples(folder)
    if "knowledge" in inputs:
        base = load_knowledge(Path(inputs["knowledge"]) / "knowledge.json", cohort.vocabulary)
    else:
        base = parse_knowledge(base_of(read_definitions(folder)), "the cohort's vocabulary", cohort.vocabulary)
    checking = Checking(cohort.vocabulary, cohort.vocabulary.range_set(cohort.range_set), base)
    models = {role: Path(path) for role, path in inputs.items() if role not in OTHER_INPUTS}
    curves = {phase.name: models[role] for phase in PHASES if (role := phase.system or phase.name) in models}
    systems = systems_of(models)
    if config.alone and MAIN in systems:
        systems = dict(in_order(systems_alone(systems[MAIN]) | systems))
    truth = read_truth(tables_of(inputs["truth"])) if "truth" in inputs else None
    with cpu_threads(config.cpu_threads):
        answers = answer_systems(
            cohort, systems, config, checking=checking, truth=truth, processes=processes, report=report
        )
    if processes.first:
        kept = kept_beside(output, ".baselines")
        baselines = fit_baselines(
            cohort, checking.range_set, config.baselines, gru=config.gru, kept=kept, report=report
        )
        results = Results(answers, baselines)
        score_answers(output, cohort, results, config, checking=checking, truth=truth, curves=curves, report=report)
