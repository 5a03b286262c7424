"""All interventions on one model: who is asked about, every question that can be answered, and what is written."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from clinragen.claims.check import Checking
from clinragen.evaluation.bootstrap import LEVEL, RESAMPLES, SEED, Bootstrap, defined_interval
from clinragen.evaluation.examples import require_vocabulary
from clinragen.interventions.alignment import align, attention_on_terms, mean_attention, terms_of
from clinragen.interventions.asking import Answers, Asker
from clinragen.interventions.attributions import reason_against, weigh
from clinragen.interventions.changes import INPUTS, PAIRS, PERSONS, remove_each_variable
from clinragen.interventions.citations import Explain, cited_evidence, explain_with
from clinragen.interventions.config import InterventionsConfig
from clinragen.interventions.effects import contrast, micro_f1, run_intervention
from clinragen.interventions.heat_map import draw_heat_map
from clinragen.interventions.known_cause import find_causes, run_known_cause
from clinragen.interventions.patient import Case, Group, Shown, note_sentences
from clinragen.interventions.report import write_report
from clinragen.interventions.sufficiency import ATTENTION, GRADIENT, TITLES, run_sufficiency
from dataset_builder.contract.arrays import label_matrix, series_column
from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.contract.truth import HospitalTruth
from dataset_builder.storage.files import write_json
from dataset_builder.storage.governance import provenance_notices
from dataset_builder.storage.progress import Progress, Report, no_report
from modeling_clinragen.errors import InputDataError, SettingsError

RESULT, REPORT = "interventions.json", "report.md"


@dataclass(frozen=True)
class Asked:
    """A model on its device with its processor, what it is asked with, and what could not be asked.

    Args:
        model, processor: A ClinRaGen model and its processor.
        checking: What rationales are checked by, with the knowledge base that the alignment takes its terms from.
        config: Whom to ask about, and how.
        truth: Of the synthetic hospital that the patients come from, where they do.
        report: Called with the number of answers so far, and before each part.
        unanswerable: Questions that cannot be answered here, each with the reason.
    """

    model: Any
    processor: Any
    checking: Checking
    config: InterventionsConfig
    truth: HospitalTruth | None = None
    report: Report = no_report
    unanswerable: list[dict[str, str]] = field(default_factory=list)

    def cannot(self, question: str, reason: str) -> None:
        """Keep that a question cannot be answered, and why."""
        self.unanswerable.append({"question": question, "because": reason})


def run_interventions(folder: Path, cohort: CohortSplits, asked: Asked) -> dict[str, Any]:
    """Ask, and fill `folder` with interventions.json, report.md and the heat maps.

    Args:
        folder: Where they go; it is private already where the data are credentialed.
        cohort: The cohort whose test split is asked about.
        asked: The model and what it is asked with.

    Returns:
        The content of interventions.json.

    Raises:
        InputDataError: The test split is empty, or the truth is another hospital's.
        SettingsError: The model's vocabulary is not the cohort's, or it has neither a disease head nor lists the
            diseases before the rationale.
    """
    group = draw_cases(cohort, asked)
    model, config = asked.model, asked.config
    counted = _Counted(asked.report)
    ask = Asker(model, asked.processor, config.batch_size, counted.add)
    counted.about("the patients as they are")
    before = ask([case.shown for case in group.cases])
    counted.about("rationales")
    group, explain = _with_rationales(group, asked)
    found = {
        "decided_by": ask.decided_by,
        "held_out": _held_out(group, before, wanted=min(config.patients or len(cohort["test"]), len(cohort["test"]))),
        **_inputs(group, before, ask, counted, asked),
        "pairs": _pairs(group, before, ask, counted, asked),
        "known_cause": _known_cause(group, before, ask, explain, asked, counted),
        **_evidence(group, before, ask, asked, counted),
        "alignment": _alignment(folder, group, asked, counted),
    }
    found |= {
        "unanswerable": asked.unanswerable,
        "answers": counted.done,
        "config": _decisive(config),
        "bootstrap": {"resamples": RESAMPLES, "seed": SEED, "level": LEVEL, "unit": "subject"},
        "notices": provenance_notices(cohort.provenance),
    }
    write_json(folder / RESULT, found)
    (folder / REPORT).write_text(write_report(found), encoding="utf-8")
    return found


def draw_cases(cohort: CohortSplits, asked: Asked) -> Group:
    """The examples of the test split that are asked about, as the model reads them. Raises as `run_interventions`."""
    test, config, processor = cohort["test"], asked.config, asked.processor
    if len(test) == 0:
        raise InputDataError("the cohort's test split is empty; build a larger cohort")
    require_vocabulary(processor, cohort.vocabulary)
    asked.checking.vocabulary.require_same(cohort.vocabulary, "the checking of claims", "the cohort")
    if asked.model.disease_head is None and processor.layout != "diagnosis-first":
        raise SettingsError(
            "this model has no disease head and lists the diseases after the rationale, so nothing is known of its "
            "diagnoses alone; give a model with a disease head or with the layout diagnosis-first"
        )
    stays = list(zip(test["hadm_id"], test["stay_id"], strict=True))
    if asked.truth is not None:
        asked.truth.require_any(stays)
    rows = np.arange(len(test))
    if config.patients is not None and config.patients < len(test):
        rows = np.sort(np.random.default_rng(config.seed).permutation(len(test))[: config.patients])
    notes, series, labels = test["note"], series_column(test), label_matrix(test) > 0
    subjects = test["subject_id"]
    cases: list[Case] = []
    for row in rows.tolist():
        whole = Shown(notes[row] or "", series[row]["hours"], series[row]["values"])
        # A part of a longer note is a note of its own, which is read whole: what is changed has then been read.
        shown = replace(whole, note=processor.reading(*whole.given).text)
        if not shown.empty:
            sentences = note_sentences(shown.note)
            cases.append(Case(len(cases), subjects[row], stays[row], shown, labels[row], sentences))
    if not cases:
        raise InputDataError("no example of the test split has a word in its note or a measurement; build it again")
    return Group(tuple(cases), config.seed)


class _Counted:
    """Reports the number of answers so far, and what they are about."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._about = ""
        self.done = 0

    def about(self, what: str) -> None:
        self._about = what
        self.add(0)

    def add(self, count: int) -> None:
        self.done += count
        self._report(Progress(self.done, None, "answers", self._about))


