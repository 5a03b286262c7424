"""The meaning of every word: the phrases of `resources/claims.yaml` and the vocabulary's own words, ready for look-up.

The one home of "word -> meaning". Names, conditions ("febrile"), extremes ("Tmax") and units of a single variable
belong to the variable (`Variable.words`, `Variable.units`); claims.yaml has the language that all variables share.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from clinragen.claims.types import Predicate, Quantifier, Quantity, Subject, When
from clinragen.text.names import fold_name, names_pattern
from clinragen.text.term_index import TermIndex
from dataset_builder.storage.files import faults_named, read_yaml
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.vocabulary_clinragen import Unit, Variable, Vocabulary

CLAIMS = files("clinragen.claims") / "resources" / "claims.yaml"
PLAIN = files("clinragen.claims") / "resources" / "plain_words.yaml"

# Sections of claims.yaml whose phrases all mean the same, by the kind of token they become.
_PLAIN_SECTIONS = (
    *("unmeasured", "measured", "past", "hypothetical", "interpretation", "same", "masks"),
    *("denied", "doubted", "now", "restart", "than", "others", "only", "present", "charged", "general", "having"),
)
# Those whose phrases keep their text as the word.
_WORD_SECTIONS = {
    "breaks": "break",
    "conjunctions": "conjunction",
    "copulas": "copula",
    "stays": "stay",
    "hedges": "hedge",
    "goals": "goal",
}
# The word of an interpretation that gives a cause ("due to").
CAUSE = "cause"
# Endings of an abbreviation of at most so many letters.
_ENDINGS, _SHORT = ("max", "min"), 4
_ABSENT_LEVELS = ("not high", "not low")

Phrases = Iterator[tuple[str, "Meaning"]]


@dataclass(frozen=True)
class Meaning:
    """The meaning of a phrase: the `kind` of token, its `word`, and for names the subjects and what they state."""

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


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Phrases, units, names and tolerances of one vocabulary.

    Args:
        phrases: Every phrase with its meanings; the first meaning is the usual one.
        extents: Words of quantity by name.
        limits: Tolerances by name.
        units: By variable key and folded spelling, the unit; the variable's own comes first.
        unit_pattern: Finds a unit behind a number.
        open_units: Folded spellings that leave open which of a variable's units is meant ("degrees").
        disease_names: Finds names of diseases.
        disease_keys: Disease keys by folded name.
        abbreviations: Words that a full stop follows without ending the sentence.
        plain: Words that change nothing in a statement that they stand in, with their group in plain_words.yaml.
        named_by_unit: Keys of the variables that a number's unit names by itself, by folded spelling.
        changed_by_unit: The same for a change ("gained 4 kg").
        named_by_verb: Keys of the variables that a verb with a number names ("breathing 32 a minute").
        behind_percent: Keys of the variables that a word behind a percentage names ("50 % oxygen").
        given_for: By the key of what is measured, that of what is given for it (oxygen, for the saturation).
        given_names, given_verbs: Words for both of them, and verbs behind which they are what is given.
        pair: The variables of "120/80", in this order.
        variables: Variables by key.
    """

    phrases: TermIndex[Meaning]
    extents: Mapping[str, Extent]
    limits: Mapping[str, float]
    units: Mapping[str, Mapping[str, Unit]]
    unit_pattern: re.Pattern[str]
    open_units: frozenset[str]
    disease_names: re.Pattern[str]
    disease_keys: Mapping[str, str]
    abbreviations: frozenset[str]
    plain: Mapping[str, str]
    named_by_unit: Mapping[str, str]
    changed_by_unit: Mapping[str, str]
    named_by_verb: Mapping[str, str]
    behind_percent: Mapping[str, str]
    given_for: Mapping[str, str]
    given_names: frozenset[str]
    given_verbs: frozenset[str]
    pair: tuple[str, ...]
    variables: Mapping[str, Variable]

    def diseases_in(self, text: str) -> set[str]:
        """Keys of the diseases that a text names; within a longer name the shorter one does not count."""
        return {self.disease_keys[fold_name(found.group())] for found in self.disease_names.finditer(text)}


