"""One patient explained again without a part of the data, and both answers side by side: "what if".

changes = possible_changes(explanation.patient)      # {"labs": "All measurements", "sentence:0": "...", ...}
other = what_if(explainer, explanation, "labs")
html = what_if_html(explanation, other, changes["labs"])
"""

from __future__ import annotations

from dataclasses import replace
from html import escape
from importlib.resources import files

import numpy as np

from clinragen.checking.checked import count_words
from clinragen.checking.printable import one_line
from clinragen.claims.sentences import Patient
from clinragen.inference import Explainer, Explanation
from clinragen.interventions.patient import SENTENCE, VARIABLE, Shown, note_sentences
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.errors import SettingsError

LABS = "labs"
KEPT, GONE, NEW, UNKNOWN = ("=", "kept"), ("−", "gone"), ("+", "new"), ("?", "unknown")
"""What became of a diagnosis: a sign and a word."""
ASSERTED, UNPROVED, ABSENT, UNREAD = "asserted", "named without evidence", "not named", "not readable"
"""What an answer says of a disease."""


def possible_changes(patient: Patient) -> dict[str, str]:
    """The parts that can be left out so that something is left: names that `what_if` takes, with what they mean.

    They are `labs`, `variable:KEY` for each measured variable, and `sentence:NUMBER` for each sentence of the note,
    from 0.
    """
    return {name: title for name, (title, _) in _changes(patient).items()}


def changed_patient(patient: Patient, name: str) -> Patient:
    """A patient without something.

    Args:
        patient: As an explanation has it.
        name: Of one of the `possible_changes`.

    Raises:
        SettingsError: It is none of them.
    """
    found = _changes(patient).get(name)
    if found is None:
        raise SettingsError("there is no such part of this patient to leave out; choose one of the list")
    _, left = found
    note, _ = left.given
    series = LabSeries.from_values(patient.series.vocabulary, left.hours, left.values)
    return Patient(replace(series, remarks=patient.series.remarks), note)


def what_if(explainer: Explainer, explanation: Explanation, name: str) -> Explanation:
    """The explanation of the same patient without something.

    Args:
        explainer: The model.
        explanation: Its answer for the whole patient.
        name: Of one of the `possible_changes` of its patient.

    Raises:
        SettingsError: It is none of them.
    """
    changed = changed_patient(explanation.patient, name)
    return explainer.explain(changed.note, changed.series)


def _changes(patient: Patient) -> dict[str, tuple[str, Shown]]:
    """By name what can be left out, in words, and what is left then."""
    shown = Shown(patient.note or "", patient.series.hours, patient.series.values)
    columns = np.flatnonzero(shown.measured).tolist()
    found = {LABS: ("All measurements", shown.with_variables(columns, kept=False))} if columns else {}
    for column in columns:
        variable = patient.series.vocabulary.variables[column]
        title = f"Measurements of {variable.name}"
        found[f"{VARIABLE}:{variable.key}"] = title, shown.with_variables([column], kept=False)
    for number, span in enumerate(note_sentences(shown.note)):
        title = f"Sentence {number + 1}: {one_line(shown.note[slice(*span)])}"
        found[f"{SENTENCE}:{number}"] = title, shown.without_spans([span])
    return {name: change for name, change in found.items() if not change[1].empty}


def what_if_style() -> str:
    """The style sheet of `what_if_html`; it changes nothing outside `.clinragen-what-if`."""
    return (files("clinragen.demo") / "resources" / "what_if.css").read_text(encoding="utf-8")


def what_if_html(old: Explanation, new: Explanation, title: str) -> str:
    """Two explanations side by side, as part of a page that has `what_if_style()`.

    Args:
        old: Of the whole patient.
        new: Of the patient without something.
        title: What it is; see `possible_changes`.
    """
    return (
        '<section class="clinragen-what-if" aria-label="What if">\n'
        f"<p>Without: <strong>{_text(title)}</strong></p>\n{_diagnoses(old, new)}{_sentences(old, new)}</section>\n"
    )


def _diagnoses(old: Explanation, new: Explanation) -> str:
    faults = "".join(
        f"<p>{when} no diagnosis could be read: the output is malformed.</p>\n"
        for when, one in (("Before,", old), ("After,", new))
        if one.problem is not None
    )
    names = list(dict.fromkeys((*old.diagnoses, *new.diagnoses)))
    if not names:
        return faults or "<p>No disease is diagnosed, before or after.</p>\n"
    rows = "".join(_row(name, old, new) for name in names)
    head = "".join(f'<th scope="col">{word}</th>' for word in ("Diagnosis", "Before", "After", "Change"))
    return (
        f"{faults}<table>\n<caption>Diagnoses</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{rows}</tbody>\n</table>\n"
    )


def _row(name: str, old: Explanation, new: Explanation) -> str:
    before, after = _state(name, old), _state(name, new)
    sign, word = _change(before, after)
    cells = "".join(f"<td>{state}{_score(name, one)}</td>" for state, one in ((before, old), (after, new)))
    return (
        f'<tr class="{word}"><th scope="row">{_text(name)}</th>{cells}'
        f'<td><span aria-hidden="true">{sign}</span> {word}</td></tr>\n'
    )


def _state(name: str, one: Explanation) -> str:
    if one.problem is not None:
        return UNREAD
    if name not in one.diagnoses:
        return ABSENT
    return UNPROVED if name in one.without_evidence else ASSERTED


def _change(before: str, after: str) -> tuple[str, str]:
    if UNREAD in (before, after):
        return UNKNOWN
    if before == ABSENT:
        return NEW
    return GONE if after == ABSENT else KEPT


def _score(name: str, one: Explanation) -> str:
    score = None if one.probabilities is None else one.probabilities.get(name)
    return "" if score is None else f", {score:.0%}"


def _sentences(old: Explanation, new: Explanation) -> str:
    before = [one_line(sentence.text) for sentence in old.sentences]
    after = [one_line(sentence.text) for sentence in new.sentences]
    gone, came = [one for one in before if one not in after], [one for one in after if one not in before]
    kept = len(before) - len(gone)
    stayed = f"{count_words(kept, 'sentence')} of the rationale stayed."
    return (
        f'<div class="columns">\n{_listed("Sentences that went", GONE, "del", gone)}'
        f"{_listed('Sentences that came', NEW, 'ins', came)}</div>\n<p>{stayed}</p>\n"
    )


def _listed(heading: str, change: tuple[str, str], tag: str, texts: list[str]) -> str:
    sign, word = change
    items = "".join(
        f'<li><span aria-hidden="true">{sign}</span> <{tag}>{_text(text)}</{tag}></li>\n' for text in texts
    )
    content = f"<ul>\n{items}</ul>\n" if texts else "<p>None.</p>\n"
    return f'<div class="{word}"><h4>{heading}</h4>\n{content}</div>\n'


def _text(text: str) -> str:
    return escape(one_line(text))
