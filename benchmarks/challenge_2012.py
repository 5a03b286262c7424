"""Real ICU stays: what the builder, a trained model and a head trained here make of PhysioNet Challenge 2012, set A.

    python benchmarks/challenge_2012.py [RUN] [--archive SET_A] [--patients 300] [--work runs/challenge-2012]

SET_A is the challenge's archive, by default the one in the reference data folder (CLINRAGEN_SHARED); RUN is the folder
of `clinragen quickstart`, whose model has seen synthetic patients only. Four parts, each kept in --work when it is
done, so that an interrupted run goes on with the next one:

- tables: the files become tables and cohorts; per variable, how many values are used, and how they are distributed
  beside the published normal range, which would show a wrong unit.
- encoder: the model reads every stay without its note: are all answers finite, and how long does it take?
- rationales: of some stays, as written and as shown: claims that the series contradict or cannot decide, and how many
  of the strongest findings of the series are mentioned.
- death: a disease head for one "disease", death in hospital, trained on the builder's own split from the shipped
  variables, and from all that the challenge measures; beside gradient boosting and published figures.

One thread. Times are processor seconds, which a busy machine changes little. The result, with versions, commit, seed
and machine, goes to benchmarks/results/challenge_2012.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from machine import SHARED, commit, processor

from dataset_builder.cohort.build import build_cohort
from dataset_builder.cohort.config import CohortConfig
from dataset_builder.contract.arrays import label_matrix, series_column
from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.contract.schema import SPLITS, load_examples
from dataset_builder.contract.value_ranges import normal_range
from dataset_builder.sources.challenge_2012 import NAME, write_tables

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "challenge_2012.json"
ARCHIVE = SHARED / "data" / "challenge-2012" / "set-a.tar.gz"
DATA = ROOT / "benchmarks" / "data" / "challenge_2012.yaml"
BATCH = 64
STEPS = (100, 300)
"""Lengths of the training, of which the validation split chooses."""
LEARNING = ("--learning_rate", "2e-3", "--muon_learning_rate", "3e-3")
SEED = 0
QUANTILES = (0.01, 0.05, 0.5, 0.95, 0.99)
DEATH = {"shipped variables": (), "all variables": tuple(yaml.safe_load(DATA.read_text())["variables"])}
"""By name of the input, the variables besides the shipped ones."""


def main() -> None:
    """Measure what is not measured yet, and write the result."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, nargs="?", default=Path("runs/quickstart"))
    parser.add_argument("--archive", type=Path, default=ARCHIVE)
    parser.add_argument("--patients", type=int, default=300)
    parser.add_argument("--work", type=Path, default=Path("runs/challenge-2012"))
    parser.add_argument("--output", type=Path, default=RESULTS)
    values = parser.parse_args()
    torch.set_num_threads(1)
    work: Path = values.work
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "tables").is_dir():
        write_tables(values.archive, work / "tables")
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "tables": lambda: _tables(work, values.archive),
        "encoder": lambda: _encoder(work, values.run / "model"),
        "rationales": lambda: _rationales(work, values.run / "model", values.patients),
    }
    for name in DEATH:
        parts[f"death, {name}: gradient boosting"] = lambda name=name: _boosted(work, name)
        parts[f"death, {name}: disease head"] = lambda name=name: _trained(work, name)
    found = {}
    for name, measure in parts.items():
        found[name] = _kept(work / f"{re.sub('[^a-z]+', '-', name)}.json", measure)
        _write(values.output, found)
    print(f"written to {values.output}")