def _decisive(config: InterventionsConfig) -> dict[str, Any]:
    return {
        name: value for name, value in asdict(config).items() if name not in ("batch_size", "device", "cpu_threads")
    }


def _held_out(group: Group, before: Answers, *, wanted: int) -> dict[str, Any]:
    labels = group.labels
    bootstrap = Bootstrap(group.subjects)
    return {
        "examples": len(group.cases),
        "without_input": wanted - len(group.cases),
        "subjects": bootstrap.subjects,
        "diagnoses": int(labels.sum()),
        "micro_f1": defined_interval(micro_f1(labels, before.listed, bootstrap)),
    }


def _with_rationales(group: Group, asked: Asked) -> tuple[Group, Explain | None]:
    """The cases with what their rationales cite, and what writes rationales; None where nothing does."""
    if asked.processor.layout != "diagnosis-first":
        reason = "the model lists the diseases after the rationale, and no verified rationale can be written"
        asked.cannot("Which evidence does the rationale cite?", reason)
        return group, None

    def report(progress: Progress) -> None:
        asked.report(replace(progress, remark="rationales"))

    explain = explain_with(asked.model, asked.processor, asked.checking, asked.config.batch_size, report)
    rationales = explain([case.shown for case in group.cases])
    cases = [
        replace(case, cited=cited_evidence(case, one.sentences, asked.checking.vocabulary))
        for case, one in zip(group.cases, rationales, strict=True)
    ]
    return Group(tuple(cases), group.seed), explain


def _inputs(group: Group, before: Answers, ask: Asker, counted: _Counted, asked: Asked) -> dict[str, Any]:
    found: dict[str, Any] = {}
    each = remove_each_variable(asked.checking.vocabulary)
    for part, interventions in (("inputs", INPUTS), ("persons", PERSONS), ("variables", each)):
        found[part] = {}
        for intervention in interventions:
            counted.about(intervention.title.lower())
            scores, _, _ = run_intervention(intervention, group, before, ask)
            if scores is None and part == "persons":
                asked.cannot(f"{intervention.title}: does it change the diagnoses?", "no note says it of its patient")
                continue
            found[part][intervention.name] = {"title": intervention.title, "effect": scores}
    return found


