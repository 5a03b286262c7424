"""Times `clinragen rescore --diagnosis-only` on made-up predictions of ten thousand examples.

    python benchmarks/rescore.py [--examples 10000] [--runs 3]

Every system of a whole evaluation is there: three models with a disease head, the full model's other list, gradient
boosting on three inputs, logistic regression and the prevalence guess, each with probabilities of 25 diseases; every
tenth patient has a second stay. Each run is a process of its own. The median of seconds and processor seconds, and the
peak memory, go to benchmarks/results/rescore.json with versions, commit and machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from machine import commit, processor

from clinragen.evaluation.predictions import Predictions, SystemPredictions, write_predictions
from clinragen.evaluation.score_types import Verified
from clinragen.evaluation.systems import BASELINES
from dataset_builder.contract.definitions import shipped_definitions, write_definitions
from dataset_builder.contract.schema import SPLITS, example_schema
from dataset_builder.storage.files import write_json

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "rescore.json"
PACKAGES = ("numpy", "scipy", "pyarrow", "datasets", "matplotlib")
VALIDATION = 1000
GOAL_SECONDS = 60
# How far the logits of a true and a false decision are apart; none reads nothing.
SHARPNESS = {
    "full": 3.2,
    "note_only": 1.8,
    "labs_only": 1.4,
    "gradient_boosting": 3.0,
    "gradient_boosting_note": 1.8,
    "gradient_boosting_labs": 1.3,
    "logistic_regression": 2.4,
    "prevalence": 0.0,
}
OPEN = {"credentialed": False, "synthetic": True, "title": "Made-up predictions", "licence": {"id": "cc0-1.0"}}


def write_cohort(folder: Path, labels: dict[str, np.ndarray]) -> None:
    """A cohort of which only labels and subjects matter."""
    import pyarrow as pa
    from pyarrow.parquet import write_table

    definitions = shipped_definitions()
    names = definitions.vocabulary.disease_names
    schema = example_schema(definitions.vocabulary)
    (folder / "data").mkdir(parents=True)
    for number, (split, matrix) in enumerate(labels.items()):
        count = len(matrix)
        stay = number * 10**6 + np.arange(count)
        columns: dict[str, Any] = {
            "example_id": [f"made-up-{one}" for one in stay],
            "subject_id": stay - (stay % 10 == 1),
            "hadm_id": stay,
            "stay_id": stay,
            "lab_hours": [[]] * count,
            "lab_values": [[]] * count,
            "lab_observed": [[]] * count,
            "labels": matrix.tolist(),
            "diagnoses": [[name for name, true in zip(names, row, strict=True) if true] for row in matrix],
            "prediction_time": [48.0] * count,
        }
        texts = {name: [""] * count for name in schema.names if name not in columns}
        write_table(pa.table(columns | texts, schema=schema), folder / "data" / f"{split}.parquet")
    write_definitions(folder, definitions)
    write_json(folder / "provenance.json", OPEN)


def write_evaluation(folder: Path, labels: dict[str, np.ndarray], rng: np.random.Generator) -> None:
    """Predictions of every system, of which one example is explained."""
    diseases = shipped_definitions().vocabulary.diseases
    names = np.array([disease.name for disease in diseases])
    prevalence = labels["train"].mean(axis=0)

    def probabilities(name: str, split: str) -> np.ndarray:
        own = labels[split]
        sharpness = SHARPNESS[name]
        prior = np.log(prevalence / (1 - prevalence))
        # The log-odds of a true and of a false decision are normal, and so calibrated.
        moved = sharpness * rng.normal(size=own.shape) + (own - 0.5) * sharpness**2
        return 1 / (1 + np.exp(-prior - moved))

    given = {split: {name: probabilities(name, split) for name in SHARPNESS} for split in ("test", "validation")}
    lists = {name: [tuple(names[row].tolist()) for row in matrix >= 0.4] for name, matrix in given["test"].items()}
    lists["full_decoder"] = lists["note_only"]
    count = len(labels["test"])
    folder.mkdir()
    write_json(folder / "provenance.json", OPEN)
    write_predictions(
        folder,
        Predictions(
            example_id=[f"made-up-{SPLITS.index('test') * 10**6 + one}" for one in range(count)],
            diseases=[disease.key for disease in diseases],
            rows=[0],
            systems={
                name: SystemPredictions(
                    reads_note=name != "labs_only",
                    reads_labs=name != "note_only",
                    rationales=("rationale_note",),
                    texts=[""],
                    verified=[Verified.unchecked("")],
                    notes_cut=None,
                )
                for name in ("full", "note_only", "labs_only")
            },
            diagnoses=lists,
            baselines={baseline.name: {} for baseline in BASELINES if baseline.name in SHARPNESS},
            probabilities=given,
            thresholds={name: np.full((1, len(diseases)), 0.4) for name in SHARPNESS},
            validation_id=[f"made-up-{SPLITS.index('validation') * 10**6 + one}" for one in range(VALIDATION)],
            validation_labels=labels["validation"],
        ),
    )


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULT)
    chosen = parser.parse_args()
    rng = np.random.default_rng(0)
    rates = rng.uniform(0.03, 0.4, len(shipped_definitions().vocabulary.diseases))
    counts = {"train": VALIDATION, "validation": VALIDATION, "test": chosen.examples}
    labels = {split: (rng.random((count, len(rates))) < rates).astype(np.int8) for split, count in counts.items()}
    taken = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_cohort(folder / "cohort", labels)
        write_evaluation(folder / "evaluation", labels, rng)
        words = [str(Path(sys.executable).parent / "clinragen"), "rescore", str(folder / "evaluation")]
        words += ["--cohort", str(folder / "cohort"), "--diagnosis-only", "--output"]
        for run in range(chosen.runs):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            started = time.monotonic()
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            subprocess.run([*words, str(folder / f"{run}")], check=True, stdout=subprocess.DEVNULL, env=environment)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            taken.append((time.monotonic() - started, used))
            print(f"run {run}: {taken[-1][0]:.1f} s, {used:.1f} s of processor time", flush=True)
    seconds, processor_seconds = (round(statistics.median(column), 1) for column in zip(*taken, strict=True))
    result = {
        "command": f"python benchmarks/rescore.py --examples {chosen.examples} --runs {chosen.runs}",
        "commit": commit(),
        "cores": os.cpu_count(),
        "processor": processor(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "runs": chosen.runs,
        "examples": chosen.examples,
        "diseases": len(rates),
        "systems": len(SHARPNESS) + 1,
        "systems_with_probabilities": len(SHARPNESS),
        "threads": 1,
        "seconds": seconds,
        "processor_seconds": processor_seconds,
        "peak_memory_gib": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20, 2),
        "goal": {"seconds": GOAL_SECONDS, "reached": seconds <= GOAL_SECONDS},
    }
    write_json(chosen.output, result)
    print(f"{seconds} s; written to {chosen.output}")


if __name__ == "__main__":
    main()
