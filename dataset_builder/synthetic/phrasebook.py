"""The wording of the synthetic notes: phrases.yaml, read and checked against the world."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from dataset_builder.synthetic.entries import Entry
from dataset_builder.synthetic.world import World

SECTIONS = {
    "complaint": "Chief Complaint",
    "hpi": "History of Present Illness",
    "history": "Past Medical History",
    "family": "Family History",
    "exam": "Physical Exam",
    "medications": "Medications on Admission",
}
EVIDENCE_SECTIONS = ("hpi", "history", "medications", "exam")
NEGATED = ("denied", "excluded", "no_history")
FRAMES = (
    "opening",
    "opening_plain",
    "onset",
    "finding",
    "denied",
    "excluded",
    "no_history",
    "differential",
    "historical",
    "family",
    "family_none",
    "transfer",
)
MIN_PHRASES = 6


@dataclass(frozen=True)
class Phrase:
    """A phrase of a present disease. `section` is one of `EVIDENCE_SECTIONS`, `organ` the line of the exam."""

    text: str
    section: str
    organ: str = ""


@dataclass(frozen=True)
class DiseaseWords:
    """The wording of one disease. `mentions`: kind of mention of an absent disease -> its phrases."""

    evidence: tuple[Phrase, ...]
    complaints: tuple[str, ...]
    mentions: dict[str, tuple[str, ...]]
    plain: tuple[str, ...]
    course: tuple[str, ...]


@dataclass(frozen=True)
class Phrasebook:
    """All wording. `clashes` are patterns of words for one symptom."""

    diseases: dict[str, DiseaseWords]
    groups: dict[str, tuple[Phrase, ...]]
    clashes: tuple[re.Pattern[str], ...]
    frames: dict[str, tuple[str, ...]]
    exam: tuple[tuple[str, ...], ...]
    lists: dict[str, tuple[str, ...]]

    def symptoms(self, text: str) -> frozenset[int]:
        """The numbers of the clash patterns that occur in a text."""
        return frozenset(number for number, pattern in enumerate(self.clashes) if pattern.search(text))


LISTS = (
    "complaints endorsed procedures allergies relatives social imaging course_opening course_generic transitional "
    "conditions_at_discharge instructions"
)


def _evidence(entry: Entry) -> tuple[Phrase, ...]:
    entry.only(*EVIDENCE_SECTIONS)
    found = []
    for section, listed in entry.items():
        for item in listed.list():
            if section == "exam":
                item.only("organ", "text")
                found.append(Phrase(item.get("text").text(), section, item.get("organ").text()))
            else:
                found.append(Phrase(item.text(), section))
    if len(found) < MIN_PHRASES:
        entry.fail(f"needs at least {MIN_PHRASES} phrases")
    return tuple(found)


def _disease(entry: Entry, evidence_needed: bool) -> DiseaseWords:
    kinds = (*NEGATED, "family", "historical", "differential")
    entry.only("evidence", "complaints", "plain", "course", *kinds)
    plain, course = entry.get("plain").texts(), entry.get("course").texts()
    if not plain or not course:
        entry.fail("needs at least one text under plain and under course")
    return DiseaseWords(
        evidence=_evidence(entry.get("evidence")) if evidence_needed else (),
        complaints=entry.get("complaints", []).texts(),
        mentions={kind: entry.get(kind).texts() for kind in kinds if kind in entry.value},
        plain=plain,
        course=course,
    )


def read_phrasebook(path: Path, world: World) -> Phrasebook:
    """Read and check a phrases.yaml. Raises `InputDataError` naming the entry and the expected value."""
    root = Entry.read(path)
    root.only("diseases", "groups", "clashes", "frames", "exam", *LISTS.split())
    listed = root.get("diseases")
    listed.only(*world.diseases)
    diseases = {}
    for key, disease in world.diseases.items():
        needed = bool({"note", "both"} & set(disease.evidence))
        diseases[key] = _disease(listed.get(key), needed)
    root.get("groups").only(*world.groups)
    groups = {name: _evidence(root.get("groups").get(name)) for name in world.groups}
    frames = root.get("frames")
    frames.only(*FRAMES)
    found = {name: frames.get(name).texts() for name in FRAMES}
    lists = {name: root.get(name).texts() for name in LISTS.split()}
    for name, texts in (*found.items(), *lists.items()):
        if not texts:
            root.fail(f"has nothing under '{name}'; add at least one text")
    clashes = tuple(
        re.compile(r"\b(?:" + "|".join(map(re.escape, item.texts())) + r")\b", re.IGNORECASE)
        for item in root.get("clashes").list()
    )
    exam = tuple(item.texts() for item in root.get("exam").list())
    return Phrasebook(diseases, groups, clashes, found, exam, lists)


def load_phrasebook(folder: Path | None, world: World) -> Phrasebook:
    """The phrasebook of `folder` (its phrases.yaml, beside its world.yaml), or the shipped one."""
    if folder is not None:
        return read_phrasebook(Path(folder) / "phrases.yaml", world)
    with as_file(files("dataset_builder.synthetic") / "phrases.yaml") as path:
        return read_phrasebook(path, world)
