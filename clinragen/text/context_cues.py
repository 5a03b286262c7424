"""Reads the cues of the context rules from `resources/context_cues.yaml`."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from clinragen.text.context_rules import (
    DIMENSIONS,
    SUBJECT,
    ContextRules,
    Cue,
    DoubleNegations,
    MarkRules,
    PatientRules,
    RelativeRules,
    SplitCues,
    StatementRules,
)
from clinragen.text.term_index import ANY_YEAR, TermIndex, fold_word, split_words
from dataset_builder.storage.files import read_yaml
from modeling_clinragen.errors import InputDataError

RESOURCES = files("clinragen.text") / "resources"

EFFECTS = ("negated", "uncertain", "historical", "family", "hypothetical", "none")
REACHES = ("touch", "phrase", "items", "list", "all", "statement")
TERMINATORS = (
    "terminators",
    "statements",
    "results",
    "history_goes_on",
    "relatives_go_on",
    "past_goes_on",
    "history_ends",
)
STATUSES = ("negated", "affirmed", "uncertain")

_CHOICE = re.compile(r"\(([^()]*)\)")
# The name of a list of words in a pattern, outside a choice.
_NAME = re.compile(r"(?<![(|\w])[A-Z]{4,}(?![)|\w])")


@lru_cache(maxsize=4)
def load_context_rules(path: Path | None = None) -> ContextRules:
    """Read the cue file. Raises `InputDataError` naming the faulty part."""
    source = path if path is not None else RESOURCES / "context_cues.yaml"
    content: dict[str, Any] = read_yaml(source)
    try:
        words = {"YEAR": (ANY_YEAR,)} | {name: _texts(texts) for name, texts in content.get("words", {}).items()}
        cues = [pair for group in content["forward"] for pair in _cues(group, True, words)]
        cues += [pair for group in content["backward"] for pair in _cues(group, False, words)]
        relatives = _texts(content["relatives"])
        relative = Cue("family", True, "list", dimension=DIMENSIONS["family"])
        cues += [(f"{person} {link}", relative) for person in relatives for link in _texts(content["relative_links"])]
        behind = Cue("family", False, "phrase", dimension=DIMENSIONS["family"])
        cues += [(f"{place} {person}", behind) for person in relatives for place in _texts(content["relative_places"])]
        cues += [(person, SUBJECT) for person in relatives]  # the last owner of a phrase, if it is one
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
            relatives=RelativeRules(
                names=frozenset(relatives),
                articles=frozenset(_texts(content["relative_articles"])),
                clause=_relative_clause(content),
                tells=re.compile(
                    r"(?!(?:found|noted|felt|thought|believed|known)\s+to\b)"
                    rf"(?:{_alternatives(_texts(content['relative_tells']))})",
                    re.IGNORECASE,
                ),
            ),
            double_negations=_double_negations(content, words),
            split_cues=SplitCues(
                patterns={effect: _split_cue(pairs) for effect, pairs in content["split_cues"].items()},
                firsts=frozenset(fold_word(first) for pairs in content["split_cues"].values() for first, _ in pairs),
                orders=_orders(content),
                order_firsts=frozenset(fold_word(text.split()[0]) for text in _texts(content["orders"])),
            ),
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
            named_persons=re.compile(
                rf"(?:never[\s-]+(?:[\w-]+\s+)?|(?:former|ex)[\s-]+(?:[\w-]+\s+){{0,3}}?)(?:{_alternatives(_texts(content['person_nouns']))})"
                r"[^,.;:\n]{0,40}?(?P<with>\s(?:with|without|w/|w/o|who)\s)",
                re.IGNORECASE,
            ),
            first_thoughts=frozenset(_texts(content["first_thoughts"])),
            list_leads=frozenset(_texts(content["list_leads"])),
            continuations=re.compile(rf",\s*(?:{_alternatives(_texts(content['continuations']))})", re.IGNORECASE),
            refutations=TermIndex((text, True) for text in _texts(content["refutations"])),
            persistences=TermIndex((text, True) for text in _texts(content["persistences"])),
            onsets=re.compile(
                rf"\b(?:{_alternatives(_texts(content['onsets']))})\s+(?:[\w.]+\s+){{0,3}}\Z", re.IGNORECASE
            ),
            quantities=re.compile(
                rf"(?:(?:{_alternatives(_texts(content['quantities']))}|\d+)\s+){{1,4}}\Z", re.IGNORECASE
            ),
            relapses=re.compile(
                rf"\b(?<!not )(?<!never )(?<!n't )(?<!no )(?:{_alternatives(_texts(content['relapses']))})",
                re.IGNORECASE,
            ),
            complaints=frozenset(fold_word(word) for word in _texts(content["complaints"])),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputDataError(f"{source}: missing or malformed list of cues ({error}); see the shipped file") from error


def spellings(pattern: str, words: Mapping[str, Sequence[str]] | None = None) -> list[str]:
    """All phrases that a pattern such as "(was|is) (not|) seen" stands for; `words` are choices with a name."""
    parts = _CHOICE.split(_NAME.sub(lambda found: f"({found.group()})", pattern))
    choices = [part.split("|") if number % 2 else [part] for number, part in enumerate(parts)]
    if words:
        choices = [[text for one in choice for text in words.get(one, (one,))] for choice in choices]
    return [" ".join("".join(chosen).split()) for chosen in itertools.product(*choices)]


def _cues(group: dict[str, Any], forward: bool, words: Mapping[str, Sequence[str]]) -> list[tuple[str, Cue]]:
    effect, reach = group["effect"], group["reach"]
    if effect not in EFFECTS or reach not in REACHES:
        raise ValueError(f"effect '{effect}' with reach '{reach}'")
    dimension = DIMENSIONS.get(effect, "assertion")
    phrases = [phrase for text in _texts(group["cues"]) for phrase in spellings(text, words)]
    if group.get("verbatim", False):
        return [(phrase, Cue(effect, forward, reach, phrase.lower(), dimension)) for phrase in phrases]
    opening, closing = group.get("opening", False), group.get("closing", False)
    cue = Cue(effect, forward, reach, dimension=dimension, opening=opening, closing=closing)
    return [(phrase, cue) for phrase in phrases]


def _double_negations(content: dict[str, Any], words: Mapping[str, Sequence[str]]) -> DoubleNegations:
    links = _alternatives(_texts(content["aspect_links"]))
    functions = _alternatives(_texts(content["functions"]))
    aspects, actions = (
        re.compile(
            rf"\s+(?:[\w'-]+\s+){{0,3}}?(?:{_alternatives(_texts(content[name]))})(?:\s+[\w-]+){{0,3}}?"
            rf"\s+(?P<link>{links})(?!\s+(?:{functions}))",
            re.IGNORECASE,
        )
        for name in ("aspects", "actions")
    )
    cancellers = [
        (phrase, frozenset(_texts(group["cancels"])))
        for group in content["cancellers"]
        for text in _texts(group["cues"])
        for phrase in spellings(text, words)
    ]
    firsts = {split_words(text)[0].folded for name in ("aspects", "actions") for text in _texts(content[name])}
    return DoubleNegations(TermIndex(cancellers), aspects, actions, frozenset(firsts))


def _orders(content: dict[str, Any]) -> re.Pattern[str]:
    orders = _alternatives(_texts(content["orders"]))
    return re.compile(rf"(?:{orders})\s[^.;:\n]{{0,60}}?\b(?:for|with)\b", re.IGNORECASE)


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
    speakers = _alternatives(_texts(content["speakers"]))
    link = rf"(?:[:=?|]|[-–—]{{1,20}}|\.{{1,80}})[ \t,\-–—]{{0,80}}(?:\n?[ \t]{{0,20}}(?:{speakers}):[ \t]{{0,20}})?"
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
