"""Headings of clinical notes: what their words say about the time of the section below them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from importlib.resources import files
from typing import Any

from dataset_builder.storage.files import read_yaml

RESOURCES = files("dataset_builder.cohort") / "resources"

_TOLERANT_FROM = 5
"""Words of fewer letters must be spelled right: too many short ones differ in one letter."""

_KNOWN_BY = ("illness", "complaint", "past", "personal", "allergy", "review", "home_medications")
_IN_ENTRIES = frozenset({"past", "personal", "before", "home", "inner", "allergy", "review", "home_medications"})
"""With one of these, a history is a list of what was, not the story of what happened now."""

_FINDINGS = ("physical", "finding", "results", "arrival_test", "any_results")
_LATER_IF_ALONE = frozenset({"later_if_alone", "now", "given", "stay"})
_AFTERWARDS = frozenset({"later", "since", "transfer", "day"})
_NOT_BEFORE = _AFTERWARDS | frozenset({"event", "course", "plan", "stay", "judgement"})
_EARLIER = ("arrival", "emergency", "elsewhere", "before", "home", "until")


class Kind(Enum):
    """The kinds of sections that headings open."""

    HISTORY = "history"
    """Known at admission, in short entries: past, personal and family history, allergies, medications at home."""

    ILLNESS = "illness"
    """Known at admission, in sentences: complaint, history of the present illness, what was found on arrival."""

    EXAM = "exam"
    RESULTS = "results"
    """Examination and results: of the time of admission where `Meaning.dated`, else of an unknown time."""

    ALL_RESULTS = "all results"
    """Results of the whole stay."""

    MEDICATIONS = "medications"
    """Medications of an unknown time."""

    LATER = "later"
    """Written of what came after the admission."""

    LISTED = "listed"
    """Diagnoses and procedures: from the whole stay, but often named at the top of a note."""

    EITHER = "either"
    """Known at admission where it stands in the history (immunisations, a child's development), else written later."""

    ADDENDUM = "addendum"
    TITLE = "title"
    HEADER = "header"
    """A form's fields: names, dates, services."""

    INNER = "inner"
    """A part of another section: an organ, a sign."""

    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Meaning:
    """The sense of a heading: its kind, whether it names the time of admission, how many of its words are known.
    `sentence` is true for words that only sentences have ("she was").
    """

    kind: Kind
    tags: frozenset[str] = frozenset()
    dated: bool = False
    words: int = 0
    unknown: int = 0
    sentence: bool = False

    @property
    def complete(self) -> bool:
        """Whether every word is one that headings have, and one of them says something."""
        return self.unknown == 0 and bool(self.tags)


@dataclass(frozen=True)
class _Terms:
    """The terms of headings, looked up by their first word."""

    phrases: Mapping[str, tuple[tuple[tuple[str, ...], str], ...]]
    alone: Mapping[tuple[str, ...], str]
    words: frozenset[str]
    filler: frozenset[str]
    sentence: frozenset[str]
    questions: frozenset[str]
    months: frozenset[str]
    misspelled: Mapping[str, tuple[str, ...]] = field(repr=False)


@lru_cache(maxsize=1)
def _terms() -> _Terms:
    content: Mapping[str, Any] = read_yaml(RESOURCES / "heading_terms.yaml")
    phrases: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for tag, listed in content["tags"].items():
        for phrase in listed:
            words = tuple(map(_singular, phrase.split()))
            phrases.setdefault(words[0], []).append((words, tag))
    ordered = {first: tuple(sorted(rest, key=lambda entry: -len(entry[0]))) for first, rest in phrases.items()}
    known = {word for rest in ordered.values() for words, _ in rest for word in words}
    filler = frozenset(map(_singular, content["filler"]))
    known |= filler | set(content["months"])
    alone = {tuple(phrase.split()): tag for tag, listed in content["alone"].items() for phrase in listed}
    return _Terms(
        phrases=ordered,
        alone=alone,
        words=frozenset(known),
        filler=filler,
        sentence=frozenset(content["sentence"]),
        questions=frozenset(content["questions"]),
        months=frozenset(content["months"]),
        misspelled=_index_of_deletions(word for word in known if len(word) >= _TOLERANT_FROM),
    )


def _index_of_deletions(words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Every word with one letter less, or none, and the words it comes from: what one slip of the pen leaves equal."""
    index: dict[str, list[str]] = {}
    for word in sorted(words):
        for shorter in _deletions(word):
            index.setdefault(shorter, []).append(word)
    return {shorter: tuple(found) for shorter, found in index.items()}


def _deletions(word: str) -> set[str]:
    return {word, *(word[:place] + word[place + 1 :] for place in range(len(word)))}


def _one_slip(written: str, meant: str) -> bool:
    """Whether the words differ by one letter that is wrong, missing or added, or by two that are exchanged."""
    start = 0
    while start < min(len(written), len(meant)) and written[start] == meant[start]:
        start += 1
    rest, other = written[start:], meant[start:]
    return (
        rest[1:] == other
        or rest == other[1:]
        or rest[1:] == other[1:]
        or (rest[:2] == other[1::-1] and rest[2:] == other[2:])
    )


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and word[-2] not in "sui" else word


def _spelled(word: str) -> str | None:
    """The known word, in the singular, that is meant: the word itself or one that differs by one slip; else None."""
    terms = _terms()
    word = _singular(word)
    if word in terms.words:
        return word
    word = word.rstrip("s") or word
    if len(word) >= _TOLERANT_FROM:
        for shorter in sorted(_deletions(word)):
            for meant in terms.misspelled.get(shorter, ()):
                if _one_slip(word, meant):
                    return meant
    return None


_CAMEL = re.compile(r"(?<=[a-z]{2})(?=[A-Z])|(?<=[a-z])(?=[A-Z][a-z]{2})")
_INITIALS = re.compile(r"\b(?:[a-z]\.){2,6}(?![a-z]{2})|\b[a-z](?:\.[a-z]{1,3}){1,4}\b\.?")
_PAIR = re.compile(r"\b([a-z])[/&]([a-z])\b")
_DAY = re.compile(
    r"\b(?:hospital |h\.?|post-?(?:op(?:erative)? )?)?(?:day|d)[ #-]*(?:no\.? ?)?"
    r"(?:[1-9]\d{0,2}|one|two|three|four|five)\b"
)
_STAY_DAY = re.compile(r"\b(hd|pod|dol)[ #-]*\d{1,3}\b")
_NUMERIC_DATE = re.compile(r"\W*\d{1,4}[/.-]\d{1,2}(?:[/.-]\d{2,4})?\b")
_FIRST_WORD = re.compile(r"\W*([A-Za-z]+)")
_LONGEST_WORD = 20
_LETTERS_ONLY = re.compile(r"[a-z ]*$")
_WORD = re.compile(r"[a-z0-9]+")


def words_of(heading: str) -> list[str]:
    """The words of a heading in lower case; figures and dates are left out, days of a stay are "hospital day"."""
    text = heading.replace("_", " ").replace("’", "'")
    if not (text.islower() or text.isupper() or text.istitle()):
        text = _CAMEL.sub(" ", text)
    text = text.lower()
    if not _LETTERS_ONLY.match(text):
        text = _INITIALS.sub(lambda found: found.group().replace(".", ""), text)
        text = _PAIR.sub(r"\1\2", text.replace("h/o", "history"))
        text = text.replace("'s", "").replace("&", " and ")
    text = _STAY_DAY.sub(r"\1", _DAY.sub("hospital day", text)) if "d" in text else text
    return [word for word in _WORD.findall(text) if not word[0].isdigit() or word in _terms().words or word == "0"]


def joined_letters(heading: str) -> str:
    """The words of a heading whose letters stand apart: as few known words as give its letters, else all of them."""
    letters = "".join(heading.split()).lower()
    terms = _terms()
    # The fewest words that give the letters up to each place.
    best: list[tuple[str, ...] | None] = [(), *[None] * len(letters)]
    for end in range(1, len(letters) + 1):
        for start in range(max(0, end - _LONGEST_WORD), end):
            before, shortest, word = best[start], best[end], letters[start:end]
            known = _singular(word) in terms.words or (word,) in terms.alone
            if before is not None and known and (shortest is None or len(before) + 1 < len(shortest)):
                best[end] = (*before, word)
    words = best[-1]
    return letters if words is None else " ".join(words)


def is_filler(word: str) -> bool:
    """Whether a word says nothing in a heading."""
    return _singular(word.lower()) in _terms().filler


def is_date(heading: str) -> bool:
    """Whether a heading is a date, or begins with one: "6 June, clinic", "3/14/99"."""
    words = re.findall(r"[a-z]+|\d+", heading.lower())
    if not any(word.isdigit() for word in words[:3]) or len(words) > 8:
        return False
    months = _terms().months
    pair = [word if word in months else word.isdigit() for word in words[:2]]
    named = len(pair) == 2 and any(entry is True for entry in pair) and any(entry in months for entry in pair)
    return named or _NUMERIC_DATE.match(heading) is not None


def asks(heading: str) -> bool:
    """Whether a line begins as questions do: "What was found on arrival"."""
    first = _FIRST_WORD.match(heading)
    return first is not None and first.group(1).lower() in _terms().questions


def meaning(heading: str) -> Meaning:
    """Read a heading. Any text is accepted."""
    terms = _terms()
    written = words_of(heading)
    exact = terms.alone.get(tuple(written))
    if exact is not None:
        return Meaning(*_weigh(frozenset({exact})), words=len(written))
    kind, found, dated, unknown = _read(tuple(_spelled(word) for word in written))
    return Meaning(kind, found, dated, len(written), unknown, bool(terms.sentence & set(written)))


@lru_cache(maxsize=4096)
def _read(words: tuple[str | None, ...]) -> tuple[Kind, frozenset[str], bool, int]:
    """Read known words, with None for the others. Notes repeat their headings; words of patients are not kept."""
    tags, unknown = _tags(words)
    return (*_weigh(tags), unknown)


def _tags(words: tuple[str | None, ...]) -> tuple[frozenset[str], int]:
    """The tags of the longest phrases, from left to right, and how many words belong to none and are not fillers."""
    terms = _terms()
    tags: set[str] = set()
    place = unknown = 0
    while place < len(words):
        word = words[place]
        length = 1
        for phrase, tag in terms.phrases.get(word, ()) if word is not None else ():
            if words[place : place + len(phrase)] == phrase:
                tags.add(tag)
                length = len(phrase)
                break
        else:
            unknown += word is None or (word not in terms.filler and word not in terms.months)
        place += length
    return frozenset(tags), unknown


def _weigh(tags: frozenset[str]) -> tuple[Kind, frozenset[str], bool]:
    """The kind of a heading with these tags, the tags, and whether they name an earlier time; later ones win."""
    earlier = any(tag in tags for tag in _EARLIER)
    if ("reason" in tags and earlier) or tags == {"reason"}:
        tags |= {"complaint"}
    if "rx" in tags:
        tags |= {"medications"}
    if "course_at" in tags:
        tags |= {"course"}
    if "illness_course" in tags:
        tags |= {"illness"}
    if "until" in tags and not tags & {"later_if_alone", "given"}:
        tags = (tags - _NOT_BEFORE) | {"before"}
        earlier = True
    known = any(tag in tags for tag in _KNOWN_BY)
    kind = Kind.UNKNOWN
    if "addendum" in tags:
        kind = Kind.ADDENDUM
    elif "title" in tags and not known:
        kind = Kind.TITLE
    elif "earlier_stay" in tags:
        kind = Kind.HISTORY
    elif tags & _AFTERWARDS:
        kind = Kind.LATER
    elif "course" in tags:
        kind = Kind.ILLNESS if tags & {"elsewhere", "emergency", "before", "home"} else Kind.LATER
    elif "event" in tags:
        kind = Kind.ILLNESS if earlier or "illness" in tags else Kind.LATER
    elif "plan" in tags:
        kind = Kind.ILLNESS if tags & {"elsewhere", "before", "arrival"} else Kind.LATER
    elif "able" in tags:
        kind = Kind.HISTORY if tags & {"arrival", "before", "elsewhere"} else Kind.LATER
    elif known:
        kind = Kind.HISTORY if tags & _IN_ENTRIES or not tags & {"illness", "complaint"} else Kind.ILLNESS
    elif "either" in tags:
        kind = Kind.HISTORY if earlier else Kind.LATER if tags & _LATER_IF_ALONE else Kind.EITHER
    elif "judgement" in tags:
        kind = Kind.EXAM if earlier else Kind.LATER
    elif tags & {"therapy", "diagnosis"}:
        kind = (
            Kind.HISTORY if tags & ({"elsewhere", "emergency", "before", "home"} | _admitting(tags)) else Kind.LISTED
        )
    elif "medications" in tags:
        kind = _undated(tags, earlier, Kind.MEDICATIONS)
        kind = Kind.HISTORY if earlier else kind
    elif tags & set(_FINDINGS):
        of_stay = Kind.ALL_RESULTS if "any_results" in tags and not earlier else Kind.RESULTS
        kind = _undated(tags, earlier, of_stay if not tags & {"physical", "finding"} or _of_tests(tags) else Kind.EXAM)
    elif "header" in tags:
        kind = Kind.HEADER
    elif earlier:
        kind = Kind.EXAM if "inner" in tags and tags & {"arrival", "emergency"} else Kind.ILLNESS
    elif tags & _LATER_IF_ALONE:
        kind = Kind.LATER
    elif "inner" in tags:
        kind = Kind.INNER
    return kind, tags, earlier


def _admitting(tags: frozenset[str]) -> set[str]:
    """A diagnosis "on admission" was known then; a treatment or a procedure "on admission" came after it."""
    return {"arrival"} if "diagnosis" in tags and "therapy" not in tags else set()


def _of_tests(tags: frozenset[str]) -> bool:
    return "physical" not in tags and bool(tags & {"results", "arrival_test", "any_results"})


def _undated(tags: frozenset[str], earlier: bool, kind: Kind) -> Kind:
    return kind if earlier or not tags & _LATER_IF_ALONE else Kind.LATER
