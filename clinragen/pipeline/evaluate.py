"""Stage `evaluate`: trained models and baselines on held-out patients."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinragen.evaluation.config import EvaluateConfig
from clinragen.llm.providers import LLMConfig
from clinragen.pipeline.kept import journal_folder, kept_beside
from clinragen.pipeline.scored_cohort import ScoredCohort, read_scored_cohort
from dataset_builder.storage.processes import ALONE, Processes
from dataset_builder.storage.progress import Report
from trainers.phases import PHASES

if TYPE_CHECKING:
    from clinragen.evaluation.baselines.fit import BaselineAnswers

OTHER_INPUTS = ("cohort", "knowledge", "truth")
"""Inputs besides the models."""
ANSWERS = "answers"
"""Folder in the output with the answers of finished batches, until the evaluation is over."""
ZERO_SHOT_READS = ("note", "lab_hours", "lab_values", "lab_observed")
"""Columns that a language model is shown."""


def run(
    config: EvaluateConfig, inputs: Mapping[str, Any], output: Path, report: Report, processes: Processes = ALONE
) -> None:
    """Score the models among the inputs on the test split of the input `cohort`.

    A model is given by the name of the system that it stands for, or by its phase where it stands for none and only
    its training curve is shown. What supports which disease is read from the input `knowledge`, or,
    without it, from the cohort's own definitions. With the input `truth`, the folder of the synthetic hospital that
    the cohort comes from, omissions are counted against what is true; no model reads it.

    The answers of finished batches are kept in `output` until all is written, and an interrupted evaluation goes on
    from them. What the baselines gave is kept beside `output`, and used again while cohort, setting and code are the
    same; so are the answers of a language model that is asked without training.

    Several `processes` share the examples; the first one scores and writes.
    """
    from clinragen.evaluation.answers import answer_systems
    from clinragen.evaluation.baselines.fit import fit_baselines
    from clinragen.evaluation.run import Results, score_answers
    from clinragen.evaluation.systems import MAIN, in_order, systems_alone, systems_of
    from trainers.device import cpu_threads

    scored = read_scored_cohort(inputs)
    cohort, checking, truth = scored.cohort, scored.checking, scored.truth
    models = {role: Path(path) for role, path in inputs.items() if role not in OTHER_INPUTS}
    curves = {phase.name: models[role] for phase in PHASES if (role := phase.system or phase.name) in models}
    systems = systems_of(models)
    if config.alone and MAIN in systems:
        systems = dict(in_order(systems_alone(systems[MAIN]) | systems))
    with cpu_threads(config.cpu_threads):
        answers = answer_systems(
            cohort,
            systems,
            config,
            checking=checking,
            truth=truth,
            processes=processes,
            kept=output / ANSWERS,
            report=report,
        )
    if processes.first:
        kept = kept_beside(output, ".baselines")
        baselines = fit_baselines(
            cohort, checking.range_set, config.baselines, gru=config.gru, kept=kept, report=report
        )
        if config.zero_shot is not None:
            baselines["zero_shot"] = _zero_shot(config.zero_shot, scored, journal_folder(output), report)
        results = Results(answers, baselines)
        score_answers(output, cohort, results, config, checking=checking, truth=truth, curves=curves, report=report)
        shutil.rmtree(output / ANSWERS)


def _zero_shot(config: LLMConfig, scored: ScoredCohort, journal: Path, report: Report) -> BaselineAnswers:
    from clinragen.evaluation.baselines.fit import BaselineAnswers
    from clinragen.evaluation.baselines.zero_shot import ZeroShot
    from clinragen.llm.providers import open_client

    cohort = scored.cohort
    examples = cohort["test"].select_columns(list(ZERO_SHOT_READS)).to_list()

    async def ask() -> BaselineAnswers:
        opened = open_client(config, cohort.provenance, journal, expected=len(examples), report=report)
        async with opened as client:
            asked = ZeroShot(client, cohort.vocabulary, scored.checking.range_set)
            decisions, choices = await asked.diagnose(examples)
        return BaselineAnswers(decisions, None, choices, None)

    return asyncio.run(ask())
