"""Compares the context rules for notes with those of negspacy and medspaCy, on sentences labelled by hand.

    python benchmarks/context_rules.py [--data TSV] [--packages negspacy medspacy]

The data are in the format of the ConText test kit, one mention a line: number, note, phrase, sentence with the phrase
in capitals, Negated or Affirmed, Recent or Historical or Not particular, experiencer; by default the kit's development
half in the reference data folder (CLINRAGEN_SHARED). Each package is installed into a virtual environment of its own
that is thrown away afterwards, because their versions of spaCy exclude each other. All read the same sentences, with
the phrase in lower case. Precision, recall and F1 of "negated" and "historical" go to
benchmarks/results/context_rules.json, with their spread over five folds of the sentences, versions, commit, machine.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
import venv
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import SHARED, commit

from clinragen.text.context import load_context_rules, read_context

ROOT = Path(__file__).resolve().parent.parent
DATA = SHARED / "data" / "context-kit" / "development.tsv"
RESULTS = ROOT / "benchmarks" / "results" / "context_rules.json"
PACKAGES = ("negspacy", "medspacy")
EFFECTS = ("negated", "historical")
FOLDS = 5
INSTALL_SECONDS, READ_SECONDS = 1200, 600


@dataclass(frozen=True)
class Case:
    """A mention at characters `start` to `end` of a sentence, with its labels, and the fold of its sentence."""

    text: str
    start: int
    end: int
    labels: dict[str, bool]
    fold: int


def read_cases(path: Path) -> tuple[list[Case], int]:
    """The mentions of a labelled file, and the number of lines whose phrase is not in their sentence."""
    cases = []
    left_out = 0
    for line in path.read_text(encoding="utf-8").splitlines():
        fields = line.replace("''", "'").split("\t")
        phrase, sentence = fields[2].upper().split(), fields[3]
        found = re.search(r"\s+".join(map(re.escape, phrase)), sentence) if phrase else None
        if found is None:
            left_out += 1
            continue
        text = sentence[: found.start()] + found.group().lower() + sentence[found.end() :]
        labels = {"negated": fields[4] == "Negated", "historical": fields[5] == "Historical"}
        # Several mentions of one sentence belong to one fold.
        fold = zlib.crc32(" ".join(sentence.lower().split()).encode()) % FOLDS
        cases.append(Case(text, *found.span(), labels, fold))
    return cases, left_out


def our_answers(cases: Sequence[Case]) -> list[dict[str, bool | None]]:
    """The effects that our rules find."""
    rules = load_context_rules()
    found = [read_context(case.text, rules).effects(case.start, case.end) for case in cases]
    return [{effect: effect in effects for effect in EFFECTS} for effects in found]


def package_answers(package: str, cases: Sequence[Case]) -> tuple[list[dict[str, bool | None]], dict[str, str]]:
    """The answers of another package in an environment of its own, and its versions.

    Raises:
        RuntimeError: The package can't be installed or run; the message has the last lines that say why.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        venv.create(place / "environment", with_pip=True)
        python = place / "environment" / "bin" / "python"
        run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package], INSTALL_SECONDS)
        (place / "cases.json").write_text(json.dumps([(case.text, case.start, case.end) for case in cases]))
        script = ROOT / "benchmarks" / "context_peers.py"
        run([python, script, package, place / "cases.json", place / "answers.json"], READ_SECONDS)
        listed = run([python, "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"], READ_SECONDS)
        versions = {one["name"].lower(): one["version"] for one in json.loads(listed)}
        answers = json.loads((place / "answers.json").read_text())
    return answers, {name: versions[name] for name in (package, "spacy")}


def run(command: Sequence[object], seconds: int) -> str:
    """What a command prints; `RuntimeError` with its last lines if it fails."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=seconds, check=False
    )
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise RuntimeError(f"{command[0]} {' '.join(map(str, command[1:4]))} failed:\n{last}")
    return done.stdout


def scores(cases: Sequence[Case], answers: Sequence[dict[str, bool | None]], effect: str) -> dict[str, float]:
    """Precision, recall and F1 of one effect, with false alarms and misses."""
    pairs = [(case.labels[effect], bool(answer[effect])) for case, answer in zip(cases, answers, strict=True)]
    hits, false, missed = pairs.count((True, True)), pairs.count((False, True)), pairs.count((True, False))
    return {
        "precision": hits / max(1, hits + false),
        "recall": hits / max(1, hits + missed),
        "f1": 2 * hits / max(1, 2 * hits + false + missed),
        "false": false,
        "missed": missed,
    }


def measure(cases: Sequence[Case], answers: Sequence[dict[str, bool | None]]) -> dict[str, Any]:
    """Scores by effect, on all cases and over the folds; an effect that a package does not know is left out."""
    result: dict[str, Any] = {}
    for effect in EFFECTS:
        if answers[0][effect] is None:
            continue
        parts = []
        for fold in range(FOLDS):
            chosen = [number for number, case in enumerate(cases) if case.fold == fold]
            part = scores([cases[number] for number in chosen], [answers[number] for number in chosen], effect)
            parts.append(part["f1"])
        folds = {"f1_of_folds": parts, "f1_mean": statistics.mean(parts), "f1_sd": statistics.stdev(parts)}
        result[effect] = scores(cases, answers, effect) | folds
    return result


def main() -> int:
    """Read, install, run, record; returns 1 if a package could not be installed or run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="a labelled file in the kit's format")
    parser.add_argument("--packages", nargs="*", choices=PACKAGES, default=PACKAGES)
    parser.add_argument("--output", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    cases, left_out = read_cases(chosen.data)
    started = time.process_time()
    systems: dict[str, Any] = {"clinragen": {"scores": measure(cases, our_answers(cases))}}
    microseconds = 1e6 * (time.process_time() - started) / len(cases)
    failed = False
    for package in chosen.packages:
        try:
            answers, versions = package_answers(package, cases)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            print(f"{package}: {error}", file=sys.stderr)
            systems[package] = {"failed": str(error).splitlines()[-1]}
            failed = True
            continue
        systems[package] = {"versions": versions, "scores": measure(cases, answers)}
    result = {
        "command": "python benchmarks/context_rules.py",
        "data": chosen.data.name,
        "cases": len(cases),
        "left_out": left_out,
        "labelled": {effect: sum(case.labels[effect] for case in cases) for effect in EFFECTS},
        "systems": systems,
        "microseconds_per_case": round(microseconds, 1),
        "commit": commit(),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    chosen.output.write_text(json.dumps(result, indent=2, sort_keys=True) + "\n")
    for name, system in systems.items():
        for effect, numbers in system.get("scores", {}).items():
            print(
                f"{name:10} {effect:10} P {numbers['precision']:.3f} R {numbers['recall']:.3f} F1 {numbers['f1']:.3f}"
            )
    print(f"written to {chosen.output}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
