"""All baselines on the quickstart's patients: boosting in both settings, regression, prevalence, GRU and zero-shot.

    python benchmarks/baselines.py [RUN] --work FOLDER [--zero-shot MODEL] [--patients 200]

RUN is the folder of `clinragen quickstart` (default runs/quickstart). Fitted on its cohort as `clinragen evaluate`
fits them, and scored on the test split. With --zero-shot a language model (a folder or a GGUF file, as for
llm_teacher.py) is asked, behind a server of its own, which diseases the split's first patients have; gradient boosting
is scored on the same patients beside it. Interrupted, the same command goes on: fitted trees and all answers are kept
in FOLDER. Writes benchmarks/results/baselines.json.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from llm_teacher import served
from machine import commit, processor

from clinragen.evaluation.baselines.fit import BaselineAnswers, fit_baselines
from clinragen.evaluation.baselines.zero_shot import ZeroShot
from clinragen.evaluation.bootstrap import Bootstrap
from clinragen.evaluation.metrics import system_scores
from clinragen.llm.providers import LLMConfig, open_client
from clinragen.pipeline.evaluate import ZERO_SHOT_READS
from dataset_builder.contract.arrays import label_matrix
from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.contract.schema import load_examples
from dataset_builder.storage.files import write_json

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "baselines.json"
PACKAGES = ("lightgbm", "scikit-learn", "torch", "transformers")


def main() -> None:
    """Fit, score, and record."""
    parser = argparse.ArgumentParser(description="All baselines on the quickstart's patients.")
    parser.add_argument("run", type=Path, nargs="?", default=Path("runs/quickstart"))
    parser.add_argument("--work", type=Path, required=True, help="folder of what an interrupted run has done")
    parser.add_argument("--zero-shot", type=Path, help="folder of a language model, or a GGUF file")
    parser.add_argument("--patients", type=int, default=200, help="patients that it is asked about")
    parser.add_argument("--output", type=Path, default=RESULT)
    given = parser.parse_args()
    cohort = load_examples(given.run / "rationales")
    systems, seconds = fitted(cohort, given.work)
    result: dict[str, Any] = {
        "command": "python benchmarks/baselines.py RUN --work FOLDER --zero-shot MODEL",
        "commit": commit(),
        "machine": {"processor": processor(), "cores": os.cpu_count()},
        "versions": {name: version(name) for name in PACKAGES},
        "examples": {name: len(split) for name, split in cohort.items()},
        "systems": {name: scored(cohort, one) for name, one in systems.items()},
        "processor_seconds": seconds,
    }
    if given.zero_shot is not None:
        result["zero_shot"] = zero_shot(cohort, given, systems["gradient_boosting full"])
    write_json(given.output, result)


def fitted(cohort: CohortSplits, work: Path) -> tuple[dict[str, BaselineAnswers], dict[str, float]]:
    """Answers about the test split by baseline and setting, and the processor time of fitting each setting.

    The time is that since the last start: trees that an interrupted run has fitted cost nothing.
    """
    range_set = cohort.vocabulary.range_set(cohort.range_set)
    found: dict[str, BaselineAnswers] = {}
    seconds = {}
    for setting in ("light", "full"):
        began = time.process_time()
        answers = fit_baselines(cohort, range_set, setting, kept=work / f"baselines-{setting}")
        seconds[setting] = round(time.process_time() - began, 1)
        boosted = {name: one for name, one in answers.items() if name.startswith("gradient_boosting")}
        found |= {f"{name} {setting}": one for name, one in boosted.items()}
        found |= {name: one for name, one in answers.items() if name not in boosted}
    began = time.process_time()
    answers = fit_baselines(cohort, range_set, "light", gru=True, kept=work / "baselines-light")
    seconds["gru and light"] = round(time.process_time() - began, 1)
    return found | {"gru": answers["gru"]}, seconds


def scored(cohort: CohortSplits, answers: BaselineAnswers, first: int | None = None) -> dict[str, Any]:
    """Scores on the test split, or on its first patients."""
    rows = cohort["test"] if first is None else cohort["test"].select(range(first))
    probabilities = None if answers.probabilities is None else answers.probabilities[: len(rows)]
    bootstrap = Bootstrap(rows["subject_id"])
    return system_scores(label_matrix(rows), answers.predictions[: len(rows)], bootstrap, probabilities)


def zero_shot(cohort: CohortSplits, given: argparse.Namespace, boosting: BaselineAnswers) -> dict[str, Any]:
    """What a language model answers about the first patients, scored beside boosting."""
    count = min(given.patients, len(cohort["test"]))
    examples = cohort["test"].select(range(count)).select_columns(list(ZERO_SHOT_READS)).to_list()

    async def ask(url: str) -> tuple[np.ndarray, dict[str, Any]]:
        config = LLMConfig(model_name=str(given.zero_shot.resolve()), base_url=url, timeout=1200.0, concurrency=1)
        async with open_client(config, cohort.provenance, given.work / "zero-shot.journal", expected=count) as client:
            asked = ZeroShot(client, cohort.vocabulary, cohort.vocabulary.range_set(cohort.range_set))
            return await asked.diagnose(examples)

    with served(given.zero_shot) as url:
        decisions, choices = asyncio.run(ask(url))
    answers = BaselineAnswers(decisions, None, choices)
    return {
        "model": given.zero_shot.name,
        "settings": {name: value for name, value in choices["settings"].items() if name != "base_url"},
        "patients": count,
        "answers_that_name_no_disease": choices["unnamed"],
        "listed_a_patient": float(decisions.sum(axis=1).mean()),
        "scores": scored(cohort, answers, count),
        "gradient_boosting": scored(cohort, boosting, count),
    }


if __name__ == "__main__":
    main()
