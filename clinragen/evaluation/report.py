"""The evaluation report: `metrics.json`, `report.md` and its figures, all made from the numbers alone."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clinragen.evaluation.figures import disease_order, plot_curves, plot_diseases, plot_series, with_losses
from clinragen.evaluation.outcome import Verdict, against_strongest, verdict_sentence, verdicts
from clinragen.evaluation.report_confidence import confidence_sections
from clinragen.evaluation.score_types import DiagnosisScore, RankingScore
from clinragen.evaluation.scores import DIAGNOSIS_SCORES, RANKING_SCORES, RATIONALE_SCORES
from clinragen.evaluation.systems import MAIN, TEACHER, system_name
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.storage.files import atomic_file, write_json
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.profile_clinragen import Cut
from modeling_clinragen.vocabulary_clinragen import Disease, RangeSet, Vocabulary
from trainers.formatting import NOTHING, format_difference, format_percent, format_score
from trainers.formatting import markdown_table as _table

NOTE_EXCERPT = 1500
SECTIONS = ("systems", "differences", "tests", "per_disease", "held_out", "rationale")
PATIENT_KEYS = (
    "note",
    "lab_hours",
    "lab_values",
    "lab_observed",
    "lab_summary",
    "diagnoses",
    "rationale_note",
    "rationale_lab",
    "predicted",
    "generated_rationale",
)


def check_patient(patient: Mapping[str, Any]) -> None:
    """Raise `InputDataError` naming the keys that an example to show lacks."""
    missing = [key for key in PATIENT_KEYS if key not in patient]
    if missing:
        raise InputDataError(
            f"the patient to show lacks {', '.join(missing)}; pass a row of the cohort with these added"
        )


def write_report(
    folder: Path,
    *,
    metrics: Mapping[str, Any],
    curves: Mapping[str, Sequence[Mapping[str, Any]]],
    patient: Mapping[str, Any] | None,
    notices: Sequence[str],
    vocabulary: Vocabulary,
    range_set: RangeSet,
) -> None:
    """Write metrics.json, report.md and the figures into `folder`; equal input gives equal bytes.

    Args:
        folder: Where to write.
        metrics: The result of `compare_systems`, plus `rationale` (by system, from `rationale_scores`) and, where
            names were generated, `names` (by system, from `MatchedDiagnoses.counts`); further keys go into the JSON
            only.
        curves: The trainer's `log_history` by phase, in the order to show.
        patient: A row of the data contract with `predicted` (names) and `generated_rationale` (None when unparsable).
            Without one the report is about the diagnoses alone.
        notices: Sentences that a reader must not miss, such as that the notes are structured or the hospital
            synthetic.
        vocabulary: The cohort's variables and diseases.
        range_set: The normal ranges that the patient's series is shown with.

    Raises:
        InputDataError: A section of the metrics or a key of the patient is missing.
    """
    folder = Path(folder)
    missing = [section for section in SECTIONS if section not in metrics]
    if missing:
        raise InputDataError(f"the metrics lack {', '.join(missing)}; make them with compare_systems")
    if patient is not None:
        check_patient(patient)
    plot_diseases(folder / "f1_per_disease.png", metrics, vocabulary.diseases)
    parts = ["# Evaluation report", *_notices(notices), *_verdict(metrics), *_held_out(metrics), *_systems(metrics)]
    parts += confidence_sections(folder, metrics)
    if patient is None:
        parts += _diseases(metrics, vocabulary.diseases)
    else:
        series = LabSeries.from_example(vocabulary, patient)
        if shown := with_losses(curves):
            plot_curves(folder / "training_curves.png", shown)
        plot_series(folder / "patient_series.png", series, range_set)
        parts += [
            *_generated(metrics),
            *_rationales(metrics),
            *_curves(curves),
            *_diseases(metrics, vocabulary.diseases),
            *_patient(patient, series, range_set),
        ]
    with atomic_file(folder / "report.md") as beside:
        beside.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    write_json(folder / "metrics.json", metrics)


def _notices(notices: Sequence[str]) -> list[str]:
    if not notices:
        return []
    lines = "\n".join(f"> - **{' '.join(notice.split())}**" for notice in notices)
    return [f"> **Read this before the numbers**\n>\n{lines}"]


def _verdict(metrics: Mapping[str, Any]) -> list[str]:
    tests = metrics["tests"]
    measured = ["Answer", "Difference in micro F1", "p", "p, corrected", "Own intervals apart"]

    def row(item: Verdict) -> list[str]:
        found = tests["differences"][f"{item.model}_minus_{item.other}"]
        p_values = [format_p(found[key]) for key in ("p", "p_holm")]
        apart = "yes" if item.intervals_apart else "no"
        return [item.answer, format_difference(item.difference), *p_values, apart]

    strongest = [[system_name(item.model), system_name(item.other), *row(item)] for item in against_strongest(metrics)]
    strongest_parts = [
        "### Against the strongest other system",
        _table(["Model", "Strongest baseline that reads the same", *measured], strongest),
        "The strongest is the one with the highest micro F1 on the held-out patients. Differences are the model minus "
        "the baseline, on the same resampled patients.",
    ]
    return [
        "## Verdict",
        verdict_sentence(metrics),
        _table(
            ["Does the full model beat …", *measured],
            [[system_name(item.other), *row(item)] for item in verdicts(metrics)],
        ),
        "Differences are full model minus the other, on the same resampled patients. The answer is yes only when the "
        f"whole interval of the difference lies above zero. p is that of a paired permutation test: "
        f"{_permuted(tests)} swaps of the two systems' decisions, patient by patient. Corrected, it is Holm's for all "
        f"{len(tests['differences'])} comparisons of this report.",
        *(strongest_parts if strongest else []),
    ]


def _permuted(tests: Mapping[str, Any]) -> str:
    return f"all {tests['permutations']:,}" if tests["exact"] else f"{tests['permutations']:,} random"


def format_p(value: float) -> str:
    """A p value: "0.032", or "< 0.001"."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _held_out(metrics: Mapping[str, Any]) -> list[str]:
    counts = metrics["held_out"]
    bootstrap = metrics["bootstrap"]
    sentence = (
        f"{counts['examples']} examples of {counts['subjects']} patients; "
        f"{counts['diagnoses']} diagnoses in all, {counts['examples_without_diagnosis']} examples with none. "
        f"Intervals: {100 * bootstrap['level']:.0f} % percentile intervals from {bootstrap['resamples']} resamples of "
        f"patients, seed {bootstrap['seed']}."
    )
    return ["## Held-out data", sentence]