@lru_cache(maxsize=8)
def load_lexicon(vocabulary: Vocabulary, path: Path | None = None) -> Lexicon:
    """The lexicon of a vocabulary.

    Args:
        vocabulary: Whose variables and diseases texts are about.
        path: Phrases to read in place of the shipped ones.

    Raises:
        InputDataError: The file, or a variable's words, lack an entry or have a malformed one; the message names it.
    """
    source = path if path is not None else CLAIMS
    content: dict[str, Any] = read_yaml(source)
    with faults_named(source):
        units = {variable.key: _units(variable) for variable in vocabulary.variables}
        unread = {fold_unit(spelling) for spelling in content["unread_units"]}
        return Lexicon(
            phrases=TermIndex(_phrases(content, vocabulary)),
            extents={
                name: Extent(
                    (float(entry["supported"][0]), float(entry["supported"][1])),
                    (float(entry["tolerated"][0]), float(entry["tolerated"][1])),
                    bool(entry.get("strictly_above", False)),
                    group == "counts",
                )
                for group in ("extents", "counts")
                for name, entry in content[group].items()
            },
            limits={str(key): float(value) for key, value in content["limits"].items()},
            units=units,
            unit_pattern=_unit_pattern(vocabulary, unread),
            open_units=frozenset(fold_unit(spelling) for spelling in content["open_units"]),
            disease_names=names_pattern(vocabulary.disease_names),
            disease_keys={fold_name(disease.name): disease.key for disease in vocabulary.diseases},
            abbreviations=frozenset(content["abbreviations"]),
            plain=_plain_words(PLAIN),
            named_by_unit=_own_units(content["named_by_unit"], vocabulary),
            changed_by_unit=_own_units(
                [key for key, entry in content["implied"].items() if entry.get("changes")], vocabulary
            ),
            named_by_verb=_keys_of(content["named_by_verb"], vocabulary),
            behind_percent=_keys_of(content["behind_percent"], vocabulary),
            given_for={
                entry["for"]: key
                for key, entry in content["given"].items()
                if {key, entry["for"]} <= set(vocabulary.variable_keys)
            },
            given_names=frozenset(name for entry in content["given"].values() for name in entry["names"]),
            given_verbs=frozenset(verb for entry in content["given"].values() for verb in entry["verbs"]),
            pair=tuple(content["pair"]),
            variables={variable.key: variable for variable in vocabulary.variables},
        )


def fold_unit(unit: str) -> str:
    """A unit without differences of case and white space."""
    return "".join(unit.split()).casefold()


def _phrases(content: Mapping[str, Any], vocabulary: Vocabulary) -> Phrases:
    """Every phrase with its meaning. Of several meanings of one phrase, the one that comes first is the usual one."""
    yield from _names(content["groups"], vocabulary)
    yield from _conditions(content, vocabulary)
    for kind in ("levels", "trends", "extremes", "compare", "comparatives", "factors", "ratios"):
        for word, texts in content[kind].items():
            yield from ((text, Meaning(kind.rstrip("s"), str(word))) for text in texts)
    for group in ("extents", "counts"):
        for name, listed in content[group].items():
            yield from ((text, Meaning("quantifier", quantifier=Quantifier(name))) for text in listed["words"])
    for word, texts in content["changes"].items():
        yield from ((text, Meaning("change", str(word))) for text in texts)
    for word, texts in content["onsets"].items():
        yield from ((text, Meaning("onset", word)) for text in texts)
    for place, texts in content["ordinals"].items():
        yield from ((text, Meaning("ordinal", when=When("nth", float(place)))) for text in texts)
    for key, entry in content["implied"].items():
        if key in vocabulary.variable_keys:
            for word in ("above", "below"):
                subjects = (Subject((key,)),)
                yield from ((text, Meaning("implied", word, subjects)) for text in entry.get(word, ()))
    for name, texts in content["determiners"].items():
        yield from ((text, Meaning("determiner", name)) for text in texts)
    for name, texts in content["times"].items():
        yield from ((text, Meaning("time", when=When(name))) for text in texts)
    for name, texts in content["negation"].items():
        yield from ((text, Meaning("negation", name)) for text in texts)
    for kind in _PLAIN_SECTIONS:
        yield from ((text, Meaning(kind)) for text in content[kind])
    yield from ((text, Meaning("interpretation", CAUSE)) for text in content["causes"])
    for section, kind in _WORD_SECTIONS.items():
        yield from ((text, Meaning(kind, text)) for text in content[section])
    yield from ((text, Meaning("approximately")) for text in content["approximately"])
    yield from ((text, Meaning("reading", text)) for text in content["readings"])
    yield from ((text, Meaning("pronoun")) for text in content["pronouns"])
    yield from ((text, Meaning("filler", text)) for text in content["fillers"])


def _names(groups: Iterable[Mapping[str, Any]], vocabulary: Vocabulary) -> Phrases:
    """Names of single variables, then names that stand for several."""
    for variable in vocabulary.variables:
        meaning = Meaning("name", subjects=(Subject((variable.key,)),))
        # A single letter is a name in capitals only, the others whatever the case.
        yield from ((name if len(name) == 1 else name.lower(), meaning) for name in _names_of(variable))
    known = vocabulary.variable_keys
    for group in groups:
        subjects: tuple[Subject, ...]
        if "any" in group:
            chosen = tuple(key for key in group["any"] if key in known)
            subjects = (Subject(chosen),) if chosen else ()
        elif "difference" in group:
            chosen = tuple(key for key in group["difference"] if key in known)
            subjects = (Subject(chosen, difference=True),) if len(chosen) == 2 else ()
        elif group["each"] == "all":
            subjects = tuple(Subject((key,), everything=True) for key in known)
        else:
            subjects = tuple(Subject((key,)) for key in group["each"] if key in known)
        word = "header" if group.get("header") else ""
        yield from ((name, Meaning("name", word, subjects)) for name in group["names"])


