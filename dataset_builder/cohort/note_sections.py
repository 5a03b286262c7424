"""Sections of clinical notes: their headings, their canonical names, and which of them a note policy shows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from dataset_builder.cohort.admission_notes import admission_part
from dataset_builder.cohort.note_headings import heading_reader
from dataset_builder.storage.files import read_yaml
from modeling_clinragen.note_clinragen import clean_note

RESOURCES = files("dataset_builder.cohort") / "resources"

UNKNOWN = "unknown"
PREAMBLE = "preamble"
KNOWN_AT_ADMISSION = "known at admission"
"""What a policy shows whose text is chosen by `dataset_builder.cohort.admission_notes`."""

_HEADING_LENGTH = 70
_MOST_READINGS = 8
_LINE_HEADING = re.compile(rf"^[ \t]*([^\W\d_][^\n:]{{0,{_HEADING_LENGTH}}}):", re.MULTILINE)
# Transcribed reports run on: "… no fever.,PAST MEDICAL HISTORY: , Asthma". There only capitals make a heading.
_INNER_HEADING = re.compile(rf"(?<=[,.;])[ \t]*([A-Z][A-Z0-9 &/'()\-]{{2,{_HEADING_LENGTH}}}):")
_BARE_HEADING = re.compile(rf"^[ \t]*([^\W\d_][^\n:]{{2,{_HEADING_LENGTH}}}?)[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class Section:
    """A part of a note. `heading` and `body` are the note's own characters: joined in order they are the note.

    `name` is canonical ("past_medical_history"), "preamble" for what precedes the first heading, or "unknown".
    """

    name: str
    heading: str
    body: str


@lru_cache(maxsize=1)
def _rules() -> Mapping[str, Any]:
    content = read_yaml(RESOURCES / "sections.yaml")
    names = {_plain(heading): name for name, headings in content["sections"].items() for heading in headings}
    inner = frozenset(_plain(heading) for heading in content["inner"])
    rest = {"containing": content["containing"], "policies": content["policies"]}
    return {"names": names, "inner": inner, "suspect": re.compile(content["suspect"]), **rest}


def policies() -> Mapping[str, Mapping[str, Any]]:
    """The note policies by name, with `retrospective` and the sections they show."""
    policies: Mapping[str, Mapping[str, Any]] = _rules()["policies"]
    return policies


def parse_sections(text: str) -> list[Section]:
    """Split a note at its headings. Any text is accepted; "".join(heading + body) gives it back unchanged."""
    starts = _heading_starts(text)
    sections = []
    if text and (not starts or starts[0][0] > 0):
        sections.append(Section(PREAMBLE, "", text[: starts[0][0] if starts else len(text)]))
    for number, (start, end, name) in enumerate(starts):
        stop = starts[number + 1][0] if number + 1 < len(starts) else len(text)
        sections.append(Section(name, text[start:end], text[end:stop]))
    return sections


def apply_policy(text: str, policy: str) -> str:
    """The part of a note that a policy ("brief_hospital_course", "admission", "full") shows; "" if there is none."""
    text = clean_note(text)
    rule = policies()[policy]
    if "sections" not in rule:
        return text
    if rule["sections"] == KNOWN_AT_ADMISSION:
        return _settled(text)
    shown, open_section = [], False
    for section in parse_sections(text):
        # Anything may follow an unlisted heading: it stays with the section above.
        open_section = open_section if section.name == UNKNOWN else section.name in rule["sections"]
        if open_section:
            shown.append(section.heading + section.body)
    return clean_note("\n".join(part.strip() for part in shown))


def _settled(text: str) -> str:
    """The admission part of a note, which is its own admission part.

    Text that is left out may have shown how to read the rest: "/COMPLAIN00" was below a heading that is gone, and it
    would now be a heading itself. What every reading reads otherwise is dropped.
    """
    says = heading_reader()
    for _ in range(_MOST_READINGS):
        shown = clean_note(admission_part(text, says))
        if shown == text:
            return shown
        text = shown
    return ""


def _heading_starts(text: str) -> list[tuple[int, int, str]]:
    """(start of heading, end of heading, canonical name), in order and apart from each other."""
    found = []
    for match in _LINE_HEADING.finditer(text):
        alone = text[match.end() : text.find("\n", match.end()) % (len(text) + 1)].strip() == ""
        name = _line_name(match.group(1), alone)
        if name is not None:
            found.append((match.start(), match.end(), name))
    for match in _INNER_HEADING.finditer(text):
        plain = _plain(match.group(1))
        if plain not in _rules()["inner"]:
            found.append((match.start(), match.end(), _listed(plain) or UNKNOWN))
    for match in _BARE_HEADING.finditer(text):
        if _is_short(match.group(1)) and _is_capitalised(match.group(1)):
            name = _rules()["names"].get(_plain(match.group(1)))
            if name is not None:
                found.append((match.start(), match.end(), name))
    starts: list[tuple[int, int, str]] = []
    for start, end, name in sorted(found):
        if not starts or start >= starts[-1][1]:
            starts.append((start, end, name))
    return starts


def _line_name(heading: str, alone: bool) -> str | None:
    plain = _plain(heading)
    listed = _listed(plain)
    if listed is not None and (alone or heading[0].isupper()):
        return listed
    if plain in _rules()["inner"] or not _is_short(heading):
        return None
    unlisted = (alone and _is_capitalised(heading)) or _rules()["suspect"].search(heading.lower())
    return UNKNOWN if unlisted else None


def _listed(plain: str) -> str | None:
    """The canonical name of a heading, from the listed headings or the words that make it one."""
    if plain in _rules()["names"]:
        return str(_rules()["names"][plain])
    return next((name for name, words in _rules()["containing"].items() if words in plain and _is_short(plain)), None)


def _is_short(text: str) -> bool:
    return len(text.split()) <= 8


def _is_capitalised(text: str) -> bool:
    return text[:1].isupper() and all(word[0].isupper() for word in re.findall(r"[^\W\d_]{4,}", text))


def _plain(heading: str) -> str:
    text = re.sub(r"\([^)]*\)", " ", heading.lower())
    text = re.sub(r"[&/]", " and ", text)
    return " ".join(re.sub(r"[^a-z0-9 ]", " ", text).split())
