"""Measures each step of grounded and verified generation on one run: what it mends, and its price in time.

    python benchmarks/grounding.py [RUN] [--patients 400] [--split validation] [--repeats 5]

RUN is the folder of `clinragen quickstart` (default runs/quickstart). Every way of decoding writes for the same
patients: freely; with quotations from the note and the numbers free, those of any reading, or those of the statistic
that the words name; then with refused sentences left out, with them written again, and with left-out evidence asked
for. The claims of each are checked against the patients' data. Times are medians over repetitions that take turns with
free generation in this process, as ratios to it: in a batch, and for single patients. Each turn is about other
patients as far as there are so many, because what has been read of a text once is remembered. Results, with versions,
commit and machine, go to benchmarks/results/grounding.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from machine import commit

from clinragen.claims.check import Checking
from clinragen.claims.sentences import Patient, check_sentences
from clinragen.claims.types import CONTRADICTED, SUPPORTED, UNVERIFIABLE
from clinragen.inference import Explainer
from clinragen.verification import Verifier, VerifyConfig, generate_verified
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.schema import load_examples

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "grounding.json"
BATCH = 128
WAYS: dict[str, VerifyConfig] = {
    name: VerifyConfig(batch_size=BATCH, **settings)
    for name, settings in {
        "numbers free": {"numbers": "free", "tries": 0, "complete": False},
        "numbers of readings": {"numbers": "readings", "tries": 0, "complete": False},
        "numbers of the statistic": {"tries": 0, "complete": False},
        "written again": {"complete": False},
        "asked for evidence": {},
    }.items()
}


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, nargs="?", default=Path("runs/quickstart"))
    parser.add_argument("--patients", type=int, default=400)
    parser.add_argument("--single", type=int, default=30, help="patients for the times of single ones")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULTS)
    values = parser.parse_args()
    explainer = Explainer.from_pretrained(values.run / "model")
    cohort = load_examples(values.run / "rationales")
    rows = cohort[values.split].select(range(min(values.patients, len(cohort[values.split]))))
    patients = [Patient(LabSeries.from_example(cohort.vocabulary, row), row["note"]) for row in rows]
    ways = {"free": _counts(_freely(explainer, patients), patients, explainer.checking)}
    for name, config in WAYS.items():
        found = generate_verified(explainer.model, explainer.processor, patients, explainer.checking, config)
        if not config.tries:
            # As written under the constraint, before anything is left out.
            drafts = [explainer.processor.parse(one.draft) for one in found]
            ways[name] = _counts([(one.diagnoses, one.rationale) for one in drafts], patients, explainer.checking)
        if name == "numbers of the statistic":
            ways["left out"] = _counts([(one.diagnoses, one.rationale) for one in found], patients, explainer.checking)
            ways["left out"]["withheld"] = _withheld(found)
        if config.tries:
            ways[name] = _counts([(one.diagnoses, one.rationale) for one in found], patients, explainer.checking)
            ways[name]["withheld"] = _withheld(found)
    result = {
        "what": "verified generation by its steps",
        "patients": len(patients),
        "split": values.split,
        "provenance": {key: cohort.provenance.get(key) for key in ("source", "version", "synthetic")},
        "ways": ways,
        "time_ratios": {
            "batch": _ratio(explainer, _turns(patients, BATCH, values.repeats), BATCH),
            "single": _ratio(explainer, _turns(patients, values.single, values.repeats), 1),
        },
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("torch", "transformers", "clinragen")},
        "commit": commit(),
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
    }
    values.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


def _freely(
    explainer: Explainer, patients: Sequence[Patient], batch: int = BATCH
) -> list[tuple[tuple[str, ...], str]]:
    answers = []
    with torch.inference_mode():
        for start in range(0, len(patients), batch):
            part = patients[start : start + batch]
            inputs = explainer.processor(
                note=[one.note or "" for one in part],
                series=[{"hours": one.series.hours, "values": one.series.values} for one in part],
                warn=False,
            )
            generated = explainer.model.generate(**inputs, do_sample=False)
            answers += explainer.processor.tokenizer.batch_decode(generated, skip_special_tokens=True)
    parsed = [explainer.processor.parse(text.strip()) for text in answers]
    return [(one.diagnoses, one.rationale) for one in parsed]


def _counts(
    answers: Sequence[tuple[tuple[str, ...], str]], patients: Sequence[Patient], checking: Checking
) -> dict[str, Any]:
    """Claims about the data by verdict, and ties and absences apart."""
    data = dict.fromkeys((SUPPORTED, CONTRADICTED, UNVERIFIABLE), 0)
    argued = dict(data)
    by_kind: dict[str, dict[str, int]] = {}
    wrong = sentences = 0
    for (diagnoses, text), patient in zip(answers, patients, strict=True):
        found = check_sentences(text, patient, checking, diagnoses)
        sentences += len(found)
        claims = [claim for sentence in found for claim in sentence.claims]
        for claim in claims:
            (argued if claim.kind in ("tie", "absence") else data)[claim.verdict] += 1
            kind = by_kind.setdefault(claim.kind, {})
            kind[claim.verdict] = kind.get(claim.verdict, 0) + 1
        wrong += any(claim.verdict == CONTRADICTED and claim.kind not in ("tie", "absence") for claim in claims)
    total = sum(data.values())
    return {
        "claims": total,
        "contradicted": data[CONTRADICTED] / total if total else None,
        "unverifiable": data[UNVERIFIABLE] / total if total else None,
        "supported_per_rationale": data[SUPPORTED] / len(patients),
        "rationales_with_contradiction": wrong / len(patients),
        "sentences_per_rationale": sentences / len(patients),
        "ties_and_absences": argued,
        "kinds": by_kind,
    }


def _withheld(found: Sequence[Any]) -> float:
    withheld = sum(len(one.withheld) for one in found)
    return withheld / max(1, withheld + sum(len(one.sentences) for one in found))


def _turns(patients: Sequence[Patient], count: int, repeats: int) -> list[list[Patient]]:
    """So many patients for each turn, others in each until there are no more."""
    endless = [*patients] * (1 + repeats * count // len(patients))
    return [endless[turn * count : (turn + 1) * count] for turn in range(repeats)]


def _ratio(explainer: Explainer, turns: Sequence[Sequence[Patient]], batch: int) -> dict[str, Any]:
    """Time of each way over that of free generation in the same turn: the median and all values."""
    ratios: dict[str, list[float]] = {"numbers of the statistic": [], "written again": [], "asked for evidence": []}
    seconds = []
    _freely(explainer, turns[0][:2], batch)
    verifiers = {
        name: Verifier(explainer.model, explainer.processor, explainer.checking, WAYS[name]) for name in ratios
    }
    for patients in turns:
        started = time.perf_counter()
        _freely(explainer, patients, batch)
        free = time.perf_counter() - started
        seconds.append(free / len(patients))
        for name, found in ratios.items():
            started = time.perf_counter()
            for start in range(0, len(patients), batch):
                verifiers[name].generate(patients[start : start + batch])
            found.append((time.perf_counter() - started) / free)
    return {
        "patients": len(turns[0]),
        "free_seconds_per_patient": statistics.median(seconds),
        **{name: {"median": statistics.median(found), "all": found} for name, found in ratios.items()},
    }


if __name__ == "__main__":
    main()
