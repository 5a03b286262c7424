"""The cues of the context rules, read from `resources/context_cues.yaml`."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from clinragen.text.term_index import TermIndex, fold_word
from dataset_builder.storage.files import read_yaml
from modeling_clinragen.errors import InputDataError

RESOURCES = files("clinragen.text") / "resources"

EFFECTS = ("negated", "uncertain", "historical", "family", "hypothetical", "none")
REACHES = ("touch", "phrase", "items", "list", "all", "statement")
TERMINATORS = ("terminators", "statements", "results", "history_goes_on")
YEARS = "(" + "|".join(map(str, range(1930, 2030))) + ")"
STATUSES = ("negated", "affirmed", "uncertain")
# What a cue speaks about: cues of different dimensions do not hide one another where they overlap.
_DIMENSIONS = {"historical": "time", "hypothetical": "plan", "family": "person", "none": "all"}

_CHOICE = re.compile(r"\(([^()]*)\)")


@dataclass(frozen=True, slots=True)
class Cue:
    """A cue's effect, its direction ("forward" or not), its reach, and its words where their plural matters.

    `dimension` is what it speaks about: assertion, time, plan, person or, for a cue without effect, all of them. One
    that is `opening` is read only where it begins its sentence, or stands behind a colon.
    """

    effect: str
    forward: bool
    reach: str
    verbatim: str = ""
    dimension: str = "assertion"
    opening: bool = False


@dataclass(frozen=True)
class MarkRules:
    """Marks and values that give one item of a list its status: check boxes, signs, values behind a label.

    Args:
        boxes, signs, values: Status by mark or value, in lower case.
        box, sign: Match a mark right at a place.
        box_start, sign_start: Find the characters that a mark may begin with.
        linked_value: Matches a colon or the like with a value and what shows that the value is one.
        plain_value: Finds a value at the end of an item, without a colon.
        value: Matches a value right at a place.
    """

    boxes: dict[str, str]
    signs: dict[str, str]
    values: dict[str, str]
    box: re.Pattern[str]
    sign: re.Pattern[str]
    box_start: re.Pattern[str]
    sign_start: re.Pattern[str]
    linked_value: re.Pattern[str]
    plain_value: re.Pattern[str]
    value: re.Pattern[str]


@dataclass(frozen=True)
class PatientRules:
    """Words for the patient, which end what is said of relatives.

    Args:
        names: Words for the patient.
        owners: Words in front of them that make them somebody's ("the mother of the patient").
        tells: What follows them where the patient only tells of somebody.
    """

    names: TermIndex[bool]
    owners: frozenset[str]
    tells: re.Pattern[str]


@dataclass(frozen=True)
class StatementRules:
    """How far back a cue with the reach `statement` works.

    Args:
        fillers: Words between such a cue and what it is about.
        pronouns: Those of them that stand for something in the sentence before, if they begin one.
        plurals: Those of them that stand for a whole list.
        circumstances: First words of a part that only says when or why.
        leads: Words that a sentence with such a cue may begin with, if it is about the sentence before.
    """

    fillers: frozenset[str]
    pronouns: frozenset[str]
    plurals: frozenset[str]
    circumstances: frozenset[str]
    leads: frozenset[str]


@dataclass(frozen=True)
class ContextRules:
    """The content of the cue file."""

    cues: TermIndex[Cue]
    terminators: TermIndex[str]  # by the name of their list
    details: TermIndex[bool]
    openers: frozenset[str]
    states: frozenset[str]
    masks: tuple[str, ...]
    sections: dict[str, str]
    section_words: int
    relatives: frozenset[str]
    split_cues: dict[str, re.Pattern[str]]  # by effect, cues around what they work on: "rules", "out"
    relative_clause: re.Pattern[str]  # a comma and what follows it where the sentence goes on about a relative
    conditions: frozenset[str]
    patients: PatientRules
    statements: StatementRules
    lasting: TermIndex[str]
    followers: frozenset[str]
    marks: MarkRules
    value_links: frozenset[str]
    modifiers: frozenset[str]

    def section_effect(self, name: str) -> str | None:
        """The effect of a heading ("none" for one without), or None if the heading is unknown."""
        words = name.lower().replace("/", " / ").split()
        for count in range(min(len(words), self.section_words), 0, -1):
            effect = self.sections.get(" ".join(words[:count]))
            if effect is not None:
                return effect
        return None


@lru_cache(maxsize=4)
def load_context_rules(path: Path | None = None) -> ContextRules:
    """Read the cue file. Raises `InputDataError` naming the faulty part."""
    source = path if path is not None else RESOURCES / "context_cues.yaml"
    content: dict[str, Any] = read_yaml(source)
    try:
        cues = [pair for group in content["forward"] for pair in _cues(group, True)]
        cues += [pair for group in content["backward"] for pair in _cues(group, False)]
        relatives = _texts(content["relatives"])
        relative = Cue("family", True, "list", dimension=_DIMENSIONS["family"])
        cues += [(f"{person} {link}", relative) for person in relatives for link in _texts(content["relative_links"])]
        behind = Cue("family", False, "phrase", dimension=_DIMENSIONS["family"])
        cues += [(f"{place} {person}", behind) for person in relatives for place in _texts(content["relative_places"])]
        ends = [(text, name) for name in TERMINATORS for text in _texts(content[name])]
        details = [(text, True) for text in _texts(content["details"])]
        details += [(text, False) for text in _texts(content["detail_exceptions"])]
        sections = {
            " ".join(name.lower().replace("/", " / ").split()): effect
            for effect, names in content["sections"].items()
            for name in _texts(names)
        }
        return ContextRules(
            cues=TermIndex(cues),
            terminators=TermIndex(ends),
            details=TermIndex(details),
            openers=frozenset(fold_word(word) for word in _texts(content["openers"])),
            states=frozenset(fold_word(word) for word in _texts(content["states"])),
            masks=tuple(_texts(content["masks"])),
            sections=sections,
            section_words=max((len(name.split()) for name in sections), default=0),
            relatives=frozenset(relatives),
            split_cues={effect: _split_cue(pairs) for effect, pairs in content["split_cues"].items()},
            relative_clause=_relative_clause(content),
            conditions=frozenset(_texts(content["conditions"])),
            patients=PatientRules(
                names=TermIndex((text, True) for text in _texts(content["patients"])),
                owners=frozenset(_texts(content["patient_owners"])),
                tells=re.compile(
                    rf"(?:{_alternatives(_texts(content['patient_tells']))})(?!\s+(?:that\s+)?(?:he|she|they)\b)",
                    re.IGNORECASE,
                ),
            ),
            statements=_statements(content, cues),
            lasting=TermIndex((text, "lasting") for text in _texts(content["lasting"])),
            followers=frozenset([*_texts(content["value_followers"]), *_texts(content["predicate_followers"])]),
            marks=_marks(content),
            value_links=frozenset(word for text in _texts(content["value_links"]) for word in text.split()),
            modifiers=frozenset(word for text in _texts(content["modifiers"]) for word in text.split("-")),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputDataError(f"{source}: missing or malformed list of cues ({error}); see the shipped file") from error


def spellings(pattern: str) -> list[str]:
    """All phrases that a pattern such as "(was|is) (not|) seen" stands for."""
    parts = _CHOICE.split(pattern.replace("YEAR", YEARS))
    choices = [part.split("|") if number % 2 else [part] for number, part in enumerate(parts)]
    return [" ".join("".join(chosen).split()) for chosen in itertools.product(*choices)]


def _cues(group: dict[str, Any], forward: bool) -> list[tuple[str, Cue]]:
    effect, reach = group["effect"], group["reach"]
    if effect not in EFFECTS or reach not in REACHES:
        raise ValueError(f"effect '{effect}' with reach '{reach}'")
    dimension = _DIMENSIONS.get(effect, "assertion")
    phrases = [phrase for text in _texts(group["cues"]) for phrase in spellings(text)]
    if group.get("verbatim", False):
        return [(phrase, Cue(effect, forward, reach, phrase.lower(), dimension)) for phrase in phrases]
    cue = Cue(effect, forward, reach, dimension=dimension, opening=group.get("opening", False))
    return [(phrase, cue) for phrase in phrases]


def _relative_clause(content: dict[str, Any]) -> re.Pattern[str]:
    clauses, links = (_alternatives(_texts(content[name])) for name in ("relative_clauses", "relative_links"))
    return re.compile(rf",\s*(?:{clauses})(?:[^,.;\n]{{0,40}},\s*(?:{links}))?", re.IGNORECASE)


def _split_cue(pairs: Iterable[tuple[str, str]]) -> re.Pattern[str]:
    found = (
        rf"{re.escape(first)}(?=\s+(?!{re.escape(last)}\b)[^,.;\n]{{1,40}}\s{re.escape(last)}\b)"
        for first, last in pairs
    )
    return re.compile(rf"\b(?:{'|'.join(found)})", re.IGNORECASE)


def _statements(content: dict[str, Any], cues: Iterable[tuple[str, Cue]]) -> StatementRules:
    fillers, pronouns, plurals, circumstances = (
        frozenset(fold_word(word) for word in _texts(content[name]))
        for name in ("fillers", "pronouns", "plurals", "circumstances")
    )
    first = {fold_word(phrase.split()[0]) for phrase, cue in cues if cue.reach == "statement"}
    return StatementRules(fillers, pronouns, plurals, circumstances, fillers | first)


def _marks(content: dict[str, Any]) -> MarkRules:
    boxes, signs, values = (_by_status(content[name]) for name in ("boxes", "signs", "values"))
    value, plain = _alternatives(values), _alternatives(_texts(content["values"]["plain"]))
    followers = _alternatives(_texts(content["value_followers"]))
    # A value ends its statement, or is followed by a circumstance, or by the next label.
    end = r"[ \t]*(?:[,;)|!\n]|\.(?=\s|\Z)|\Z)"
    link = r"(?:[:=?|]|[-–—.]+)[ \t,\-–—]*(?:A(?:nswer)?:[ \t]*)?"
    more = rf"(?:{followers})\b|[(–—-]|\w[\w/]*(?:[ \t][\w/]+){{0,3}}[ \t]*[:?=]"
    return MarkRules(
        boxes=boxes,
        signs=signs,
        values=values,
        box=re.compile(_alternatives(boxes), re.IGNORECASE),
        sign=re.compile(_alternatives(signs), re.IGNORECASE),
        box_start=_any_first(boxes),
        sign_start=_any_first(signs),
        linked_value=re.compile(
            link + rf"(?P<value>{value})(?!\w)(?={end}|[ \t]+(?:{more}))",
            re.IGNORECASE,
        ),
        plain_value=re.compile(rf"[ \t](?P<value>{plain})(?=[ \t]*(?:[,;|\n]|\.?[ \t]*(?:\n|\Z)))", re.IGNORECASE),
        value=re.compile(rf"[ \t]*(?P<value>{value})(?!\w)", re.IGNORECASE),
    )


def _any_first(marks: Iterable[str]) -> re.Pattern[str]:
    first = {letter for mark in marks for letter in (mark[0], mark[0].upper())}
    return re.compile(f"[{re.escape(''.join(sorted(first)))}]")


def _by_status(lists: dict[str, list[Any]]) -> dict[str, str]:
    return {text.lower(): status for status in STATUSES if status in lists for text in _texts(lists[status])}


def _alternatives(texts: Iterable[str]) -> str:
    ordered = sorted(texts, key=len, reverse=True)
    # A word is not found in the beginning of another one.
    return "|".join(
        r"\s+".join(map(re.escape, text.split(" "))) + (r"(?!\w)" if text[-1:].isalnum() else "") for text in ordered
    )


def _texts(items: list[Any]) -> list[str]:
    # YAML reads a bare no, on or off as a truth value.
    for item in items:
        if not isinstance(item, str):
            raise TypeError(f"{item} must be in quotes")
    return items
