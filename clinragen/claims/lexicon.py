"""The words of `resources/claims.yaml`, ready for looking up, and the tolerances beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from dataset_builder.contract.vocabulary import RESOURCES, Variable, load_diseases, load_variables

from clinragen.claims.types import Predicate, Quantifier, Subject, When
from clinragen.text.term_index import TermIndex
from dataset_builder.storage.files import faults_named, read_yaml

CLAIMS = files("clinragen.claims") / "resources" / "claims.yaml"


@dataclass(frozen=True)
class Entry:
    """What a phrase means: the `kind` of item, its `word`, and for names the subjects and what they say already."""

    kind: str
    word: str = ""
    subjects: tuple[Subject, ...] = ()
    says: Predicate | None = None
    quantifier: Quantifier | None = None
    when: When | None = None


@dataclass(frozen=True)
class Extent:
    """Shares, or numbers, of readings for a word: supported within the first pair, contradicted outside the second."""

    supported: tuple[float, float]
    tolerated: tuple[float, float]
    strictly_above: bool
    counted: bool


@dataclass(frozen=True)
class Conversion:
    """value * scale + offset is in the variable's own unit."""

    scale: float
    offset: float


@dataclass(frozen=True)
class Lexicon:
    """Phrases, units and tolerances."""

    index: TermIndex[Entry]
    extents: Mapping[str, Extent]
    near: Mapping[str, float]
    limits: Mapping[str, float]
    units: Mapping[str, Mapping[str, Conversion]]
    unit_pattern: re.Pattern[str]
    diseases: re.Pattern[str]
    abbreviations: frozenset[str]
    variables: Mapping[str, Variable]


def load_lexicon(path: Path | None = None) -> Lexicon:
    """Read the words. Raises `InputDataError` naming what is missing or malformed."""
    return _build(path, load_variables(), tuple(disease.name for disease in load_diseases()))


@lru_cache(maxsize=4)
def _build(path: Path | None, variables: tuple[Variable, ...], diseases: tuple[str, ...]) -> Lexicon:
    source = path if path is not None else CLAIMS
    content: dict[str, Any] = read_yaml(source)
    with faults_named(source):
        extents = {
            name: Extent(
                (float(entry["supported"][0]), float(entry["supported"][1])),
                (float(entry["tolerated"][0]), float(entry["tolerated"][1])),
                bool(entry.get("strictly_above", False)),
                group == "counts",
            )
            for group in ("extents", "counts")
            for name, entry in content[group].items()
        }
        units = _units(content["units"], variables)
        return Lexicon(
            index=TermIndex(_phrases(content, variables)),
            extents=extents,
            near={str(key): float(value) for key, value in content["near"].items()},
            limits={str(key): float(value) for key, value in content["limits"].items()},
            units=units,
            unit_pattern=_unit_pattern(units),
            diseases=_alternatives(diseases),
            abbreviations=frozenset(content["abbreviations"]),
            variables={variable.key: variable for variable in variables},
        )


