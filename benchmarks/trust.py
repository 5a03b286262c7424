"""What an evaluation of the quickstart is worth: by group, with a bound, on another hospital, under interventions.

    python benchmarks/quickstart.py --keep runs/kept
    python benchmarks/trust.py runs/kept/quickstart --work runs/trust [--patients 2000]

Runs `rescore`, `groups`, `guarantee` and `interventions` on a finished run, and the same model on another hospital
(`shifted_world.py`): its patients are synthesized, built, given rationales and evaluated, so that the bound and the
scores of the first hospital can be seen there. Interrupted, the same command goes on. Writes
benchmarks/results/trust.json with the results of all four, and whether the scores that were computed anew are those of
the evaluation.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from machine import commit, processor, run

from dataset_builder.storage.files import read_json, write_json

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "trust.json"
EVALUATED = ("--texts", 250, "--baselines", "light", "--batch-size", 128, "--cpu-threads", 1)


def other_hospital(model: Path, knowledge: Path, work: Path, patients: int) -> Path:
    """The model's evaluation on another hospital, whose folder is returned."""
    folder = work / "other"
    subprocess.run([sys.executable, ROOT / "benchmarks" / "shifted_world.py", work / "world"], check=True)
    run("synthesize", "--world", work / "world", "--patients", patients, "--output", folder / "hospital")
    built = ("--note-policy", "admission", "--window", "first-48h", "--grid", "event", "--range-set", "clinical")
    # Only the baselines learn from it.
    split = ("--split-fractions", 0.3, 0.1, 0.6)
    run("build", "mimic-iv", "--root", folder / "hospital" / "tables", "--output", folder / "build", *built, *split)
    run("rationales", "--cohort", folder / "build", "--knowledge", knowledge, "--output", folder / "rationales")
    given = ("--cohort", folder / "rationales", "--full", model, "--knowledge", knowledge)
    run("evaluate", *given, "--truth", folder / "hospital", *EVALUATED, "--output", folder / "evaluation")
    return folder


def scores(metrics: Path) -> dict[str, Any]:
    """The full model's scores, and those of boosting."""
    content = read_json(metrics)
    return {name: content["systems"][name] for name in ("full", "gradient_boosting") if name in content["systems"]}


def main() -> None:
    """Run all of it, and keep what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--patients", type=int, default=2000)
    given = parser.parse_args()
    here, work = given.run, given.work
    work.mkdir(parents=True, exist_ok=True)
    evaluation, model, knowledge = here / "evaluation", here / "train" / "backbone", here / "knowledge"
    cohort, truth = ("--cohort", here / "rationales", "--knowledge", knowledge), ("--truth", here / "hospital")
    run("rescore", evaluation, *cohort, *truth, "--output", work / "rescored")
    names = ("metrics.json", "report.md")
    same = all((evaluation / name).read_bytes() == (work / "rescored" / name).read_bytes() for name in names)
    run("groups", evaluation, *cohort, "--output", work / "groups")
    other = other_hospital(model, knowledge, work, given.patients)
    there = ("--other-evaluation", other / "evaluation", "--other-cohort", other / "rationales")
    there += ("--other-truth", other / "hospital")
    run("guarantee", evaluation, *cohort, *truth, *there, "--output", work / "guarantee")
    run("interventions", model, "--cohort", here / "rationales", *truth, "--output", work / "interventions")
    pictures = RESULT.with_suffix("")
    pictures.mkdir(parents=True, exist_ok=True)
    for picture in (work / "interventions").glob("*.png"):
        shutil.copy(picture, pictures / picture.name)
    result = {
        "command": "python benchmarks/trust.py RUN --work FOLDER",
        "commit": commit(),
        "machine": {"processor": processor(), "cores": os.cpu_count()},
        "versions": {name: version(name) for name in ("torch", "transformers", "numpy", "scipy")},
        "rescored_is_the_same": same,
        "groups": read_json(work / "groups" / "groups.json"),
        "guarantee": read_json(work / "guarantee" / "guarantee.json"),
        "interventions": read_json(work / "interventions" / "interventions.json"),
        "here": scores(evaluation / "metrics.json"),
        "other_hospital": scores(other / "evaluation" / "metrics.json"),
    }
    write_json(RESULT, result)
    print(f"rescored: {'the same' if same else 'OTHER SCORES'}; written to {RESULT}")


if __name__ == "__main__":
    main()
