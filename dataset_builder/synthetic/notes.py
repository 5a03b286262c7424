"""Discharge summaries of the synthetic hospital, and the truth about the meaning of each phrase in them.

The layout is that of a MIMIC-IV discharge summary. The admission part (chief complaint, history of present illness,
past medical history, family history, exam, medications on admission) speaks of a present disease only where its
evidence is in the note; the hospital course and the discharge diagnosis name every disease, as real ones do. Vital
signs are left to the flowsheet, so that the admission part does not repeat the series.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from dataset_builder.synthetic.patients import Admission, Patient, pick, pick_weighted
from dataset_builder.synthetic.phrasebook import NEGATED, SECTIONS, Phrase, Phrasebook
from dataset_builder.synthetic.world import Condition, World

WIDTH = 78
# Replaces a space inside a phrase until the paragraph is wrapped: a phrase stays on one line.
HELD = "\x01"


@dataclass
class Note:
    """A note and its truth: phrase and section per disease, and the mentions of absent diseases."""

    text: str
    phrases: dict[str, list[dict]]
    distractors: list[dict]


@dataclass
class _Draft:
    """The admission part under construction."""

    findings: list[str] = field(default_factory=list)
    background: list[str] = field(default_factory=list)
    later: list[str] = field(default_factory=list)
    history: list[str] = field(default_factory=list)
    medications: list[str] = field(default_factory=list)
    family: list[str] = field(default_factory=list)
    organs: dict[str, str] = field(default_factory=dict)
    complaint: str = ""
    reported: list[str] = field(default_factory=list)


def listing(parts: Sequence[str], word: str) -> str:
    """ "a, b or c" of a non-empty list."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {word} {parts[-1]}"


def wrap(text: str) -> str:
    """Break a paragraph into lines of at most `WIDTH` characters; a line never breaks at a held space."""
    lines, line = [], ""
    for word in text.split(" "):
        if line and len(line) + 1 + len(word) > WIDTH:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return "\n".join([*lines, line]).replace(HELD, " ")


class NoteWriter:
    """Writes the notes of one world."""

    def __init__(self, world: World, book: Phrasebook) -> None:
        self.world = world
        self.book = book
        self.kinds = tuple(world.notes.kinds)
        self.kind_weights = tuple(world.notes.kinds.values())
        self.symptoms = {
            phrase: book.symptoms(phrase)
            for words in book.diseases.values()
            for phrases in words.mentions.values()
            for phrase in phrases
        }

    def conditions(self, patient: Patient, rng: np.random.Generator) -> list[Condition]:
        """The unrelated conditions of a patient."""
        low, high = self.world.notes.conditions
        fitting = [one for one in self.world.conditions if one.sex in ("", patient.gender)]
        count = min(int(rng.integers(int(low), int(high) + 1)), len(fitting))
        return [fitting[n] for n in np.sort(rng.permutation(len(fitting))[:count])]

    def write(
        self, patient: Patient, admission: Admission, conditions: list[Condition], rng: np.random.Generator
    ) -> Note:
        """Write the discharge summary of one admission."""
        return _Composer(self, patient, admission, rng).compose(conditions)