def _write(output: Path, found: Mapping[str, Any]) -> None:
    """The result as far as it is known."""
    result = {
        "what": "PhysioNet Challenge 2012, set A: 4,000 real ICU stays without notes and ICD codes (ODC-BY 1.0)",
        "command": "python benchmarks/challenge_2012.py",
        "parts": dict(found),
        "published": yaml.safe_load(DATA.read_text())["published"],
        "seed": SEED,
        "threads": 1,
        "versions": {name: version(name) for name in ("clinragen", "torch", "transformers", "lightgbm", "duckdb")},
        "commit": ", ".join(sorted({part["commit"] for part in found.values()})),
        "machine": f"{processor()}, {platform.system()}, Python {platform.python_version()}",
    }
    output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _kept(path: Path, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A part's result: the one that is there, or a new one, with its time and commit."""
    if not path.is_file():
        started = time.process_time()
        part = {**measure(), "processor_seconds": round(time.process_time() - started, 1)}
        part["commit"] = commit()
        path.write_text(json.dumps(part, indent=2) + "\n", encoding="utf-8")
        print(f"done: {path.name}, {part['processor_seconds']} s")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _cohort(work: Path, name: str, vocabulary: Path | None = None) -> CohortSplits:
    folder = work / name
    if not folder.is_dir():
        config = CohortConfig(note_policy="structured", vocabulary=vocabulary)
        build_cohort(NAME, work / "tables", folder, config)
    return load_examples(folder)


def _tables(work: Path, archive: Path) -> dict[str, Any]:
    """Times of the two steps, what the build left out, and the values of each variable beside its normal range."""
    for name in ("again", "cohort"):
        shutil.rmtree(work / name, ignore_errors=True)
    started = time.process_time()
    counts = write_tables(archive, work / "again")
    between = time.process_time()
    cohort = _cohort(work, "cohort")
    ended = time.process_time()
    shutil.rmtree(work / "again")
    items = cohort.provenance["items"]
    return {
        "counts": vars(counts),
        "seconds_tables": round(between - started, 1),
        "seconds_build": round(ended - between, 1),
        "stays": {step["filter"]: step["stays"] for step in cohort.provenance["cohort"]},
        "variables": [
            _values(number, variable, cohort, [item for item in items if item["variable"] == variable.key])
            for number, variable in enumerate(cohort.vocabulary.variables)
        ],
    }


def _values(number: int, variable: Any, cohort: CohortSplits, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    series = [one["values"][:, number] for split in SPLITS for one in series_column(cohort[split])]
    values = np.concatenate(series)
    values = values[~np.isnan(values)]
    normal = normal_range(variable)
    implausible = sum(item["rejected"].get("implausible", 0) for item in items)
    return {
        "name": variable.name,
        "unit": variable.unit,
        "rows": sum(item["rows"] for item in items),
        "used": sum(item["used"] for item in items),
        "implausible": implausible,
        "settled": {words: count for item in items for words, count in item["settled"].items()},
        "stays_with_a_value": float(np.mean([bool((~np.isnan(one)).any()) for one in series])),
        "quantiles": dict(zip(map(str, QUANTILES), np.quantile(values, QUANTILES).round(3).tolist(), strict=True)),
        "normal_range": normal,
        "share_in_normal_range": None
        if normal is None
        else float(np.mean((values >= normal[0]) & (values <= normal[1]))),
    }


def _encoder(work: Path, model_folder: Path) -> dict[str, Any]:
    """The model's probabilities of every stay, from the series alone."""
    from trainers.run_phase import load_parent

    cohort = _cohort(work, "cohort")
    model, processing = load_parent(model_folder)
    series = [one for split in SPLITS for one in series_column(cohort[split])]
    started = time.process_time()
    probabilities = _probabilities(model.eval(), processing, series)
    seconds = time.process_time() - started
    steps = np.array([len(one["hours"]) for one in series])
    return {
        "stays": len(series),
        "steps": {"median": float(np.median(steps)), "most": int(steps.max())},
        "finite": int(np.isfinite(probabilities).all(axis=1).sum()),
        "milliseconds_per_stay": round(1000 * seconds / len(series), 2),
        "mean_probabilities": dict(
            zip(model.config.diseases, probabilities.mean(axis=0).round(4).tolist(), strict=True)
        ),
    }


def _probabilities(model: Any, processing: Any, series: Sequence[Any]) -> np.ndarray:
    import torch

    from modeling_clinragen.diagnosing_clinragen import diagnose_patients

    order = sorted(range(len(series)), key=lambda row: len(series[row]["hours"]))
    found = np.zeros((len(series), len(model.config.diseases)))
    with torch.inference_mode():
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            given = [(None, series[row]) for row in rows]
            found[rows] = diagnose_patients(model, processing, given).double().numpy()
    return found


def _rationales(work: Path, model_folder: Path, patients: int) -> dict[str, Any]:
    """Rationales about the series of some test stays, as written freely and as shown."""
    from clinragen.evaluation.bootstrap import Bootstrap
    from clinragen.evaluation.checked import Given, check_text
    from clinragen.evaluation.scores.findings import mentioned_findings
    from clinragen.inference import Explainer

    cohort = _cohort(work, "cohort")
    test = cohort["test"]
    chosen = np.sort(np.random.default_rng(SEED).permutation(len(test))[:patients])
    rows = [{**test[int(row)], "note": ""} for row in chosen]
    bootstrap = Bootstrap([row["subject_id"] for row in rows])
    result: dict[str, Any] = {"stays": len(rows)}
    for way, raw in (("as written", True), ("as shown", False)):
        explainer = Explainer.from_pretrained(model_folder, raw=raw)
        given = [Given(row, explainer.checking, note=False) for row in rows]
        started = time.process_time()
        answers = []
        for start in range(0, len(given), BATCH):
            patients_of_batch = [explainer.patient(None, one.series) for one in given[start : start + BATCH]]
            answers += explainer.explain_many(patients_of_batch)
        seconds = time.process_time() - started
        keys = explainer.vocabulary.key_of_disease
        checked = [check_text(answer.rationale, one) for answer, one in zip(answers, given, strict=True)]
        claims = np.array([_claims(one) for one in checked], dtype=float)
        total = claims.sum(axis=1)
        mentioned = [
            mentioned_findings(one, frozenset(keys[name] for name in answer.diagnoses))["strongest"]
            for one, answer in zip(checked, answers, strict=True)
        ]
        strongest = np.array(mentioned, dtype=float).T
        withheld = np.array([len(answer.withheld) for answer in answers], dtype=float)
        sentences = withheld + np.array([len(answer.sentences) for answer in answers])
        result[way] = {
            "claims": int(total.sum()),
            "contradicted": bootstrap.quotient(claims[:, 1], total),
            "unverifiable": bootstrap.quotient(claims[:, 2], total),
            "supported_per_rationale": float(claims[:, 0].mean()),
            "strongest_findings_mentioned": bootstrap.quotient(*strongest),
            "sentences_withheld": bootstrap.quotient(withheld, sentences),
            "empty": sum(not answer.rationale.strip() for answer in answers),
            "diseases_listed_per_stay": float(np.mean([len(answer.diagnoses) for answer in answers])),
            "seconds_per_stay": round(seconds / len(rows), 3),
        }
    return result


def _claims(rationale: Any) -> tuple[int, int, int]:
    """Claims about the data of one rationale: supported, contradicted, unverifiable."""
    from clinragen.claims.types import CONTRADICTED, SUPPORTED, UNVERIFIABLE

    verdicts = [claim.verdict for claim in rationale.claims if claim.kind not in ("tie", "absence")]
    return verdicts.count(SUPPORTED), verdicts.count(CONTRADICTED), verdicts.count(UNVERIFIABLE)


def _death_cohort(work: Path, name: str) -> CohortSplits:
    folder = f"death-{len(DEATH[name])}"
    return _cohort(work, f"{folder}-cohort", _vocabulary(work / f"{folder}-vocabulary", DEATH[name]))


def _vocabulary(folder: Path, variables: Sequence[str]) -> Path:
    """A vocabulary folder: the shipped variables and these, and death as the only disease."""
    content = yaml.safe_load(DATA.read_text(encoding="utf-8"))
    for kind in ("variables", "diseases"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for key in variables:
        entry = content["variables"][key]
        item = {"table": "measurements", "item": entry.pop("parameter"), "label": entry["name"], "unit": entry["unit"]}
        written = yaml.safe_dump({**entry, "items": {NAME: [item]}}, allow_unicode=True)
        (folder / "variables" / f"{key}.yaml").write_text(written, encoding="utf-8")
    disease = content["disease"]
    key = disease.pop("key")
    (folder / "diseases" / f"{key}.yaml").write_text(yaml.safe_dump(disease), encoding="utf-8")
    index = {"format": 1, "variables": ["shipped", *variables], "diseases": [key]}
    (folder / "vocabulary.yaml").write_text(yaml.safe_dump(index), encoding="utf-8")
    return folder


def _trained(work: Path, name: str) -> dict[str, Any]:
    """Train a disease head whose only disease is death, on the series of some variables; its scores on the test split.

    Age, sex and unit, which the structured notes have, are not read.
    """
    from dataclasses import replace

    from trainers.run_phase import NewModel, load_model_config, load_parent, train_phase

    cohort = _death_cohort(work, name)
    without = {
        split: rows.map(lambda part: {"note": [""] * len(part["note"])}, batched=True)
        for split, rows in cohort.items()
    }
    labs = CohortSplits(without, cohort.provenance, cohort.vocabulary)
    settings = load_model_config(ROOT / "recipes" / "tiny-t5" / "model.yaml")
    start = NewModel(replace(settings, knowledge_fusion="none", evidence_loss_weight=0.0))
    tried: dict[int, float] = {}
    answers: dict[int, dict[str, np.ndarray]] = {}
    for steps in STEPS:
        folder = work / f"death-{len(DEATH[name])}" / str(steps)
        if not (folder / "config.json").is_file():
            options = ("--rationale", "False", "--modality_dropout", "0", "--max_steps", str(steps), *LEARNING)
            recipe = ROOT / "recipes" / "tiny-t5" / "backbone.yaml"
            folder.mkdir(parents=True, exist_ok=True)
            # From its last checkpoint, where it was interrupted.
            train_phase("backbone", folder, cohort=labs, start=start, config=recipe, overrides=options, seed=SEED)
        model, processing = load_parent(folder)
        model.eval()
        answers[steps] = {
            split: _probabilities(model, processing, series_column(cohort[split])) for split in SPLITS[1:]
        }
        tried[steps] = float(_auroc(cohort, answers[steps], "validation")[0])
    chosen = max(tried, key=tried.__getitem__)
    return {"steps": chosen, "validation_auroc_by_steps": tried, **_scores(cohort, answers[chosen])}


def _boosted(work: Path, name: str) -> dict[str, Any]:
    """Gradient boosting on statistics of the same series, as the evaluation's baseline has it."""
    from clinragen.evaluation.baselines.boosting import BoostedTrees
    from clinragen.evaluation.baselines.boosting_settings import BOOSTING
    from modeling_clinragen.series_statistics_clinragen import series_statistics

    cohort = _death_cohort(work, name)
    ranges = cohort.vocabulary.range_set(cohort.range_set)
    inputs = {
        split: series_statistics(list(cohort[split]), cohort.vocabulary.variable_keys, ranges) for split in SPLITS
    }
    trees = BoostedTrees(BOOSTING["full"]).fit(
        (inputs["train"], label_matrix(cohort["train"])), (inputs["validation"], label_matrix(cohort["validation"]))
    )
    found = {split: trees.probabilities(inputs[split]) for split in SPLITS[1:]}
    return {"trees": trees.trees.tolist(), **_scores(cohort, found)}


def _auroc(cohort: CohortSplits, found: Mapping[str, np.ndarray], split: str) -> np.ndarray:
    """Area under the ROC curve on the split, and on every resample of it."""
    from clinragen.evaluation.bootstrap import Bootstrap
    from clinragen.evaluation.ranking import Ranked

    bootstrap = Bootstrap(cohort[split]["subject_id"][:])
    return Ranked(label_matrix(cohort[split]) > 0, found[split], bootstrap).pooled.auroc


def _scores(cohort: CohortSplits, found: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """AUROC with its interval, and the challenge's event 1 at the threshold that is best on the validation split."""
    labels = {split: label_matrix(cohort[split]) > 0 for split in SPLITS}
    areas = _auroc(cohort, found, "test")
    low, high = np.nanpercentile(areas[1:], (2.5, 97.5))
    cuts = np.unique(found["validation"])
    cut = max(cuts, key=lambda cut: _event_1(labels["validation"], found["validation"] >= cut))
    return {
        "variables": len(cohort.vocabulary.variables),
        "examples": {split: len(cohort[split]) for split in SPLITS},
        "deaths": {split: int(labels[split].sum()) for split in SPLITS},
        "validation_auroc": float(_auroc(cohort, found, "validation")[0]),
        "auroc": {"value": float(areas[0]), "low": float(low), "high": float(high)},
        "event_1": _event_1(labels["test"], found["test"] >= cut),
    }


def _event_1(labels: np.ndarray, given: np.ndarray) -> float:
    """The lower of sensitivity and positive predictive value, by which the challenge scored its event 1."""
    hits = float((labels & given).sum())
    return min(hits / max(1, labels.sum()), hits / max(1, given.sum()))


if __name__ == "__main__":
    main()
