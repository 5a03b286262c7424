"""Runs `clinragen quickstart` in a fresh folder and records time, peak memory and scores.

    python benchmarks/quickstart.py [--recipe quickstart] [--seed 0] [--keep FOLDER]

Writes benchmarks/results/<recipe>/: result.json (scores, seconds, memory, versions, commit, machine), what was printed
and the figures of the report; with another seed than 0, result-seed-<seed>.json alone. An interrupted run writes
nothing. Another recipe of recipes/ that makes its own patients is given by its name, such as tiny-t5-recommended.
With --evaluate a run that was kept is only evaluated again, by the code of now: the result has no time or memory, and
the commit that it was trained at beside its own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import yaml
from machine import commit, processor

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("torch", "transformers", "peft", "datasets", "duckdb", "scikit-learn", "lightgbm", "sacrebleu")


def main() -> None:
    """Run, measure, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="quickstart")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="keep the run here")
    parser.add_argument("--evaluate", action="store_true", help="only evaluate the run that was kept there")
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp()) if chosen.keep is None else chosen.keep
    output = folder / chosen.recipe
    command = ["quickstart"] if chosen.recipe == "quickstart" else ["run", f"recipes/{chosen.recipe}.yaml"]
    command += ["--seed", str(chosen.seed)]
    if chosen.evaluate:
        command = evaluation(output, ROOT / "recipes" / f"{chosen.recipe}.yaml")
        shutil.rmtree(output / "evaluation", ignore_errors=True)
    where = output / "evaluation" if chosen.evaluate else output
    words = [str(Path(sys.executable).parent / "clinragen"), *command, "--output", str(where)]
    started = time.monotonic()
    environment = {**os.environ, "COLUMNS": "100"}
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, env=environment)
    seconds = time.monotonic() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    metrics = json.loads((output / "evaluation" / "metrics.json").read_text())
    measured = {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_memory_gib": round(used.ru_maxrss / 2**20, 2),
    }
    result = {
        "command": " ".join(["clinragen", *command]).replace(str(output), f"runs/{chosen.recipe}"),
        **({"trained_at": trained_at(chosen.recipe, chosen.seed)} if chosen.evaluate else measured),
        "commit": commit(),
        "seed": chosen.seed,
        "cores": os.cpu_count(),
        "processor": processor(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        **{key: metrics[key] for key in ("systems", "differences", "rationale", "held_out", "training", "notices")},
        **{key: metrics[key] for key in ("logistic_regression", "gradient_boosting", "strongest")},
    }
    results = ROOT / "benchmarks" / "results" / chosen.recipe
    results.mkdir(parents=True, exist_ok=True)
    name = "result.json" if chosen.seed == 0 else f"result-seed-{chosen.seed}.json"
    if chosen.seed == 0:
        for picture in (output / "evaluation").glob("*.png"):
            shutil.copy(picture, results / picture.name)
        # As if it had run where users run it.
        shown = done.stdout.replace(str(output), f"runs/{chosen.recipe}")
        printed = "\n".join(line.rstrip() for line in shown.splitlines())
        (results / "printed.txt").write_text(printed + "\n")
    (results / name).write_text(json.dumps(result, indent=2, sort_keys=True) + "\n")
    print(f"{seconds:.0f} s, {measured['peak_memory_gib']} GiB; written to {results}")
    if chosen.keep is None:
        shutil.rmtree(folder)


def evaluation(output: Path, recipe: Path) -> list[str]:
    """The command that evaluates a finished run as its recipe says."""
    settings = yaml.safe_load(recipe.read_text())["evaluate"]
    options = [
        word
        for name, value in settings.items()
        for word in ([f"--{name.replace('_', '-')}"] if value is True else [f"--{name.replace('_', '-')}", str(value)])
    ]
    models = {"cohort": "rationales", "full": "train/backbone", "knowledge": "knowledge", "truth": "hospital"}
    return [
        "evaluate",
        *(word for name, there in models.items() for word in (f"--{name}", str(output / there))),
        *options,
    ]


def trained_at(recipe: str, seed: int) -> str:
    """The commit of the result that stands there, whose run it was."""
    name = "result.json" if seed == 0 else f"result-seed-{seed}.json"
    before = json.loads((ROOT / "benchmarks" / "results" / recipe / name).read_text())
    return str(before.get("trained_at", before["commit"]))


if __name__ == "__main__":
    main()