def _systems(metrics: Mapping[str, Any]) -> list[str]:
    columns: list[DiagnosisScore | RankingScore] = [*DIAGNOSIS_SCORES, *RANKING_SCORES]
    rows = [
        [system_name(name), *(format_score(scores.get(score.name)) for score in columns)]
        for name, scores in metrics["systems"].items()
    ]
    left_out = metrics["systems"][MAIN]["undefined_diseases"]
    return [
        "## Diagnosis",
        _table(["System", *(score.title for score in columns)], rows),
        "Macro scores of decisions leave out diseases which nobody has and nobody is given "
        f"({left_out} for the full model); all others count, with 0 where nothing is right. AUROC and AUPRC (average "
        f"precision) are of probabilities. {_without_probabilities(metrics)}".strip(),
        *_readers(metrics.get("readers", {})),
    ]


def _readers(readers: Mapping[str, Any]) -> list[str]:
    """How the two readers of generated lists differ, where both were used."""
    if not readers:
        return []
    rows = [
        [
            system_name(name),
            *(f"{found['micro_f1'][reader]:.3f}" for reader in ("cosine", "exact")),
            format_percent(found["examples"]),
            f"{found['added']} / {found['removed']}",
        ]
        for name, found in readers.items()
    ]
    header = ["System", "micro F1, by cosine", "micro F1, by name", "Examples that differ", "Diseases added / removed"]
    return [
        "### Two readers of the generated lists",
        "Names in generated lists are read as in the paper: as every disease whose name's embedding has a cosine of "
        "0.9 or more with theirs. Beside it what reading by name alone gives.",
        _table(header, rows),
    ]


def _without_probabilities(metrics: Mapping[str, Any]) -> str:
    names = [
        system_name(name).lower()
        for name, scores in metrics["systems"].items()
        if not any(score.name in scores for score in RANKING_SCORES)
    ]
    if not names:
        return ""
    return (
        f"{NOTHING}: a list of diseases is given without probabilities, so nothing can be ranked ({', '.join(names)})."
    )


def _generated(metrics: Mapping[str, Any]) -> list[str]:
    if not metrics["rationale"]:
        return ["## Generated text", "No system generated text."]
    columns = [column for score in RATIONALE_SCORES for column in score.columns]
    names = metrics.get("names", {})
    rows = []
    for system, scores in metrics["rationale"].items():
        count = names.get(system, {})
        rows.append(
            [
                system_name(system),
                *(cell(scores) for _, cell in columns),
                *(str(count.get(key, "not counted")) for key in ("names", "unmatched")),
            ]
        )
    header = ["System", *(title for title, _ in columns), "Disease names written", "Outside the vocabulary"]
    sentences = [score.explain(list(metrics["rationale"].values())) for score in RATIONALE_SCORES]
    sentences.append("A name outside the vocabulary is a diagnosis that the model made up.")
    sentences += [_notes_cut(system, cut) for system, cut in metrics.get("notes_cut", {}).items() if cut is not None]
    return ["## Generated text", _table(header, rows), " ".join(filter(None, sentences))]