def _names_of(variable: Variable) -> tuple[str, ...]:
    return (variable.name, variable.short, *variable.aliases, *variable.words.names)


def _conditions(content: Mapping[str, Any], vocabulary: Vocabulary) -> Phrases:
    """Words that name variables and state something of them: about several, then about one, then extremes."""
    known = vocabulary.variable_keys
    for entry in content["conditions"]:
        chosen = tuple(key for key in entry["variables"] if key in known)
        meaning = Meaning("condition", "", (Subject(chosen),), _said(entry["says"], content, "conditions"))
        yield from ((text, meaning) for text in entry["words"] if chosen)
    for variable in vocabulary.variables:
        for condition in variable.words.conditions:
            says = _said(condition.says, content, f"variable '{variable.key}'")
            meaning = Meaning("condition", "", (Subject((variable.key,)),), says)
            yield from ((text, meaning) for text in condition.words)
    for variable in vocabulary.variables:
        for name in _names_of(variable):
            if len(name) <= _SHORT and name.isalpha():  # "HRmax"
                subjects = (Subject((variable.key,)),)
                yield from (
                    (name + word, Meaning("name", "", subjects, Predicate("extreme", word))) for word in _ENDINGS
                )
        for text, word in variable.words.extremes:
            if word not in content["extremes"]:
                raise InputDataError(
                    f"variable '{variable.key}': unknown extreme '{word}' of '{text}'; expected one of "
                    f"{', '.join(content['extremes'])}"
                )
            yield (text, Meaning("name", subjects=(Subject((variable.key,)),), says=Predicate("extreme", word)))


def _said(says: str, content: Mapping[str, Any], where: str) -> Predicate:
    levels = (*content["levels"], *_ABSENT_LEVELS)
    word, _, number = says.partition(" ")
    if word in content["compare"] and number.replace(".", "", 1).isdigit():
        limit = Quantity(float(number), float(number), len(number.partition(".")[2]))
        return Predicate("compare", word, limit)
    if says not in levels and says not in content["trends"]:
        known = ", ".join((*levels, *content["trends"]))
        raise InputDataError(f"{where}: a condition says '{says}'; expected one of {known}")
    return Predicate("level" if says in levels else "trend", says)


def _plain_words(source: Any) -> dict[str, str]:
    content: dict[str, list[str]] = read_yaml(source)
    with faults_named(source):
        # Of a word in several groups the first counts.
        return {word.lower(): group for group, words in reversed(content.items()) for word in words}


def _keys_of(words: Mapping[str, list[str]], vocabulary: Vocabulary) -> dict[str, str]:
    return {word: key for key, listed in words.items() if key in vocabulary.variable_keys for word in listed}


def _own_units(keys: Iterable[str], vocabulary: Vocabulary) -> dict[str, str]:
    """By folded spelling, the variable whose unit it is and no other's."""
    owners: dict[str, set[str]] = {}
    for variable in vocabulary.variables:
        for spelling in _units(variable):
            owners.setdefault(spelling, set()).add(variable.key)
    wanted = set(keys)
    return {spelling: key for spelling, found in owners.items() if len(found) == 1 for key in found & wanted}


def _units(variable: Variable) -> dict[str, Unit]:
    """Units by folded spelling, the variable's own unit first."""
    found = {fold_unit(variable.unit): Unit((variable.unit,))}
    for unit in variable.units:
        for spelling in unit.spellings:
            found.setdefault(fold_unit(spelling), unit)
    for spelling, meant in variable.words.units:
        if fold_unit(meant) in found:
            found.setdefault(fold_unit(spelling), found[fold_unit(meant)])
    return found


def _unit_pattern(vocabulary: Vocabulary, unread: set[str]) -> re.Pattern[str]:
    """Finds any unit of the vocabulary behind a number; blanks in a spelling are optional."""
    spellings: set[str] = set()
    for variable in vocabulary.variables:
        spellings.add(variable.unit)
        spellings.update(spelling for unit in variable.units for spelling in unit.spellings)
        spellings.update(spelling for spelling, _ in variable.words.units)
    # A unit that is also a name ("pH") is read as the name: "HR 110, pH 7.2".
    names = {fold_unit(name) for variable in vocabulary.variables for name in _names_of(variable)}
    read = {spelling.lower() for spelling in spellings if fold_unit(spelling) not in unread | names}
    ordered = sorted(read, key=lambda spelling: (-len(spelling), spelling))
    body = "|".join(r"\s*".join(map(re.escape, spelling.split())) for spelling in ordered)
    return re.compile(rf"\s*-?(?P<unit>{body or '(?!)'})(?![A-Za-z])", re.IGNORECASE)