def _pairs(group: Group, before: Answers, ask: Asker, counted: _Counted, asked: Asked) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in PAIRS:
        counted.about(pair.title.lower())
        cited, rows, one = run_intervention(pair.cited, group, before, ask)
        uncited, _, other = run_intervention(pair.uncited, group, before, ask)
        if cited is None or uncited is None:
            if group.cases[0].cited is not None:
                asked.cannot(
                    f"Do cited {pair.title.lower()} matter more than uncited ones?",
                    "no rationale cites any beside at least as many uncited ones",
                )
            continue
        found[pair.name] = {
            "title": pair.title,
            "cited": cited,
            "uncited": uncited,
            "cited_minus_uncited": contrast(group.labels[rows], before.of(rows), one, other, group.subjects[rows]),
        }
    return found


def _known_cause(
    group: Group, before: Answers, ask: Asker, explain: Explain | None, asked: Asked, counted: _Counted
) -> dict[str, Any] | None:
    question = "Does a diagnosis go when its only cause is removed?"
    if asked.truth is None:
        asked.cannot(question, "no truth of a synthetic hospital is given (--truth)")
        return None
    counted.about("known causes")
    checking = asked.checking
    causes = find_causes(group, before.listed, asked.truth, checking.vocabulary, checking.range_set)
    found = run_known_cause(causes, group, before, ask, explain, checking.vocabulary)
    if found is None:
        asked.cannot(question, "of the patients asked about, none has a listed disease that a single sign shows")
    return found


def _evidence(group: Group, before: Answers, ask: Asker, asked: Asked, counted: _Counted) -> dict[str, Any]:
    if group.cases[0].cited is None:
        return {"sufficiency": None, "necessity": None}
    weights: dict[str, Any] = {}
    for name in (ATTENTION, GRADIENT):
        reason = reason_against(asked.model, asked.processor)
        if reason is not None:
            asked.cannot(f"Is the evidence enough that has the {TITLES[name].lower()}?", reason)
            continue
        counted.about(TITLES[name].lower())
        weights[name] = weigh(
            asked.model,
            asked.processor,
            group.cases,
            before.listed,
            attention=name == ATTENTION,
            batch_size=asked.config.batch_size,
        )
    counted.about("pieces of evidence alone and removed")
    return run_sufficiency(group, before, ask, weights, asked.config.units)


def _alignment(folder: Path, group: Group, asked: Asked, counted: _Counted) -> dict[str, Any] | None:
    question = "Do the lab vectors attend to the terms of the present diseases?"
    model, knowledge = asked.model, asked.checking.knowledge
    if model.knowledge_attention is None:
        asked.cannot(
            question, f"the model has no knowledge attention (knowledge_fusion: {model.config.knowledge_fusion})"
        )
        return None
    terms = None if knowledge is None else terms_of(model, asked.processor, knowledge)
    if terms is None or not terms.words:
        asked.cannot(question, "no term of the knowledge base is in the model's knowledge vocabulary")
        return None
    counted.about("alignment with the knowledge")
    rows, attention, of_patches = mean_attention(model, asked.processor, group, terms)
    labels = group.labels[rows]
    found = None
    if rows:
        found = align(
            attention,
            terms.diseases,
            labels,
            group.subjects[rows],
            permutations=asked.config.permutations,
            seed=asked.config.seed,
        )
    if found is None:
        asked.cannot(question, "no patient with measurements has a disease with a term in the knowledge vocabulary")
        return None
    usual = of_patches.mean(axis=0)
    maps: list[str] = []
    known = np.unique(terms.diseases)
    for row in rows:
        if len(maps) == asked.config.heat_maps:
            break
        case = group.cases[row]
        if not case.labels[known].any():
            continue
        patches, weights = attention_on_terms(model, asked.processor, case, terms)
        name = f"knowledge_{len(maps) + 1}.png"
        own = weights[: len(patches.hours)] - usual
        draw_heat_map(folder / name, patches.hours, own, terms, case.labels, asked.checking.vocabulary)
        maps.append(name)
    return {**found, "heat_maps": maps}