def _notes_cut(system: str, cut: Mapping[str, int]) -> str:
    said = Cut(**cut).sentence if cut["examples"] else "every note is read whole"
    return f"{system_name(system)}: {said}."


def _rationales(metrics: Mapping[str, Any]) -> list[str]:
    """The sections of the scores of rationales; the teacher's own come last, to compare with."""
    entries = {system_name(name): scores for name, scores in metrics["rationale"].items()}
    if not entries:
        return []
    teacher = {system_name(TEACHER): metrics[TEACHER]} if TEACHER in metrics else {}
    return [
        part
        for score in RATIONALE_SCORES
        for part in score.section({**entries, **teacher} if score.of_teacher else entries)
    ]


def _curves(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    if not curves:
        return ["## Training", "No training curve was recorded."]
    shown, ends = with_losses(curves), []
    for phase, records in curves.items():
        losses = [(record["eval_loss"], record["step"]) for record in records if "eval_loss" in record]
        if losses:
            best, step = min(losses)
            ends.append(f"{phase}: lowest validation loss {best:.3f} at step {step}, last {losses[-1][0]:.3f}")
        elif phase in shown:
            ends.append(f"{phase}: no validation loss was recorded")
        else:
            ends.append(f"{phase}: no loss was logged (it had fewer steps than `logging_steps`)")
    words = "; ".join(ends)
    if not shown:
        return ["## Training", f"{words}."]
    return ["## Training", f"![Training and validation loss by step. {words}.](training_curves.png)", f"{words}."]


def _diseases(metrics: Mapping[str, Any], diseases: Sequence[Disease]) -> list[str]:
    ordered = disease_order(metrics, diseases)
    systems = list(metrics["per_disease"])

    def shown(score: Mapping[str, Any]) -> str:
        return (
            "undefined"
            if score["value"] is None
            else f"{score['value']:.2f} ({score['low']:.2f} to {score['high']:.2f})"
        )

    rows = [
        [
            disease.name,
            str(metrics["per_disease"][MAIN][disease.key]["positives"]),
            *(shown(metrics["per_disease"][system][disease.key]) for system in systems),
        ]
        for disease in ordered
    ]
    alt = (
        f"F1 of {len(ordered)} diseases for {', '.join(system_name(name).lower() for name in systems)}, sorted by the "
    )
    alt += f"full model: highest for {ordered[0].name}; the table below has every number"
    return [
        "## F1 per disease",
        f"![{alt}.](f1_per_disease.png)",
        _table(["Disease", "Held-out cases", *(system_name(name) for name in systems)], rows),
    ]


def _block(text: str) -> str:
    """Free text in a fence that it cannot close, wrapped, so that a note's own characters are never Markdown."""
    wrapped = "\n".join(textwrap.fill(line, 100) for line in text.splitlines())
    longest = max((len(run) for run in re.findall(r"`+", wrapped)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{wrapped}\n{fence}"


def note_excerpt(note: str, length: int = NOTE_EXCERPT) -> str:
    """The first `length` characters of a note, cut at a space, with how much was left out."""
    if not note.strip():
        return "(this example has no note)"
    if len(note) <= length:
        return note
    kept = note[:length].rsplit(" ", 1)[0]
    return f"{kept} … ({len(note) - len(kept)} more characters)"


def _patient(patient: Mapping[str, Any], series: LabSeries, range_set: RangeSet) -> list[str]:
    given, true = patient["predicted"], patient["diagnoses"]
    every = [name for name in series.vocabulary.disease_names if name in {*given, *true}]
    every += [name for name in given if name not in every]
    rows = [[name, "yes" if name in given else "", "yes" if name in true else ""] for name in every]
    measured, variables = int(series.observed.any(axis=0).sum()), len(series.vocabulary.variables)
    alt = f"Series of one patient: {measured} of {variables} variables were measured, over {len(series)} steps; "
    alt += f"points outside the {range_set.name} range are marked"
    teacher = " ".join(part for part in (patient["rationale_note"], patient["rationale_lab"]) if part.strip())
    generated = patient["generated_rationale"]
    return [
        "## One patient in full",
        "A held-out example, quoted from the source: where the source is under a data use agreement, so is this file.",
        "### Note (excerpt)",
        _block(note_excerpt(patient["note"])),
        "### Lab and vital signs",
        _block(patient["lab_summary"].strip() or "(nothing was measured)"),
        f"![{alt}.](patient_series.png)",
        "### Diagnoses",
        _table(["Disease", "Given by the model", "True"], rows) if rows else "None given, none true.",
        "### Rationale by the model",
        _block("(the output could not be parsed)" if generated is None else generated.strip() or "(empty)"),
        "### Rationale by the teacher",
        _block(teacher or "(the teacher wrote none)"),
    ]
