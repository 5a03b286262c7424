"""Rewrites who the patient of a note is, by sex, race or age, and nothing else.

A note says in few words who its patient is ("67 yo Caucasian man", "he"). These become those of another patient; what
relatives are called, and every other character, stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

from dataset_builder.storage.files import read_yaml

MAN, WOMAN = "man", "woman"
# The letter of a sex stands behind an age in words ("67 yo F", "___ year old M"), or behind a number that a verb or a
# preposition follows ("67M with"): "101 F" is a temperature.
_LETTERS = (
    re.compile(r"(?P<age>(?:\by\.o\.|\by/o|\byo|\bolds?)[ -]?|\d[ -]?yo)(?P<letter>[MF])\b"),
    re.compile(
        r"(?P<age>\b\d{2} ?)(?P<letter>[MF])\b(?=,? (?:with|w/|who|presents|presenting|p/w|h/o|hx|s/p|admitted))"
    ),
)
# "her" is "him" where no noun can follow, and else "his".
_HER = re.compile(
    r"\b(?P<word>[Hh]er)\b(?P<alone>(?=\s*(?:[.,;:!?)]|$|(?:to|for|from|with|at|in|on|and|that|as|by)\b)))?"
)
_HERS = re.compile(r"\b[Hh]ers\b")
# The bundle of His is a person's name.
_HIS = re.compile(r"(?<!undle of )\b(?:[Hh]is|[Hh]im)\b(?! bundle|-Purkinje)")


def as_sex(note: str, sex: str) -> str:
    """The note as it would be about a man or a woman; unchanged where it is already, or says nothing of it."""
    words = _words()["sex"]
    goes_to = 0 if sex == MAN else 1
    # The first pair of a word decides, so later ones come first into the mapping.
    names, pronouns = (
        {pair[1 - goes_to]: pair[goes_to] for pair in reversed(words[kind])} for kind in ("words", "pronouns")
    )
    note = _replaced(_replaced(note, names, re.IGNORECASE), {**pronouns, **_capitalised(pronouns)})
    letter = "M" if sex == MAN else "F"
    for pattern in _LETTERS:
        note = pattern.sub(lambda match: match["age"] + letter, note)
    if sex == WOMAN:
        return _HIS.sub(lambda match: _like(match[0], "her"), note)
    note = _HER.sub(lambda match: _like(match["word"], "his" if match["alone"] is None else "him"), note)
    return _HERS.sub(lambda match: _like(match[0], "his"), note)


def with_other_race(note: str) -> str:
    """The note with each race that it states of a person replaced; unchanged where it states none."""
    words = _words()
    return _replaced(note, words["race"], re.IGNORECASE, before=words["persons"])


def with_age(note: str, age: int) -> str:
    """The note with each age that it states in years replaced; unchanged where it states none."""
    words = _words()["age"]
    behind, before = ("|".join(words[place]) for place in ("behind", "before"))
    note = re.sub(rf"(?<![\w.])\d{{1,3}}(?=[ -]?(?:{behind})(?!\w))", str(age), note, flags=re.IGNORECASE)
    return re.sub(rf"\b({before}) ?\d{{1,3}}(?![\w.]*\d)", rf"\g<1> {age}", note, flags=re.IGNORECASE)


def _replaced(note: str, to: Mapping[str, str], flags: re.RegexFlag = re.NOFLAG, before: Iterable[str] = ()) -> str:
    """The note with whole words replaced, in the same case; with `before`, only words that one of these follows."""
    words = "|".join(map(re.escape, sorted(to, key=len, reverse=True)))
    follows = f"(?=[ -](?:{'|'.join(map(re.escape, before))})\\b)" if before else ""
    pattern = re.compile(rf"\b(?:{words})\b{follows}", flags)
    return pattern.sub(lambda match: _like(match[0], to[match[0].lower() if flags else match[0]]), note)


def _capitalised(words: Mapping[str, str]) -> dict[str, str]:
    return {word.capitalize(): to.capitalize() for word, to in words.items()}


def _like(model: str, word: str) -> str:
    """A word in capitals where another one is, or with a capital where that has one."""
    if model.isupper():
        return word.upper() if len(model) > 1 else word.capitalize()
    return word[:1].upper() + word[1:] if model[:1].isupper() else word


@lru_cache(maxsize=1)
def _words() -> Any:
    # A shipped file: the same for everybody.
    return read_yaml(files("clinragen.interventions") / "resources" / "person_words.yaml")
