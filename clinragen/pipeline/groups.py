"""Stage `groups`: the scores of an evaluation by group of patients, from its saved predictions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clinragen.fairness.config import GroupsConfig
from clinragen.pipeline.scored_cohort import SAVED_ANSWERS, read_scored_cohort
from clinragen.pipeline.stage import StageKind
from dataset_builder.storage.progress import Progress, Report

if TYPE_CHECKING:
    from clinragen.claims.check import Checking
    from clinragen.evaluation.predictions import Predictions
    from dataset_builder.contract.cohort_splits import CohortSplits

GROUPS = StageKind(
    "groups",
    GroupsConfig,
    "clinragen.pipeline.groups",
    reads={"evaluation": SAVED_ANSWERS},
)


def run(config: GroupsConfig, inputs: Mapping[str, Any], output: Path, report: Report) -> None:
    """Write `groups.json` and `report.md` for the inputs `evaluation`, `cohort` and `knowledge`.

    Raises:
        InputDataError: The predictions or the groups are about other examples than the cohort's.
    """
    from clinragen.evaluation.predictions import read_predictions
    from clinragen.evaluation.systems import MAIN
    from clinragen.fairness.by_group import compare_groups, decisions_by_example
    from clinragen.fairness.members import groups_of
    from clinragen.fairness.report import report_text
    from dataset_builder.contract.arrays import label_matrix
    from dataset_builder.contract.groups import read_groups
    from dataset_builder.storage.files import write_json
    from dataset_builder.storage.governance import (
        carry_provenance,
        provenance_notices,
        read_provenance,
        write_provenance,
    )

    folder = Path(inputs["evaluation"])
    predictions = read_predictions(folder)
    scored = read_scored_cohort({name: inputs[name] for name in ("cohort", "knowledge") if name in inputs})
    cohort = scored.cohort
    predictions.require_cohort(cohort, str(folder))
    test = cohort["test"]
    names = cohort.vocabulary.disease_names
    listed = np.array([[name in given for name in names] for given in predictions.diagnoses[MAIN]])
    counts = decisions_by_example(label_matrix(test), listed)
    report(Progress(0, None, "claims"))
    counts |= _explained(cohort, scored.checking, predictions, len(test))
    groups = groups_of(list(predictions.example_id), read_groups(Path(inputs["cohort"])), test["note"][:])
    report(Progress(0, None, "groups"))
    entries = compare_groups(groups, counts, test["subject_id"][:], config.least)
    provenance = carry_provenance([cohort.provenance, read_provenance(folder)], "groups", {})
    write_provenance(output, provenance)
    write_json(output / "groups.json", {"least": config.least, "entries": entries})
    (output / "report.md").write_text(report_text(entries, provenance_notices(provenance)), encoding="utf-8")


def _explained(
    cohort: CohortSplits, checking: Checking, predictions: Predictions, examples: int
) -> dict[str, np.ndarray]:
    """Claims and sentences of the explained examples; 0 of the others."""
    from clinragen.evaluation.checked import Given, check_text
    from clinragen.evaluation.systems import MAIN

    main, test = predictions.systems[MAIN], cohort["test"]
    kinds = ("claims", "contradicted", "sentences", "withheld", "listed", "cited")
    found = {kind: np.zeros(examples) for kind in kinds}
    for row, verified in zip(predictions.rows, main.verified, strict=True):
        given = Given(test[int(row)], checking, note=main.reads_note, labs=main.reads_labs)
        written, shown = check_text(verified.raw, given), check_text(verified.shown, given)
        named = {key for sentence in shown.sentences for key in sentence.named}
        listed = {cohort.vocabulary.key_of_disease[name] for name in predictions.diagnoses[MAIN][int(row)]}
        verdicts = [claim.verdict for claim in written.claims]
        values = (
            *(len(verdicts), verdicts.count("contradicted"), verified.sentences, verified.withheld),
            *(len(listed), len(listed & named)),
        )
        for kind, value in zip(kinds, values, strict=True):
            found[kind][int(row)] = value
    return found
