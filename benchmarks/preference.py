"""Measures what preference training does to a model's free texts, on one finished run of the quickstart.

    python benchmarks/preference.py [RUN] [--config recipes/tiny-t5/prefer.yaml] [--model FOLDER] [--work FOLDER]
        [--patients 250] [--split validation] [--output FILE]

RUN is the folder of `clinragen quickstart` (default runs/quickstart); it is only read. `clinragen prefer` trains its
model, or that of `--model`, into a folder of WORK with the config's name (again: goes on where it was, or is up to
date). Then the model that it began with and the new one write for the same patients, freely (`as written`) and
verified (`as shown`). Of both texts the claims are counted by the checker, which is also what the training is
rewarded by; so the free texts are read a second time by the second reader (benchmarks/second_reading.py), which knows
nothing of it. Diagnoses are scored over the whole split. Results with the training's curve, settings, versions,
commit and machine go to benchmarks/results/preference.json, and the curve as a picture beside it.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import commit
from second_reading import _lasting, read_systems
from second_reading_grammar import Grammar
from second_reading_rationale import Reader

from clinragen.claims.check import Checking
from clinragen.evaluation.answers import Answers, answer_systems
from clinragen.evaluation.bootstrap import Bootstrap
from clinragen.evaluation.config import EvaluateConfig
from clinragen.evaluation.diagnosis import match_diagnoses
from clinragen.evaluation.figures import BLUE, GREEN, ORANGE, PURPLE, STYLE
from clinragen.evaluation.score_types import WrittenRationales
from clinragen.evaluation.scores.claims import claim_scores
from clinragen.evaluation.scores.consistency import consistency_scores
from clinragen.evaluation.scores.evidence import evidence_scores
from clinragen.evaluation.scores.findings import finding_scores
from clinragen.evaluation.scores.withheld import withheld_scores
from clinragen.evaluation.systems import MAIN, systems_of
from clinragen.knowledge.reader import KNOWLEDGE, load_knowledge
from clinragen.pipeline.prefer import PREFER, PreferConfig
from clinragen.pipeline.stage import GivenFolder, Stage
from clinragen.preference.curve import CURVE
from dataset_builder.contract.arrays import label_matrix
from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.contract.schema import load_examples
from dataset_builder.contract.truth import TRUTH, HospitalTruth, read_truth
from dataset_builder.storage.files import atomic_file, read_json, read_yaml, write_json
from trainers.run_phase import load_parent

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "preference.json"
GOAL = {"contradicted": 0.05, "claims_kept": 0.9, "f1_loss": 0.01}
"""Issue I: raw contradicted claims at most, share of the claims at least, loss of micro F1 at most."""


def main() -> None:
    """Train, measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", default=Path("runs/quickstart"))
    parser.add_argument("--config", type=Path, default=ROOT / "recipes" / "tiny-t5" / "prefer.yaml")
    parser.add_argument("--model", type=Path, help="the model to begin with; that of RUN by default")
    parser.add_argument("--work", type=Path, default=Path("runs/preference"))
    parser.add_argument("--patients", type=int, default=250)
    parser.add_argument("--split", default="validation", choices=("validation", "test"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    values = parser.parse_args()
    run, preferred = values.run, values.work / values.config.stem
    start = values.model or run / "model"
    started = time.process_time()
    inputs = {
        "model": GivenFolder(start, "model folder"),
        "cohort": GivenFolder(run / "rationales", "cohort folder"),
    }
    Stage(PREFER, PreferConfig(config=values.config, seed=values.seed), inputs, preferred).run()
    seconds = time.process_time() - started
    cohort = _scored_on(values.split, load_examples(run / "rationales"))
    base = load_knowledge(run / "model" / KNOWLEDGE, cohort.vocabulary)
    checking = Checking(cohort.vocabulary, cohort.vocabulary.range_set(cohort.range_set), base)
    tables = run / "hospital" / "tables"
    truth = read_truth(tables) if (tables / TRUTH).is_file() else None
    reader = Reader(Grammar(cohort.vocabulary), _lasting(run / "rationales"))
    measured = {
        name: measure(folder, cohort, checking, truth, reader, values.patients)
        for name, folder in (("before", start), ("after", preferred))
    }
    curve = read_json(preferred / CURVE)
    result = {
        "what": "free texts before and after preference training",
        "split": values.split,
        "provenance": {key: cohort.provenance.get(key) for key in ("source", "version", "synthetic")},
        "settings": read_yaml(values.config),
        "seed": values.seed,
        "processor_seconds_of_training": seconds,
        **measured,
        "goal": reached(measured["before"], measured["after"]),
        "curve": [entry for entry in curve if "eval_claims" in entry],
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("torch", "transformers", "trl", "clinragen")},
        "commit": commit(),
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
    }
    write_json(values.output, result)
    draw(values.output.with_suffix(".png"), result["curve"])
    print(json.dumps({"goal": result["goal"], "seconds": seconds}, indent=2))


def measure(
    folder: Path,
    cohort: CohortSplits,
    checking: Checking,
    truth: HospitalTruth | None,
    reader: Reader,
    patients: int,
) -> dict[str, Any]:
    """Scores of a model's free and verified texts about the cohort's test split, and of its diagnoses."""
    phase = load_parent(folder)[0].config.phase
    # A model that reads both stands for the full one, whatever its last phase.
    (system,) = systems_of({MAIN: folder}).values()
    system = replace(system, phase=phase)
    config = EvaluateConfig(batch_size=64, texts=patients)
    answers = answer_systems(cohort, {MAIN: system}, config, checking=checking, truth=truth)[MAIN]
    chosen = list(answers.rows)
    written = _written(answers, cohort, checking, truth)
    labels, given = label_matrix(cohort["test"]), _decisions(answers, cohort)
    hits = int((labels * given).sum())
    ids = cohort["test"].select(chosen)["example_id"]
    raw = [one.raw for one in answers.verified]
    listed = [list(answers.diagnoses[row]) for row in chosen]
    predictions = {"example_id": list(ids), "shown": {"free": raw}, "diagnoses": {"free": listed}}
    second = read_systems(predictions, cohort, truth, reader)["free"]
    second.pop("false_in", None)
    return {
        "patients": len(chosen),
        "micro_f1": 2 * hits / max(int(labels.sum() + given.sum()), 1),
        "claims": claim_scores(written),
        "findings": finding_scores(written),
        "evidence": evidence_scores(written),
        "consistency": consistency_scores(written),
        "withheld": withheld_scores(written),
        "characters": {
            "free": float(np.mean([len(text or "") for text in raw])),
            "shown": float(np.mean([len(one.shown or "") for one in answers.verified])),
        },
        "second_reading_of_free_texts": second,
    }


def reached(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """How the free texts stand to the goal."""
    contradicted = after["claims"]["raw"]["data"]["contradicted"]["value"]
    kept = after["claims"]["raw"]["data"]["claims"] / max(before["claims"]["raw"]["data"]["claims"], 1)
    loss = before["micro_f1"] - after["micro_f1"]
    return {
        "contradicted_before": before["claims"]["raw"]["data"]["contradicted"]["value"],
        "contradicted": contradicted,
        "claims_kept": kept,
        "f1_loss": loss,
        "wanted": GOAL,
        "reached": contradicted <= GOAL["contradicted"] and kept >= GOAL["claims_kept"] and loss <= GOAL["f1_loss"],
    }


def draw(path: Path, curve: Sequence[Mapping[str, float]]) -> None:
    """The curve as a picture: what is contradicted and rewarded on the left, how much is said on the right."""
    import matplotlib
    from matplotlib.figure import Figure

    steps = [entry["step"] for entry in curve]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        shares, amounts = figure.subplots(1, 2)
        for name, title, colour, marker in (
            ("contradicted_share", "claims contradicted", ORANGE, "o"),
            ("nothing_contradicted", "texts with nothing contradicted", BLUE, "s"),
            ("evidence_recall", "evidence cited", GREEN, "^"),
            ("diagnosis_f1", "F1 of the diagnoses", PURPLE, "D"),
        ):
            shares.plot(steps, [entry[f"eval_{name}"] for entry in curve], color=colour, marker=marker, label=title)
        for name, title, colour, marker in (
            ("claims", "claims a text", BLUE, "s"),
            ("supported", "supported claims a text", GREEN, "^"),
        ):
            amounts.plot(steps, [entry[f"eval_{name}"] for entry in curve], color=colour, marker=marker, label=title)
        tokens = [entry["eval_length"] / 10 for entry in curve]
        amounts.plot(steps, tokens, color=ORANGE, marker="o", label="tokens a text, in tens")
        for axes, title in ((shares, "Free texts: shares"), (amounts, "Free texts: how much they say")):
            axes.set_title(title)
            axes.set_xlabel("step")
            axes.set_ylim(bottom=0)
            axes.legend(fontsize=8)
        with atomic_file(path) as beside:
            figure.savefig(beside, format="png", dpi=150, metadata={"Software": None})


def _scored_on(split: str, cohort: CohortSplits) -> CohortSplits:
    """The cohort with this split in the place of the test split, which is what systems answer about."""
    return (
        cohort
        if split == "test"
        else CohortSplits({**cohort, "test": cohort[split]}, cohort.provenance, cohort.vocabulary)
    )


def _decisions(answers: Answers, cohort: CohortSplits) -> np.ndarray:
    """The listed diseases, 0/1 `(examples, diseases)`."""
    return match_diagnoses(answers.diagnoses, cohort.vocabulary.diseases).predictions


def _written(
    answers: Answers, cohort: CohortSplits, checking: Checking, truth: HospitalTruth | None
) -> WrittenRationales:
    rows = list(answers.rows)
    examples = cohort["test"].select(rows)
    keys = [disease.key for disease in cohort.vocabulary.diseases]
    return WrittenRationales(
        answers=answers.verified,
        listed=[
            frozenset(key for key, given in zip(keys, row, strict=True) if given)
            for row in _decisions(answers, cohort)[rows]
        ],
        references=[""] * len(rows),
        examples=examples,
        checking=checking,
        bootstrap=Bootstrap(examples["subject_id"]),
        truth=truth,
    )


if __name__ == "__main__":
    main()
