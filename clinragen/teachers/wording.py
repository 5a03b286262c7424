"""The sentences of the rule-based teacher, from `resources/rationale_wording.yaml`."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from dataset_builder.contract.series_signs import Finding
from dataset_builder.storage.files import faults_named, read_yaml
from modeling_clinragen.vocabulary_clinragen import Vocabulary

RESOURCES = files("clinragen.teachers") / "resources"

_NOTE_PARTS = ("support", "none", "no_note", "healthy", "undiagnosed", "undiagnosed_past")
_LAB_PARTS = (
    *("high", "low", "rising", "falling", "erratic", "support", "support_meaning", "none"),
    *("nothing_measured", "normal", "unexplained"),
)
_EXTENTS = ("every", "most", "some", "few", "once")


@dataclass(frozen=True)
class Wording:
    """Templates by part, and the word budgets of both rationales."""

    note: dict[str, tuple[str, ...]]
    lab: dict[str, tuple[str, ...]]
    extent: dict[str, str]
    onset: str
    offset: str
    single: str
    note_budget: int
    lab_budget: int


@lru_cache(maxsize=4)
def load_wording(path: Path | None = None) -> Wording:
    """Read the templates. Raises `InputDataError` naming what is missing."""
    source = path if path is not None else RESOURCES / "rationale_wording.yaml"
    content: dict[str, Any] = read_yaml(source)
    with faults_named(source):
        note, lab = content["note"], content["lab"]
        return Wording(
            note={part: tuple(note[part]) for part in _NOTE_PARTS},
            lab={part: tuple(lab[part]) for part in _LAB_PARTS},
            extent={extent: lab["extent"][extent] for extent in _EXTENTS},
            onset=lab["onset"],
            offset=lab["offset"],
            single=lab["single"],
            note_budget=int(content["budget"]["note"]),
            lab_budget=int(content["budget"]["lab"]),
        )


def join(items: Sequence[str], last: str = "and") -> str:
    """ "a", "a and b", "a, b and c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}"


def count_words(sentences: Sequence[str]) -> int:
    """Number of words, as separated by spaces."""
    return sum(len(sentence.split()) for sentence in sentences)


class Writer:
    """Writes the sentences of one example; `draw` chooses one variant of each part."""

    def __init__(self, wording: Wording, vocabulary: Vocabulary, draw: random.Random) -> None:
        self._wording = wording
        self._vocabulary = vocabulary
        self._note = {part: draw.choice(variants) for part, variants in sorted(wording.note.items())}
        self._lab = {part: draw.choice(variants) for part, variants in sorted(wording.lab.items())}

    def note_support(self, quotes: Sequence[str], diseases: Sequence[str]) -> str:
        """The sentence that ties quotes from the note to disease names."""
        quoted = join([f'"{quote}"' for quote in quotes])
        return self._note["support"].format(quotes=quoted, s="s" if len(quotes) == 1 else "", diseases=join(diseases))

    def note_part(self, part: str, diseases: Sequence[str] = ()) -> str:
        """One of the other sentences about the note."""
        return self._note[part].format(diseases=join(diseases, "or") if diseases else "")

    def undiagnosed(self, quote: str, *, past: bool) -> str:
        """The sentence about a note that mentions something, now or as history, of a patient without the diseases."""
        return self._note["undiagnosed_past" if past else "undiagnosed"].format(quote=f'"{quote}"')

    def lab_part(self, part: str, diseases: Sequence[str] = ()) -> str:
        """One of the sentences about the series that do not need a finding."""
        return self._lab[part].format(diseases=join(diseases, "or") if diseases else "")

    def normal(self, variables: Sequence[str]) -> str:
        """The sentence about variables that were measured and always normal."""
        names = _capital(join([self._vocabulary.variable(key).name for key in variables]))
        return self._lab["normal"].format(names=names, s="s" if len(variables) == 1 else "")

    def finding(self, found: Finding) -> str:
        """A finding as a clause with a capital letter: "Heart rate is high in most readings, ..."."""
        time = ""
        if found.onset is not None:
            time = (self._wording.single if found.extent == "once" else self._wording.onset).format(hour=found.onset)
        elif found.offset is not None:
            time = self._wording.offset.format(hour=found.offset)
        variable = self._vocabulary.variable(found.variable)
        unit = variable.text_unit
        behaviour = self._lab[found.direction].format(
            extent=self._wording.extent.get(found.extent, ""),
            time=time,
            start=found.start,
            end=found.end,
            unit=unit if unit in ("", "%") else f" {unit}",
        )
        return f"{_capital(variable.name)} {behaviour}"

    def lab_support(self, found: Finding, diseases: Sequence[str], meaning: str | None) -> str:
        """The sentence that ties a finding to disease names; `meaning` says why, for a single disease."""
        if meaning is None:
            return self._lab["support"].format(finding=self.finding(found), diseases=join(diseases))
        return self._lab["support_meaning"].format(
            finding=self.finding(found), meaning=meaning, diseases=join(diseases)
        )

    def unexplained(self, found: Finding) -> str:
        """The sentence about an abnormal finding in a patient without any of the diseases."""
        return self._lab["unexplained"].format(finding=self.finding(found))


def _capital(text: str) -> str:
    # A name with a capital of its own ("pH") keeps its first letter.
    first = text.partition(" ")[0]
    return text if first != first.lower() else text[:1].upper() + text[1:]