class _Composer:
    """Composes one note; `fill` has the pronouns."""

    def __init__(self, writer: NoteWriter, patient: Patient, admission: Admission, rng: np.random.Generator) -> None:
        self.writer, self.world, self.book = writer, writer.world, writer.book
        self.patient, self.admission, self.rng = patient, admission, rng
        male = patient.gender == "M"
        self.fill = {
            "man": "man" if male else "woman",
            "He": "He" if male else "She",
            "he": "he" if male else "she",
            "his": "his" if male else "her",
            "Title": "Mr." if male else "Ms.",
        }
        self.draft = _Draft()
        self.phrases: dict[str, list[dict]] = {}
        self.distractors: list[dict] = []
        self.decks: dict[str, list[str]] = {}

    def compose(self, conditions: list[Condition]) -> Note:
        """Write everything in order."""
        shared: dict[str, list[dict]] = {}
        for key, finding in self.admission.findings.items():
            self.phrases[key] = []
            if not finding.in_note:
                continue
            if finding.evidence == "ambiguous":
                group = self.world.diseases[key].group
                if group not in shared:
                    shared[group] = self._evidence(self.book.groups[group])
                self.phrases[key] = shared[group]
            else:
                self.phrases[key] = self._evidence(self.book.diseases[key].evidence)
        self._complaint()
        self._conditions(conditions)
        self._mentions()
        return Note(self._layout(), self.phrases, self.distractors)

    def _deal(self, name: str) -> str:
        """A frame that this note has not used yet, as long as there is one."""
        if not self.decks.get(name):
            frames = self.book.frames[name]
            self.decks[name] = [frames[n] for n in self.rng.permutation(len(frames))]
        return self.decks[name].pop()

    def _say(self, name: str, phrase: str) -> tuple[str, str]:
        """A sentence of a frame, spaces in the phrase held, and the phrase as it is written there."""
        frame = self._deal(name)
        shown = phrase[0].upper() + phrase[1:] if frame.startswith("{phrase}") and name == "differential" else phrase
        return frame.format(phrase=shown.replace(" ", HELD), **self.fill), shown

    def _evidence(self, pool: tuple[Phrase, ...]) -> list[dict]:
        free = [phrase for phrase in pool if phrase.organ not in self.draft.organs]
        first = pick(self.rng, free)
        marks = [self._insert(first)]
        others = [phrase for phrase in free if phrase.section != first.section]
        if others and self.rng.random() < self.world.notes.second_phrase:
            marks.append(self._insert(pick(self.rng, others)))
        return marks

    def _insert(self, phrase: Phrase) -> dict:
        draft, section, text = self.draft, phrase.section, phrase.text
        draft.reported.append(text)
        if section == "hpi":
            draft.findings.append(self._say("finding", text)[0])
        elif section == "history":
            if self.rng.random() < self.world.notes.history_in_opening and len(draft.background) < 3:
                draft.background.append(text.replace(" ", HELD))
                section = "hpi"
            else:
                draft.history.append(text)
        elif section == "medications":
            draft.medications.append(text)
        else:
            draft.organs[phrase.organ] = text
        return {"phrase": text, "section": SECTIONS[section]}

    def _complaint(self) -> None:
        known = [
            (key, text)
            for key, finding in self.admission.findings.items()
            if finding.evidence in ("note", "both")
            for text in self.book.diseases[key].complaints
        ]
        if known and self.rng.random() < 0.6:
            key, self.draft.complaint = pick(self.rng, known)
            self.phrases[key].append({"phrase": self.draft.complaint, "section": SECTIONS["complaint"]})
        else:
            self.draft.complaint = pick(self.rng, self.book.lists["complaints"])
        self.draft.reported.append(self.draft.complaint)

    def _conditions(self, conditions: list[Condition]) -> None:
        draft, rng = self.draft, self.rng
        for condition in conditions:
            name = pick(rng, condition.names)
            opens = not condition.surgical and len(draft.background) < 3
            if opens and rng.random() < self.world.notes.history_in_opening:
                draft.background.append(name.replace(" ", HELD))
            else:
                draft.history.append(name)
            if condition.drug:
                draft.medications.append(condition.drug)
        low, high = self.world.notes.general_drugs
        for number in rng.permutation(len(self.world.home_drugs))[: int(rng.integers(int(low), int(high) + 1))]:
            draft.medications.append(self.world.home_drugs[number])

    def _mentions(self) -> None:
        """Mention diseases that the patient does not have now: about half of them negated."""
        findings, diseases = self.admission.findings, self.world.diseases
        blocked = set(findings)
        for key, finding in findings.items():
            if finding.evidence == "ambiguous":
                blocked.update(self.world.groups[diseases[key].group])
        unnamed = {key for key, finding in findings.items() if not finding.in_note}
        story = "; ".join(self.draft.reported)
        reported = self.book.symptoms(story)
        denied: list[str] = []
        low, high = self.world.notes.mentions
        for _ in range(int(self.rng.integers(int(low), int(high) + 1))):
            kind = pick_weighted(self.rng, self.writer.kinds, self.writer.kind_weights)
            closed = unnamed if kind == "family" else blocked
            form = pick(self.rng, NEGATED) if kind == "negated" else kind
            choices = [
                (key, phrase)
                for key, words in self.book.diseases.items()
                if key not in closed
                for phrase in words.mentions.get(form, ())
                if phrase not in story
                and (form in ("family", "historical") or not (self.writer.symptoms[phrase] & reported))
            ]
            if not choices:
                continue
            key, phrase = pick(self.rng, choices)
            unnamed = unnamed | {key} if kind == "family" else unnamed
            blocked.update(self.world.groups.get(diseases[key].group, (key,)) if kind != "family" else ())
            section, shown = self._mention(form, phrase, denied)
            mark = {"phrase": shown, "disease_key": key, "kind": kind, "section": SECTIONS[section]}
            self.distractors.append(mark)
        if denied:
            sentence = self._deal("denied").format(
                list=listing([text.replace(" ", HELD) for text in denied], "or"),
                endorsed=pick(self.rng, self.book.lists["endorsed"]),
                **self.fill,
            )
            self.draft.later.insert(0, sentence)

    def _mention(self, form: str, phrase: str, denied: list[str]) -> tuple[str, str]:
        """Write one mention; returns its section and the phrase as written."""
        if form == "denied":
            denied.append(phrase)
            return "hpi", phrase
        if form == "family":
            relative = pick(self.rng, self.book.lists["relatives"])
            line = self._deal("family").format(
                phrase=phrase, relative=relative, Relative=relative[0].upper() + relative[1:], **self.fill
            )
            self.draft.family.append(line)
            return "family", phrase
        sentence, shown = self._say(form, phrase)
        if form == "historical":
            self.draft.history.append(sentence.replace(HELD, " "))
            return "history", shown
        self.draft.later.append(sentence)
        return "hpi", shown

    def _hpi(self) -> str:
        draft = self.draft
        frame = self._deal("opening" if draft.background else "opening_plain")
        opening = frame.format(
            background=listing(draft.background, "and") if draft.background else "",
            complaint=draft.complaint.replace(" ", HELD),
            **self.fill,
        )
        sentences = [opening, self._deal("onset").format(**self.fill), *draft.findings, *draft.later]
        return wrap(" ".join([*sentences, self._deal("transfer").format(**self.fill)]))

    def _exam(self) -> str:
        """Vital signs, general appearance, some organs, and every organ with a finding."""
        lines = []
        organs = dict(self.draft.organs)
        for number, (organ, *normal) in enumerate(self.book.exam):
            if organ in organs:
                lines.append(f"{organ}: {organs.pop(organ)}")
            elif number < 2 or self.rng.random() < self.world.notes.organs:
                lines.append(f"{organ}: {pick(self.rng, normal)}")
        return "\n".join([*lines, *(f"{organ}: {text}" for organ, text in organs.items())])

    def _results(self) -> str:
        rng, findings = self.rng, self.admission.findings
        kidneys = {"acute_renal_failure", "chronic_kidney_disease"} & set(findings)
        creatinine = rng.uniform(1.9, 4.6) if kidneys else rng.uniform(0.6, 1.2)
        bleeding = "gastrointestinal_hemorrhage" in findings
        infected = {"septicemia", "pneumonia"} & set(findings)
        hemoglobin = rng.uniform(6.4, 9.0) if bleeding else rng.uniform(9.5, 14.5)
        white = rng.uniform(11.5, 22.0) if infected else rng.uniform(5.0, 10.8)
        return (
            "LABS:\n"
            f"___ 05:30AM BLOOD WBC-{white:.1f} Hgb-{hemoglobin:.1f} Hct-{hemoglobin * 3:.1f} "
            f"Plt ___\n"
            f"___ 05:30AM BLOOD UreaN-{creatinine * 15:.0f} Creat-{creatinine:.1f} Cl-{rng.integers(97, 108)}\n\n"
            f"IMAGING:\n{pick(rng, self.book.lists['imaging'])}"
        )

    def _course(self, plain: dict[str, str]) -> str:
        rng, lists = self.rng, self.book.lists
        complaint = self.draft.complaint.replace(" ", HELD)
        blocks = [wrap(pick(rng, lists["course_opening"]).format(complaint=complaint, **self.fill))]
        for key, name in plain.items():
            blocks.append(wrap(f"# {name}: {pick(rng, self.book.diseases[key].course)}"))
        generic = rng.permutation(len(lists["course_generic"]))[: 1 if len(plain) > 3 else 3]
        blocks.append(wrap(" ".join(lists["course_generic"][n] for n in np.sort(generic))))
        if not self.admission.died:
            chosen = rng.permutation(len(lists["transitional"]))[:2]
            items = "\n".join(f"- {lists['transitional'][n]}" for n in np.sort(chosen))
            blocks.append(f"TRANSITIONAL ISSUES:\n{items}")
        return "\n\n".join(blocks)

    def _layout(self) -> str:
        rng, lists, draft, died = self.rng, self.book.lists, self.draft, self.admission.died
        plain = {key: pick(rng, self.book.diseases[key].plain) for key in self.admission.findings}
        # The home list is in no order of importance: phrases of evidence must not always come first.
        medications = [draft.medications[n] for n in rng.permutation(len(draft.medications))]
        history = [draft.history[n] for n in rng.permutation(len(draft.history))]
        numbered = "\n".join(f"{n}. {drug}" for n, drug in enumerate(medications, start=1))
        diagnosis = "PRIMARY:\n" + next(iter(plain.values()), draft.complaint)
        if len(plain) > 1:
            diagnosis += "\n\nSECONDARY:\n" + "\n".join(list(plain.values())[1:])
        location = pick(rng, self.world.registration["discharge_location"]).capitalize()
        service = self.world.services[self.admission.service].note
        parts = [
            "Name:  ___                     Unit No:   ___",
            "Admission Date:  ___              Discharge Date:   ___",
            f"Date of Birth:  ___             Sex:   {self.patient.gender}",
            f"Service: {service}",
            f"Allergies: \n{pick(rng, lists['allergies'])}",
            "Attending: ___.",
            f"Chief Complaint:\n{draft.complaint}",
            f"Major Surgical or Invasive Procedure:\n{pick(rng, lists['procedures'])}",
            f"History of Present Illness:\n{self._hpi()}",
            "Past Medical History:\n" + ("\n".join(f"- {item}" for item in history) or "None significant."),
            f"Social History:\n{pick(rng, lists['social'])}",
            "Family History:\n" + ("\n".join(draft.family) or self._deal("family_none")),
            f"Physical Exam:\nADMISSION PHYSICAL EXAM:\n{self._exam()}",
            f"Pertinent Results:\n{self._results()}",
            f"Brief Hospital Course:\n{self._course(plain)}",
            f"Medications on Admission:\nThe Preadmission Medication list is accurate and complete.\n{numbered}",
            "Discharge Medications:\n" + ("None, patient expired." if died else numbered),
            f"Discharge Disposition:\n{'Expired' if died else location}",
            f"Discharge Diagnosis:\n{diagnosis}",
            f"Discharge Condition:\n{'Expired.' if died else pick(rng, lists['conditions_at_discharge'])}",
            f"Discharge Instructions:\n{'Not applicable.' if died else wrap(pick(rng, lists['instructions']))}",
            "Followup Instructions:\n___",
        ]
        return " \n" + "\n \n".join(parts) + "\n"
