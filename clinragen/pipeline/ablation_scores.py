"""The numbers of an ablation table: means over seeds, and paired differences to the reference.

Patients are resampled within each seed, which has a hospital and a split of its own; both lines are scored on the same
resamples, and the difference of each resample is the mean over the seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from clinragen.evaluation.bootstrap import LEVEL, RESAMPLES, Bootstrap, defined_interval
from clinragen.evaluation.diagnosis import match_diagnoses
from clinragen.evaluation.scores import DIAGNOSIS_SCORES, RANKING_SCORES
from clinragen.evaluation.systems import system_name
from clinragen.pipeline.ablation_file import REFERENCE
from clinragen.pipeline.ablation_run import Run
from dataset_builder.contract.arrays import label_matrix
from dataset_builder.contract.schema import load_examples
from dataset_builder.storage.files import read_json
from dataset_builder.storage.governance import is_credentialed, read_provenance

TABLE_FORMAT = 1
SYSTEMS = {
    "full": "gradient_boosting",
    "note_only": "gradient_boosting_note",
    "labs_only": "gradient_boosting_labs",
}
"""The models of a line, and the baseline that reads the same."""
BOOSTING = "gradient_boosting"
COMPARED = {score.name: score for score in DIAGNOSIS_SCORES if score.name in ("micro_f1", "macro_f1")}
"""Scores of which the difference to the reference is given."""
_TITLES = {score.name: score.title for score in DIAGNOSIS_SCORES} | {
    score.name: score.title for score in RANKING_SCORES
}
SCORES = {name: title for name, title in _TITLES.items() if name.endswith(("_f1", "_auroc", "ece"))}
"""Scores of a line by key of metrics.json, with their titles."""
RATIONALE_SCORES = {
    "contradicted_as_written": ("claims", "raw", "data", "contradicted"),
    "supported_claims": ("claims", "shown", "data", "per_rationale"),
    "evidence_note": ("evidence", "shown", "note", "present"),
    "evidence_series": ("evidence", "shown", "series", "present"),
}
"""Scores of rationales, and where metrics.json has them."""


@dataclass(frozen=True, eq=False)
class _Scored:
    """A finished run, read from its folder."""

    run: Run

    @cached_property
    def metrics(self) -> Mapping[str, Any]:
        return dict(read_json(self.run.evaluation / "metrics.json"))

    @cached_property
    def predictions(self) -> Mapping[str, Any]:
        return dict(read_json(self.run.evaluation / "predictions.json"))

    @cached_property
    def cohort(self) -> Path:
        return self.run.folder / self.run.record()["cohort"]

    @cached_property
    def truth(self) -> _Truth:
        return _Truth(self.cohort, self.run.seed)

    def resampled(self, system: str) -> dict[str, np.ndarray] | None:
        """The compared scores of a system on the split and on every resample, `(resamples + 1,)` each."""
        given = self.predictions["diagnoses"].get(system)
        if given is None:
            return None
        matched = match_diagnoses([tuple(names) for names in given], self.truth.diseases).predictions
        decisions = self.truth.bootstrap.decisions(self.truth.labels, matched)
        return {name: score.compute(decisions) for name, score in COMPARED.items()}


class _Truth:
    """The held-out examples of a cohort."""

    def __init__(self, cohort: Path, seed: int) -> None:
        splits = load_examples(cohort)
        self.diseases = splits.vocabulary.diseases
        self.labels = label_matrix(splits["test"])
        # Hospitals of different seeds are resampled independently.
        self.bootstrap = Bootstrap(splits["test"]["subject_id"], resamples=RESAMPLES, seed=seed)


def score_runs(runs: Sequence[Run]) -> dict[str, Any]:
    """The content of ablations.json from the runs that are finished; the others are listed with the reason.

    Args:
        runs: All lines of the first seed, the reference among them, then those of the next.
    """
    lacking = [(run, run.lacks()) for run in runs]
    finished = [_Scored(run) for run, reason in lacking if reason is None]
    by_line: dict[str, dict[int, _Scored]] = {run.ablation.name: {} for run in runs}
    for scored in finished:
        by_line[scored.run.ablation.name][scored.run.seed] = scored
    table = _Table(by_line.get(REFERENCE, {}))
    lines = [table.line(runs_of) for runs_of in by_line.values() if runs_of]
    if table.references:
        lines.append(table.boosting())
    return {
        "format": TABLE_FORMAT,
        "recipe": runs[0].ablation.recipe.stem,
        "seeds": sorted({run.seed for run in runs}),
        "systems": {name: system_name(name) for name in SYSTEMS},
        "bootstrap": {"resamples": RESAMPLES, "level": LEVEL, "unit": "subject, within each seed"},
        "notices": sorted({notice for scored in finished for notice in scored.metrics["notices"]}),
        "credentialed": any(is_credentialed(read_provenance(scored.cohort)) for scored in finished),
        "lines": lines,
        "unfinished": [
            {"name": run.ablation.name, "title": run.ablation.title, "seed": run.seed, "reason": reason}
            for run, reason in lacking
            if reason is not None
        ],
    }


class _Table:
    """Makes lines, each compared with the reference's run of the same seed."""

    def __init__(self, references: Mapping[int, _Scored]) -> None:
        self.references = references
        self._resampled: dict[tuple[int, str], dict[str, np.ndarray] | None] = {}

    def line(self, runs: Mapping[int, _Scored]) -> dict[str, Any]:
        """A line of models."""
        ablation = next(iter(runs.values())).run.ablation
        return {
            "name": ablation.name,
            "title": ablation.title,
            **self._scores({name: name for name in SYSTEMS}, runs, compare=ablation.name != REFERENCE),
            "rationale": {name: _rationale(name, runs) for name in SYSTEMS if _has(name, runs, "rationale")},
            "processor_seconds": {
                kind: _mean({seed: _seconds(scored, kind) for seed, scored in runs.items()})
                for kind in ("train", "evaluate")
            },
        }

    def boosting(self) -> dict[str, Any]:
        """The line of gradient boosting, from the evaluations of the reference."""
        return {
            "name": BOOSTING,
            "title": system_name(BOOSTING),
            **self._scores(SYSTEMS, self.references, compare=True),
            "rationale": {},
        }

    def _scores(self, systems: Mapping[str, str], runs: Mapping[int, _Scored], *, compare: bool) -> dict[str, Any]:
        """Scores and differences by model of the reference; `systems` says which system stands in its column."""
        there = {column: name for column, name in systems.items() if _has(name, runs, "systems")}
        differences = {column: self._difference(column, name, runs) for column, name in there.items() if compare}
        return {
            "seeds": sorted(runs),
            "scores": {column: _system(name, runs) for column, name in there.items()},
            "differences": {column: found for column, found in differences.items() if found is not None},
        }

    def _difference(self, column: str, system: str, runs: Mapping[int, _Scored]) -> dict[str, Any] | None:
        """The difference to the reference, over the seeds that both have finished on the same examples."""
        pairs: dict[int, tuple[dict[str, np.ndarray], dict[str, np.ndarray]]] = {}
        for seed, scored in runs.items():
            reference = self.references.get(seed)
            if reference is None or reference.predictions["example_id"] != scored.predictions["example_id"]:
                continue
            own, other = scored.resampled(system), self._of_reference(seed, column)
            if own is not None and other is not None:
                pairs[seed] = own, other
        if not pairs:
            return None
        found: dict[str, Any] = {"seeds": sorted(pairs)}
        for name in COMPARED:
            found[name] = defined_interval(np.mean([own[name] - other[name] for own, other in pairs.values()], axis=0))
        return found

    def _of_reference(self, seed: int, system: str) -> dict[str, np.ndarray] | None:
        if (seed, system) not in self._resampled:
            self._resampled[seed, system] = self.references[seed].resampled(system)
        return self._resampled[seed, system]


