"""A pretrained backbone beside the quickstart's tiny model and gradient boosting, on the same patients.

    clinragen backbone smollm2 --output runs/smollm2
    clinragen run recipes/smollm2-135m/synthetic.yaml --output runs/pretrained
    clinragen quickstart
    python benchmarks/pretrained.py runs/pretrained runs/quickstart --work runs/compared [--texts 100] [--threads 1]
        [--trained-at COMMIT COMMIT]

Both runs have the same cohort: it is compared, and two that differ are refused. `clinragen evaluate` scores each full
model on the whole test split and writes about the same patients; `clinragen rescore` computes every score again from
the saved predictions, so that its share of the time is what evaluating takes on top of answering. Both are kept in
FOLDER, and an interrupted comparison goes on; the seconds are those since the last start, so that the share of one
that was interrupted is an upper bound. Differences are paired, over resampled patients.
benchmarks/results/pretrained.json gets scores, rationales, phases, seconds, versions, commit and machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from machine import BIN, commit, processor

from clinragen.evaluation.diagnosis import match_diagnoses
from clinragen.evaluation.metrics import compare_systems
from clinragen.evaluation.predictions import read_predictions
from dataset_builder.contract.arrays import label_matrix
from dataset_builder.contract.schema import load_examples
from dataset_builder.storage.files import read_json, write_json
from trainers.phases import PHASES

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "pretrained.json"
RATIONALE = ("claims", "evidence", "findings", "consistency", "length", "sentences", "rouge", "bleu", "examples")


def timed(folder: Path, words: Sequence[object]) -> float:
    """Seconds that a command takes which writes this folder; as it took, if it has been run."""
    kept = folder.with_name(f"{folder.name}.seconds.json")
    if not (folder.is_dir() and kept.is_file()):
        began = time.monotonic()
        subprocess.run([BIN / "clinragen", *map(str, words), "--output", str(folder)], check=True)
        write_json(kept, {"seconds": round(time.monotonic() - began, 1), "commit": commit()})
    return float(read_json(kept)["seconds"])


def evaluated(run: Path, work: Path, texts: int, threads: int) -> dict[str, Any]:
    """The full model of a run, evaluated and rescored."""
    cohort = ("--cohort", run / "rationales", "--knowledge", run / "knowledge", "--truth", run / "hospital")
    asked = ("--batch-size", 32, "--baselines", "light", "--texts", texts, "--cpu-threads", threads)
    # The baselines of this cohort are fitted by the first evaluation and kept beside it.
    seconds = timed(work / "evaluation", ("evaluate", *cohort, "--full", model_of(run), *asked))
    rescored = timed(work / "rescored", ("rescore", work / "evaluation", *cohort))
    metrics = read_json(work / "evaluation" / "metrics.json")
    return {
        "phases": {name: curve[-1] for name, curve in curves(run).items()},
        "rationale": {key: metrics["rationale"]["full"][key] for key in RATIONALE},
        "notes_cut": metrics["notes_cut"]["full"],
        "cost": read_json(work / "evaluation" / "cost.json"),
        "seconds": {"evaluate": seconds, "rescore": rescored, "share": round(rescored / (seconds - rescored), 3)},
    }


def model_of(run: Path) -> Path:
    """The model of a run's last phase."""
    return next(folder for phase in reversed(PHASES) if (folder := run / "train" / phase.name).is_dir())


def curves(run: Path) -> dict[str, list[dict[str, Any]]]:
    """The training curve of each phase."""
    found = {phase.name: run / "train" / phase.name / "curve.json" for phase in PHASES}
    return {name: read_json(path) for name, path in found.items() if path.is_file()}


def main() -> None:
    """Evaluate, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pretrained", type=Path)
    parser.add_argument("tiny", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1, help="of torch; a tiny model is as fast with one")
    parser.add_argument("--trained-at", nargs=2, default=[commit()] * 2, help="commits at which the runs were made")
    parser.add_argument("--output", type=Path, default=RESULT)
    given = parser.parse_args()
    runs = {"full": given.pretrained, "tiny": given.tiny}
    cohorts = {name: load_examples(run / "build") for name, run in runs.items()}
    test, vocabulary = cohorts["full"]["test"], cohorts["full"].vocabulary
    if any(cohorts["full"][split][:] != cohorts["tiny"][split][:] for split in ("train", "test")):
        raise SystemExit(
            "the two runs have other patients; give two of the same number and seed of synthetic patients"
        )
    found = {name: evaluated(run, given.work / name, given.texts, given.threads) for name, run in runs.items()}
    saved = {name: read_predictions(given.work / name / "evaluation") for name in runs}
    sources = {"full": ("full", "full"), "tiny": ("tiny", "full"), "gradient_boosting": ("full", "gradient_boosting")}
    lists = {name: saved[run].diagnoses[system] for name, (run, system) in sources.items()}
    lists |= {f"{name}_decoder": saved[name].diagnoses["full_decoder"] for name in runs}
    probabilities = {name: saved[run].probabilities["test"][system] for name, (run, system) in sources.items()}
    compared = compare_systems(
        label_matrix(test),
        {name: match_diagnoses(one, vocabulary.diseases).predictions for name, one in lists.items()},
        test["subject_id"],
        vocabulary.diseases,
        probabilities=probabilities,
    )
    write_json(
        given.output,
        {
            "command": "python benchmarks/pretrained.py PRETRAINED TINY --work FOLDER",
            "commit": commit(),
            "machine": {"processor": processor(), "cores": os.cpu_count(), "threads": given.threads},
            "versions": {name: version(name) for name in ("torch", "transformers", "peft", "lightgbm", "clinragen")},
            "trained_at": dict(zip(runs, given.trained_at, strict=True)),
            "texts": given.texts,
            "models": found,
            **{key: compared[key] for key in ("systems", "differences", "per_disease", "held_out", "bootstrap")},
        },
    )
    print(f"written to {given.output}")


if __name__ == "__main__":
    main()
