"""A made-up study: a cohort folder, an evaluation of it, and simulated raters of known reliability."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clinragen.evaluation.predictions import Predictions, SystemPredictions, write_predictions
from clinragen.evaluation.score_types import Verified
from clinragen.study.answers import Answer, RaterAnswers
from clinragen.study.folder import Study
from dataset_builder.contract.definitions import Definitions, write_definitions
from dataset_builder.contract.schema import SPLITS, example_schema
from dataset_builder.storage.files import write_json
from modeling_clinragen.target_layout_clinragen import parse_target
from modeling_clinragen.vocabulary_clinragen import Vocabulary

SECRET = "Jane Q. Patient was seen at the lake house."
OPEN = {
    "source": "mimic-iv",
    "release": "synthetic",
    "title": "Made up",
    "version": "1",
    "licence": {"id": "cc0-1.0", "name": "CC0"},
    "credentialed": False,
    "synthetic": True,
}
TRUE = 'Heart rate is high in most readings, which fits Shock. "fever" fits Septicemia (except in labor).'
FALSE = 'Heart rate is low in all readings, which fits Shock. "no cough" fits Septicemia (except in labor).'


def write_study_inputs(
    folder: Path, vocabulary: Vocabulary, patients: int = 12, **provenance: Any
) -> tuple[Path, Path]:
    """A cohort with so many test patients, and an evaluation of one system; every other shown rationale is false."""
    cohort, evaluation = folder / "cohort", folder / "evaluation"
    rows = [_row(vocabulary, number) for number in range(patients)]
    (cohort / "data").mkdir(parents=True)
    schema = example_schema(vocabulary)
    for split in SPLITS:
        chosen = {"test": rows, "validation": [_row(vocabulary, 901)]}.get(split, [])
        table = pa.Table.from_pylist(chosen, schema=schema)
        pq.write_table(table, cohort / "data" / f"{split}.parquet")
    about: Any = [{one.key: {} for one in listed} for listed in (vocabulary.variables, vocabulary.diseases)]
    write_definitions(cohort, Definitions(vocabulary, *about))
    evaluation.mkdir()
    shown = [TRUE if number % 2 else FALSE for number in range(patients)]
    written = [f"### Disease Diagnosed: Shock. ### Rationale: {FALSE} Temperature is low." for _ in rows]
    write_predictions(evaluation, _predictions(rows, written, shown, vocabulary))
    for place in (cohort, evaluation):
        write_json(place / "provenance.json", {**OPEN, **provenance})
    return cohort, evaluation


def _predictions(
    rows: Sequence[Mapping[str, Any]], written: Sequence[str], shown: Sequence[str], vocabulary: Vocabulary
) -> Predictions:
    parsed = [parse_target("diagnosis-first", text).rationale for text in written]
    full = SystemPredictions(
        reads_note=True,
        reads_labs=True,
        rationales=("rationale_note", "rationale_lab"),
        texts=written,
        verified=[Verified(*pair) for pair in zip(parsed, shown, strict=True)],
        notes_cut=None,
    )
    both = ("Shock", "Septicemia (except in labor)")
    return Predictions(
        example_id=[str(row["example_id"]) for row in rows],
        diseases=[disease.key for disease in vocabulary.diseases],
        rows=range(len(rows)),
        systems={"full": full},
        diagnoses={"full": [both for _ in rows], "prevalence": [() for _ in rows]},
        baselines={"prevalence": {}},
        probabilities={"test": {}, "validation": {}},
        thresholds={},
        validation_id=["made-up-901"],
        validation_labels=np.array([_row(vocabulary, 901)["labels"]]),
    )


def _row(vocabulary: Vocabulary, number: int) -> dict[str, Any]:
    fills = np.array([variable.fill for variable in vocabulary.variables])
    values = np.tile(fills, (6, 1)) * np.linspace(0.97, 1.03, 6)[:, None]
    values[:, vocabulary.variable_keys.index("heart_rate")] = np.linspace(112, 131, 6)
    labels = [0] * len(vocabulary.diseases)
    for place in range(number % 5):
        labels[(number + 3 * place) % len(labels)] = 1
    return {
        "example_id": f"made-up-{number}",
        "subject_id": number,
        "hadm_id": number,
        "stay_id": number,
        "source": "made-up",
        "note": f"Chief Complaint:\nfever and chills for {number + 2} days, productive cough.\n\n"
        f"History of Present Illness:\n{SECRET} Dyspnea since yesterday. Known hypertension, takes lisinopril.",
        "note_policy": "structured",
        "lab_hours": [0.0, 2.0, 5.0, 9.0, 20.0, 40.5],
        "lab_values": values.tolist(),
        "lab_observed": np.ones(values.shape, dtype=bool).tolist(),
        "lab_summary": "",
        "labels": labels,
        "diagnoses": [disease.name for disease, label in zip(vocabulary.diseases, labels, strict=True) if label],
        "rationale_note": '"fever and chills" was reported.',
        "rationale_lab": "Heart rate is high in most readings.",
        "prediction_time": 48.0,
    }


def answers_of(study: Study, rater: str, give: Any, items: Sequence[str] | None = None) -> RaterAnswers:
    """A rater's answers: `give(item, rationale)` makes each."""
    chosen = study.rationales if items is None else items
    return RaterAnswers(rater, {item: give(item, study.rationales[item]) for item in chosen})


def plain_answer(study: Study, *, yes: bool = True, **more: Any) -> Answer:
    """An answer with the same reply to every statement."""
    checks = dict.fromkeys(study.criteria.item_keys, yes)
    return Answer(**{"checks": checks, "overall": "correct", "omissions": 0, **more})


def edit_json(path: Path, change: Any) -> None:
    """Change a JSON file: `change(content)` edits the content in place."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def values_of(scores: Mapping[str, Any], *names: str) -> float:
    """The value of an interval inside scores."""
    for name in names:
        scores = scores[name]
    return float(scores["value"])  # type: ignore[arg-type]
