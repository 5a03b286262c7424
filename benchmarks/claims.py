"""Plants errors of every kind in rationales of the rule-based teacher and counts which the claim checker finds.

    python benchmarks/claims.py [--patients 300] [--seed 0]

Builds a synthetic hospital, where the truth is known, and writes benchmarks/results/claims.json: precision and recall
per kind of error, false contradictions among the clean rationales, commit, seed. See planted_errors.py for the errors.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from machine import commit
from planted_errors import ARGUED, RANGES, VOCABULARY, Planted, Planter

from clinragen.claims.check import CONTRADICTED, SUPPORTED, UNVERIFIABLE, Checking, check_rationale
from clinragen.claims.filter import filter_rationale
from clinragen.claims.filter_report import FilterReport
from clinragen.knowledge import load_knowledge
from clinragen.teachers.rules import RuleTeacher
from dataset_builder.cohort.build import build_cohort
from dataset_builder.cohort.config import CohortConfig
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.schema import load_examples
from dataset_builder.synthetic.hospital import fill_hospital

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "claims.json"
KNOWLEDGE = load_knowledge(None, VOCABULARY)


def verdicts(text: str, row: Mapping[str, Any], *, argued: bool = False) -> Counter[str]:
    """Number of claims of a text by verdict: those about diseases with `argued`, all others without."""
    series = LabSeries.from_example(VOCABULARY, row)
    claims = check_rationale(text, series, row["note"], range_set=RANGES, knowledge=KNOWLEDGE)
    return Counter(claim.verdict for claim in claims if (claim.kind in ("tie", "absence")) == argued)


def measure(planted: Sequence[Planted]) -> dict[str, dict[str, float]]:
    """Per kind: planted errors, those found, clean texts that are flagged too, precision and recall."""
    result: dict[str, Counter[str]] = {}
    for item in planted:
        counts = result.setdefault(item.kind, Counter())
        counts["planted"] += 1
        argued = item.kind in ARGUED
        clean = verdicts(item.clean, item.example, argued=argued)[item.verdict]
        counts["found"] += verdicts(item.wrong, item.example, argued=argued)[item.verdict] > clean
        counts["false"] += clean > 0
    return {
        kind: {
            **counts,
            "precision": counts["found"] / max(1, counts["found"] + counts["false"]),
            "recall": counts["found"] / counts["planted"],
        }
        for kind, counts in sorted(result.items())
    }


def clean_rationales(rows: Sequence[Mapping[str, Any]], seed: int) -> dict[str, Any]:
    """Verdicts on the teacher's own rationales and on the summaries, all of which are true."""
    teacher = RuleTeacher(KNOWLEDGE, VOCABULARY, RANGES, seed)
    checking = Checking(VOCABULARY, RANGES, KNOWLEDGE)
    report = FilterReport("rules", VOCABULARY)
    summaries: Counter[str] = Counter()
    claims: Counter[str] = Counter()
    for row in rows:
        rationale = teacher.write(row)
        verdict = filter_rationale((rationale.note, rationale.lab), row, checking)
        report.add(verdict, row["diagnoses"])
        claims.update(claim.verdict for claim in verdict.claims)
        summaries += verdicts(row["lab_summary"], row)
    kinds = (SUPPORTED, CONTRADICTED, UNVERIFIABLE)
    return {
        "rationales": len(rows),
        "rejected": report.report()["rejected"],
        "claims": {verdict: claims[verdict] for verdict in kinds},
        "summary_claims": {verdict: summaries[verdict] for verdict in kinds},
    }


def synthetic_rows(folder: Path, patients: int, seed: int) -> list[Mapping[str, Any]]:
    """The examples of a new synthetic hospital."""
    fill_hospital(folder / "tables", patients=patients, seed=seed)
    build_cohort("mimic-iv", folder / "tables", folder / "cohort", CohortConfig(note_policy="admission"))
    return [row for split in load_examples(folder / "cohort").values() for row in split]


def main() -> None:
    """Build, plant, check, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = synthetic_rows(Path(folder), chosen.patients, chosen.seed)
    planted = list(Planter(rows, chosen.seed).all())
    started = time.process_time()
    kinds = measure(planted)
    seconds = time.process_time() - started
    result = {
        "command": f"python benchmarks/claims.py --patients {chosen.patients} --seed {chosen.seed}",
        "commit": commit(),
        "seed": chosen.seed,
        "patients": chosen.patients,
        "examples": len(rows),
        "kinds": kinds,
        "clean": clean_rationales(rows, chosen.seed),
        "milliseconds_per_text": round(1000 * seconds / max(1, 4 * len(planted)), 2),
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2, sort_keys=True) + "\n")
    for kind, numbers in kinds.items():
        print(
            f"{kind:20} {numbers['planted']:5.0f} precision {numbers['precision']:.3f} recall {numbers['recall']:.3f}"
        )
    print(f"clean: {result['clean']}; written to {RESULTS}")


if __name__ == "__main__":
    main()