def _phrases(content: Mapping[str, Any], variables: tuple[Variable, ...]) -> Iterable[tuple[str, Entry]]:
    """Every phrase with its meaning. What is first yielded for a phrase is what it means first."""
    known = {variable.key for variable in variables}
    for variable in variables:
        own = (Subject((variable.key,)),)
        names = [variable.name, variable.short, *variable.aliases, *content["names"].get(variable.key, [])]
        # A single letter is a name in capitals only, the others whatever the case.
        yield from ((name if len(name) == 1 else name.lower(), Entry("name", subjects=own)) for name in names)
    for group in content["groups"]:
        if "any" in group:
            chosen = tuple(key for key in group["any"] if key in known)
            subjects: tuple[Subject, ...] = (Subject(chosen),) if chosen else ()
            entry = Entry("name", subjects=subjects)
        else:
            everything = group["each"] == "all"
            chosen = tuple(variable.key for variable in variables) if everything else tuple(group["each"])
            subjects = tuple(Subject((key,), everything) for key in chosen if key in known)
            entry = Entry("name", subjects=subjects)
        yield from ((name, entry) for name in group["names"])
    for condition in content["conditions"]:
        chosen = tuple(key for key in condition["variables"] if key in known)
        says = condition["says"]
        kind = "level" if says in (*content["levels"], "not high", "not low") else "trend"
        entry = Entry("condition", "", (Subject(chosen),), Predicate(kind, says))
        yield from ((text, entry) for text in condition["words"] if chosen)
    for name, (key, word) in content["extreme_names"].items():
        entry = Entry("name", subjects=(Subject((key,)),), says=Predicate("extreme", word))
        if key in known:
            yield name, entry
    for kind in ("levels", "trends", "extremes", "compare"):
        for word, texts in content[kind].items():
            yield from ((text, Entry(kind.rstrip("s"), word)) for text in texts)
    for group_name in ("extents", "counts"):
        for name, listed in content[group_name].items():
            yield from ((text, Entry("quantifier", quantifier=Quantifier(name))) for text in listed["words"])
    for name, texts in content["times"].items():
        yield from ((text, Entry("time", when=When(name))) for text in texts)
    for name, texts in content["negation"].items():
        yield from ((text, Entry("negation", name)) for text in texts)
    for kind in ("unmeasured", "measured", "past", "hypothetical", "interpretation", "same", "masks"):
        yield from ((text, Entry(kind)) for text in content[kind])
    plain = {"breaks": "break", "conjunctions": "conjunction", "copulas": "copula", "stays": "stay", "hedges": "hedge"}
    for section, kind in plain.items():
        yield from ((text, Entry(kind, text)) for text in content[section])
    yield from ((text, Entry("approximately")) for text in content["approximately"])
    yield from ((text, Entry("reading", text)) for text in content["readings"])
    yield from ((text, Entry("pronoun")) for text in content["pronouns"])
    yield from ((text, Entry("filler", text)) for text in content["fillers"])


def _units(spellings: Mapping[str, Any], variables: tuple[Variable, ...]) -> dict[str, dict[str, Conversion]]:
    """Conversions by variable and spelling (lower case, no blanks), the variable's own unit first."""
    shipped = read_yaml(RESOURCES / "units.yaml")["variables"]
    result: dict[str, dict[str, Conversion]] = {}
    for variable in variables:
        found = {fold_unit(variable.unit): Conversion(1.0, 0.0)}
        for unit in shipped.get(variable.key, {}).get("units", []):
            conversion = Conversion(float(unit.get("scale", 1.0)), float(unit.get("offset", 0.0)))
            for spelling in unit["spellings"]:
                found.setdefault(fold_unit(spelling), conversion)
        for spelling, meant in spellings.get(variable.key, {}).items():
            if fold_unit(meant) in found:
                found.setdefault(fold_unit(spelling), found[fold_unit(meant)])
        result[variable.key] = found
    return result


def fold_unit(unit: str) -> str:
    """A unit without case and blanks."""
    return "".join(unit.split()).lower()


def _unit_pattern(units: Mapping[str, Mapping[str, Conversion]]) -> re.Pattern[str]:
    # A spelling of several words may be written with blanks: they are optional between its letters' groups.
    spellings = {spelling for found in units.values() for spelling in found if spelling not in ("g", "ph", "fraction")}
    words = ["degrees celsius", "degrees fahrenheit", "degrees centigrade", "degrees c", "degrees f", "deg c", "deg f"]
    words += ["beats per minute", "beat per minute", "beats / min", "breaths per minute", "breath per minute"]
    words += ["breaths / min", "breaths a minute", "per minute", "mm hg", "mg / dl", "mg per dl", "mmol / l"]
    words += ["mmol per l", "per cent", "° c", "° f", "º c", "º f", "millimeters of mercury"]
    ordered = sorted({*spellings, *words}, key=len, reverse=True)
    body = "|".join(re.escape(spelling).replace(r"\ ", r"\s*") for spelling in ordered)
    return re.compile(rf"\s*-?(?P<unit>{body})(?![A-Za-z])", re.IGNORECASE)


def _alternatives(names: Iterable[str]) -> re.Pattern[str]:
    ordered = sorted(names, key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, ordered))})(?!\w)", re.IGNORECASE)
