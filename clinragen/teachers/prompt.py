"""The prompt that asks a language model for rationales: `resources/rationale_prompt.yaml`, filled with one example.

Section 3.2 of the paper: the teacher sees note, anomalies, knowledge and the known diagnoses, with examples in a
clinician's style, and writes R_m, then R_t. The table of measurements is an addition: nobody could be right about
times and numbers, which the claim checker verifies, from the paper's anomalies alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
import yaml

from clinragen.claims.rationale import Complaint, Rationale
from clinragen.knowledge import KnowledgeBase
from clinragen.llm.types import Message
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.lab_words_clinragen import count_levels
from modeling_clinragen.note_clinragen import clean_note
from modeling_clinragen.vocabulary_clinragen import RangeSet, Vocabulary

RESOURCES = files("clinragen.teachers") / "resources"


@lru_cache(maxsize=1)
def load_prompt() -> Mapping[str, Any]:
    """The shipped prompt: templates by name, `version`, worked `examples` and texts of `complaints`."""
    content: Mapping[str, Any] = yaml.safe_load((RESOURCES / "rationale_prompt.yaml").read_text(encoding="utf-8"))
    return content


@dataclass(frozen=True)
class PatientText:
    """The parts of the prompt about one patient, as text."""

    note: str
    anomalies: str
    diagnoses: str
    knowledge: str
    measurements: str


class Prompt:
    """The conversation about one patient: worked examples, the note, R_m, the measurements, R_t, a repair.

    Args:
        knowledge: Has the terms of the known diagnoses.
        vocabulary: Names variables, units and diseases.
        range_set: What is counted as low and high.
    """

    def __init__(self, knowledge: KnowledgeBase, vocabulary: Vocabulary, range_set: RangeSet) -> None:
        self._prompt = load_prompt()
        self._knowledge = knowledge
        self._vocabulary = vocabulary
        self._range_set = range_set
        self._keys = vocabulary.key_of_disease
        self._opening = self._worked_examples()

    @property
    def version(self) -> int:
        """Version of the wording, for the provenance."""
        return int(self._prompt["version"])

    def describe(self, example: Mapping[str, Any]) -> PatientText:
        """The text about an example of the data contract."""
        words = clean_note(example["note"]).split(" ")
        series = LabSeries.from_example(self._vocabulary, example)
        terms = {name: self._knowledge.terms_for(self._keys[name]) for name in example["diagnoses"]}
        limit = self._prompt["knowledge_terms"]
        lines = [
            self._prompt["knowledge_line"].format(disease=name, terms=", ".join(known[:limit]))
            for name, known in terms.items()
        ]
        return PatientText(
            note=" ".join(words[: self._prompt["note_words"]]).strip() or self._prompt["no_note"],
            # The example's own `lab_summary` may be of another range set than the measurements below.
            anomalies=series.in_words(self._range_set) or self._prompt["no_anomalies"],
            diagnoses=_listed(example["diagnoses"]) or self._prompt["no_diagnoses"],
            knowledge="\n".join(lines) or self._prompt["no_knowledge"],
            measurements=self._measurements(series),
        )

    def about_note(self, patient: PatientText) -> tuple[Message, ...]:
        """The messages that ask for R_m."""
        return (*self._opening, Message("user", self._filled("note_task", patient)))

    def about_labs(self, patient: PatientText, note_rationale: str) -> tuple[Message, ...]:
        """The messages that ask for R_t, after R_m."""
        task = Message("user", self._filled("lab_task", patient))
        return (*self.about_note(patient), Message("assistant", note_rationale), task)

    def about_faults(
        self, patient: PatientText, rationale: Rationale, complaints: Sequence[Complaint]
    ) -> tuple[Message, ...]:
        """The messages that ask for both again, without the faults."""
        lines = [
            self._prompt["complaints"][complaint.reason].format(subject=complaint.subject, evidence=complaint.evidence)
            for complaint in complaints
        ]
        task = self._prompt["repair_task"].format(complaints="\n".join(lines), diagnoses=patient.diagnoses)
        said = (Message("assistant", rationale.lab), Message("user", task))
        return (*self.about_labs(patient, rationale.note), *said)

    def parts(self, answer: str) -> Rationale | None:
        """Both rationales of a repair; None unless exactly one line separates them."""
        pieces = [piece.strip() for piece in f"\n{answer}\n".split(f"\n{self._prompt['part_mark']}\n")]
        if len(pieces) != 2:
            return None
        note, lab = pieces
        return Rationale(note, lab)

    def shown(self) -> str:
        """The version and the whole conversation, with placeholders instead of a patient, for a person to read."""
        patient = PatientText(**{name: f"<{name}>" for name in PatientText.__annotations__})
        complaints = [Complaint(reason, "<claim>", "<what the data say>") for reason in self._prompt["complaints"]]
        messages = self.about_faults(patient, Rationale("<R_m>", "<R_t>"), complaints)
        turns = (f"[{message.role}]\n{message.content}" for message in messages)
        return "\n\n".join((f"[version {self.version}]", *turns))

    def _worked_examples(self) -> tuple[Message, ...]:
        # The same before every patient.
        opening = [Message("system", self._prompt["system"])]
        for worked in self._prompt["examples"]:
            texts = {name: worked[name] for name in PatientText.__annotations__}
            shown = PatientText(**{**texts, "diagnoses": _listed(worked["diagnoses"])})
            opening += [
                Message("user", self._filled("note_task", shown)),
                Message("assistant", worked["note_rationale"]),
                Message("user", self._filled("lab_task", shown)),
                Message("assistant", worked["lab_rationale"]),
            ]
        return tuple(opening)

    def _filled(self, template: str, patient: PatientText) -> str:
        return str(self._prompt[template]).format(**vars(patient))

    def _measurements(self, series: LabSeries) -> str:
        low, high, _ = count_levels(series.values, self._vocabulary, self._range_set).sum(axis=1)
        lines = []
        for column, variable in enumerate(self._vocabulary.variables):
            at = np.flatnonzero(series.observed[:, column])
            if not at.size:
                continue
            values, hours = series.values[at, column], series.hours[at]
            least, most = int(values.argmin()), int(values.argmax())
            numbers = {"first": 0, "last": -1, "low": least, "high": most}
            levels = self._prompt["levels"].format(low_count=low[column], high_count=high[column])
            line = self._prompt["measured_line" if at.size > 1 else "measured_once"]
            lines.append(
                line.format(
                    name=variable.name,
                    unit=f" ({variable.unit})" if variable.unit else "",
                    count=at.size,
                    levels=levels if variable.key in self._range_set.bounds else "",
                    **{name: f"{values[place]:.{variable.decimals}f}" for name, place in numbers.items()},
                    **{f"{name}_hour": f"{hours[place]:.0f}" for name, place in numbers.items()},
                )
            )
        return "\n".join(lines) or self._prompt["no_measurements"]


def _listed(names: Sequence[str]) -> str:
    # Some names contain a semicolon.
    return " | ".join(names)
