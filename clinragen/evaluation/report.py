"""The evaluation report: `metrics.json`, `report.md` and its figures, all made from the numbers alone."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dataset_builder.contract.vocabulary import load_diseases, load_variables

from clinragen.evaluation.comparison import MAIN, system_name
from clinragen.evaluation.figures import disease_order, plot_curves, plot_diseases, plot_series
from clinragen.evaluation.metrics import SCORES
from clinragen.evaluation.outcome import plain, signed, verdict_sentence, verdicts
from dataset_builder.storage.files import atomic_file, write_json
from modeling_clinragen.errors import InputDataError

NOTE_EXCERPT = 1500
SECTIONS = ("systems", "differences", "per_disease", "held_out", "rationale")
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
    patient: Mapping[str, Any],
    notes: Sequence[str],
) -> None:
    """Write `metrics.json`, `report.md` and the figures into `folder`; equal input gives equal bytes.

    - `metrics`: what `compare_systems` returns, plus `rationale` (by system, from `rationale_scores`) and, where names
      were generated, `names` (by system, from `MatchedDiagnoses.counts`); further keys go into the JSON only
    - `curves`: the trainer's `log_history` by phase, in the order to show
    - `patient`: a row of the data contract with `predicted` (names) and `generated_rationale` (None when unparsable)
    - `notes`: sentences that a reader must not miss, such as that the notes are structured or the hospital synthetic

    Raises `InputDataError` when a section of the metrics or a key of the patient is missing.
    """
    folder = Path(folder)
    missing = [section for section in SECTIONS if section not in metrics]
    if missing:
        raise InputDataError(f"the metrics lack {', '.join(missing)}; make them with compare_systems")
    check_patient(patient)
    if curves:
        plot_curves(folder / "training_curves.png", curves)
    plot_diseases(folder / "f1_per_disease.png", metrics)
    plot_series(folder / "patient_series.png", patient)
    parts = [
        "# Evaluation report",
        *_warnings(notes),
        *_verdict(metrics),
        *_held_out(metrics),
        *_systems(metrics),
        *_generated(metrics),
        *_curves(curves),
        *_diseases(metrics),
        *_patient(patient),
    ]
    with atomic_file(folder / "report.md") as beside:
        beside.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    write_json(folder / "metrics.json", metrics)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def _column(score: str) -> str:
    level, name = score.split("_")
    return f"{level} {'F1' if name == 'f1' else name}"


def _warnings(notes: Sequence[str]) -> list[str]:
    if not notes:
        return []
    return [
        "> **Read this before the numbers**\n>\n" + "\n".join(f"> - **{' '.join(note.split())}**" for note in notes)
    ]


def _verdict(metrics: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            system_name(item.other),
            item.answer,
            signed(item.difference),
            "yes" if item.apart else "no",
        ]
        for item in verdicts(metrics)
    ]
    return [
        "## Verdict",
        verdict_sentence(metrics),
        _table(
            ["Does the full model beat …", "Answer", "Difference in micro F1", "Separate intervals apart"],
            rows,
        ),
        "Differences are full model minus the other, on the same resampled patients. The answer is yes only when the "
        "whole interval of the difference lies above zero.",
    ]


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
    rows = [
        [system_name(name), *(plain(scores[score]) for score in SCORES)] for name, scores in metrics["systems"].items()
    ]
    left_out = metrics["systems"][MAIN]["undefined_diseases"]
    return [
        "## Diagnosis",
        _table(["System", *(_column(score) for score in SCORES)], rows),
        "Macro scores leave out diseases which nobody has and nobody is given "
        f"({left_out} for the full model); all others count, with 0 where nothing is right.",
    ]


def _claims(claims: Mapping[str, int] | None) -> list[str]:
    if claims is None:
        return ["not checked", "not checked"]
    checked = claims["supported"] + claims["contradicted"] + claims["unverifiable"]
    return [f"{claims['contradicted']} of {checked}", f"{claims['with_contradiction']} of {claims['rationales']}"]


def _generated(metrics: Mapping[str, Any]) -> list[str]:
    if not metrics["rationale"]:
        return ["## Generated text", "No system generated text."]
    names = metrics.get("names", {})
    rows, signatures, unscored = [], set(), 0
    for system, scores in metrics["rationale"].items():
        count = names.get(system)
        if scores["signature"] is not None:
            signatures.add(scores["signature"])
        unscored = max(unscored, scores["without_reference"])
        rows.append(
            [
                system_name(system),
                "no reference" if scores["bleu"] is None else f"{scores['bleu']:.2f}",
                f"{100 * scores['well_formed']:.1f} %",
                "not counted" if count is None else str(count["names"]),
                "not counted" if count is None else str(count["unmatched"]),
                *_claims(scores.get("claims")),
            ]
        )
    text = (
        "BLEU compares with the teacher's rationale for what the system reads, over every example, so it can't be "
        "compared between systems that read different inputs. An output that does not parse counts as an empty text. "
        "A name outside the vocabulary is a diagnosis the model made up. Claims are a rationale's statements about "
        "the series and its quotations of the note, each checked against the patient's data (docs/claims.md)."
    )
    if unscored:
        text += f" {unscored} examples have no teacher's rationale and cannot be scored."
    if signatures:
        text += " sacrebleu: " + ", ".join(f"`{signature}`" for signature in sorted(signatures)) + "."
    header = [
        "System",
        "BLEU of the rationale",
        "Well-formed outputs",
        "Disease names written",
        "Outside the vocabulary",
        "Claims contradicted",
        "Rationales with one",
    ]
    return ["## Generated text", _table(header, rows), text]


def _curves(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    if not curves:
        return ["## Training", "No training curve was recorded."]
    ends = []
    for phase, records in curves.items():
        losses = [(record["eval_loss"], record["step"]) for record in records if "eval_loss" in record]
        if losses:
            best, step = min(losses)
            ends.append(f"{phase}: lowest validation loss {best:.3f} at step {step}, last {losses[-1][0]:.3f}")
        else:
            ends.append(f"{phase}: no validation loss was recorded")
    words = "; ".join(ends)
    return ["## Training", f"![Training and validation loss by step. {words}.](training_curves.png)", f"{words}."]


def _diseases(metrics: Mapping[str, Any]) -> list[str]:
    ordered = disease_order(metrics, load_diseases())
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


def _patient(patient: Mapping[str, Any]) -> list[str]:
    given, true = patient["predicted"], patient["diagnoses"]
    every = [disease.name for disease in load_diseases() if disease.name in {*given, *true}]
    every += [name for name in given if name not in every]
    rows = [[name, "yes" if name in given else "", "yes" if name in true else ""] for name in every]
    measured = sum(any(step[column] for step in patient["lab_observed"]) for column in range(len(load_variables())))
    alt = f"Series of one patient: {measured} of {len(load_variables())} variables were measured, over "
    alt += f"{len(patient['lab_hours'])} steps; points outside the clinical range are marked"
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