def _has(system: str, runs: Mapping[int, _Scored], entry: str) -> bool:
    return all(system in scored.metrics[entry] for scored in runs.values())


def _system(system: str, runs: Mapping[int, _Scored]) -> dict[str, Any]:
    found = {}
    for name in SCORES:
        values = {
            seed: entry["value"]
            for seed, scored in runs.items()
            if (entry := scored.metrics["systems"][system].get(name)) is not None
        }
        if len(values) == len(runs):
            found[name] = _mean(values)
    return found


def _rationale(system: str, runs: Mapping[int, _Scored]) -> dict[str, Any]:
    found = {}
    for name, path in RATIONALE_SCORES.items():
        values = {seed: _at(scored.metrics["rationale"][system], path) for seed, scored in runs.items()}
        found[name] = _mean(values)
    return found


def _at(entries: Mapping[str, Any], path: Sequence[str]) -> float | None:
    found: Any = entries
    for name in path:
        found = None if found is None else found.get(name)
    return None if found is None else found["value"]


def _mean(values: Mapping[int, float | None]) -> dict[str, Any]:
    """The mean over the seeds and every seed's value; the mean is None where one of them is undefined."""
    given = list(values.values())
    known = [value for value in given if value is not None]
    mean = float(np.mean(known)) if known and len(known) == len(given) else None
    return {"mean": mean, "by_seed": {str(seed): value for seed, value in sorted(values.items())}}


def _seconds(scored: _Scored, kind: str) -> float:
    record = scored.run.record()["seconds"]
    return sum(seconds for stage, seconds in record.items() if stage.split()[0] == kind)
