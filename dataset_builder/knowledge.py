"""Domain knowledge K (paper, section 3.2): terms of each disease and variable, and what supports a disease.

The shipped `resources/knowledge.json` is written by hand; a retrieved one has the same form. The terms become the
prototypes of the model's attention, and they are what the rule-based teacher looks for in a note and in a series.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dataset_builder.files import atomic_folder, file_digest, read_json, write_json
from dataset_builder.rationales.term_index import TermIndex
from dataset_builder.vocabulary import RESOURCES, load_diseases, load_variables
from modeling_clinragen.errors import InputDataError, SettingsError

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 1
# In the order in which a rationale prefers them: a disease's own name says more than a drug that is given for it.
TERM_KINDS = ("name", "finding", "procedure", "symptom", "drug", "cause")
DIRECTIONS = ("high", "low", "rising", "falling", "erratic")
SIDES = ("high", "low")

T = TypeVar("T")


@dataclass(frozen=True)
class Term:
    """A term of a disease. `source` names where it can be checked.

    `spellings` are synonyms, abbreviations and word forms of `term`. A term that is not `cited` belongs to the disease
    but occurs with too many others to support it.
    """

    term: str
    kind: str
    cited: bool
    source: str
    spellings: tuple[str, ...] = ()

    @property
    def surfaces(self) -> tuple[str, ...]:
        """Every way in which the term may stand in a note."""
        return (self.term, *self.spellings)


@dataclass(frozen=True)
class ValueRule:
    """A number in a note that supports a disease: one of `names` with a value above or below a limit, in `unit`."""

    names: tuple[str, ...]
    above: float | None
    below: float | None
    unit: str
    source: str

    def holds(self, value: float) -> bool:
        """Whether `value` lies beyond the limit."""
        return (self.above is not None and value > self.above) or (self.below is not None and value < self.below)


@dataclass(frozen=True)
class Sign:
    """A behaviour of one variable's series that supports a disease."""

    variable: str
    direction: str
    meaning: str


@dataclass(frozen=True)
class DiseaseKnowledge:
    """What is known about one disease. With `history_counts`, a past mention means that the disease is still there."""

    key: str
    history_counts: bool
    terms: tuple[Term, ...]
    values: tuple[ValueRule, ...]
    signs: tuple[Sign, ...]


@dataclass(frozen=True)
class VariableTerm:
    """A term for what a high or a low value (`side`) of a variable may mean."""

    term: str
    side: str
    source: str


@dataclass(frozen=True)
class KnowledgeBase:
    """Knowledge about every disease and variable of the vocabulary, in model order."""

    schema_version: int
    origin: str
    diseases: tuple[DiseaseKnowledge, ...]
    variables: tuple[tuple[str, tuple[VariableTerm, ...]], ...]

    def disease(self, key: str) -> DiseaseKnowledge:
        """The entry of one disease. Raises `SettingsError` for an unknown key."""
        for entry in self.diseases:
            if entry.key == key:
                return entry
        raise SettingsError(f"knowledge: disease '{key}' is unknown; choose from phenotypes.yaml")

    def terms_for(self, key: str) -> tuple[str, ...]:
        """The terms of a disease or a variable, without spellings. Raises `SettingsError` for an unknown key."""
        for name, terms in self.variables:
            if name == key:
                return tuple(term.term for term in terms)
        return tuple(term.term for term in self.disease(key).terms)

    def all_terms(self) -> tuple[str, ...]:
        """The knowledge vocabulary: every disease and variable term once, in model order."""
        keys = [entry.key for entry in self.diseases] + [key for key, _ in self.variables]
        return tuple(dict.fromkeys(term for key in keys for term in self.terms_for(key)))


def load_knowledge(path: Path | None = None) -> KnowledgeBase:
    """Read the shipped knowledge, or a file of the same form. Raises `InputDataError` naming the faulty entry."""
    source = str(path) if path is not None else "knowledge.json"
    if path is not None:
        content = read_json(path)
    else:
        content = json.loads((RESOURCES / "knowledge.json").read_text(encoding="utf-8"))
    if not isinstance(content, Mapping) or content.get("schema_version") != SCHEMA_VERSION:
        raise InputDataError(f"{source}: needs schema_version {SCHEMA_VERSION}; write the knowledge again")
    known = [variable.key for variable in load_variables()]
    diseases = _section(content, "diseases", [disease.key for disease in load_diseases()], source)
    variables = _section(content, "variables", known, source)
    return KnowledgeBase(
        schema_version=SCHEMA_VERSION,
        origin=_text(content, "origin", source),
        diseases=tuple(_disease(key, entry, known, f"{source}: {key}") for key, entry in diseases),
        variables=tuple((key, _variable_terms(entry, f"{source}: {key}")) for key, entry in variables),
    )


def coverage(notes: Iterable[str], knowledge: KnowledgeBase) -> dict[str, Any]:
    """How much of the knowledge occurs in notes, whatever the context of the mention.

    Returns the number of notes and, by disease and variable key, `terms`, `found` (terms seen at least once in any
    spelling), `share` (found / terms) and `notes` (share of notes with at least one term).
    """
    owners = [(entry.key, term.term, term.surfaces) for entry in knowledge.diseases for term in entry.terms]
    owners += [(key, term.term, (term.term,)) for key, terms in knowledge.variables for term in terms]
    index: TermIndex[tuple[str, str]] = TermIndex(
        (surface, (key, term)) for key, term, surfaces in owners for surface in surfaces
    )
    keys = list(dict.fromkeys(key for key, _, _ in owners))
    seen: dict[str, set[str]] = {key: set() for key in keys}
    with_term = dict.fromkeys(keys, 0)
    total = 0
    for note in notes:
        total += 1
        hits = {owner for match in index.find(note) for owner in match.owners}
        for key, term in hits:
            seen[key].add(term)
        for key in {key for key, _ in hits}:
            with_term[key] += 1

    def measured(key: str) -> dict[str, Any]:
        terms = len(knowledge.terms_for(key))
        share = round(len(seen[key]) / terms, 4)
        return {
            "terms": terms,
            "found": len(seen[key]),
            "share": share,
            "notes": round(with_term[key] / total, 4) if total else 0.0,
        }

    return {
        "notes": total,
        "diseases": {entry.key: measured(entry.key) for entry in knowledge.diseases},
        "variables": {key: measured(key) for key, _ in knowledge.variables},
    }


def write_knowledge(output: Path, notes: Iterable[str] = (), path: Path | None = None) -> dict[str, Any]:
    """Write the folder of the `knowledge` stage, atomically: `knowledge.json` and `coverage.json` measured on `notes`.

    `path` replaces the shipped knowledge. Returns counts for the stage's report.
    """
    knowledge = load_knowledge(path)
    with atomic_folder(Path(output)) as folder:
        text = path.read_text(encoding="utf-8") if path else (RESOURCES / "knowledge.json").read_text(encoding="utf-8")
        copied = folder / "knowledge.json"
        copied.write_text(text, encoding="utf-8")
        measured = coverage(notes, knowledge)
        write_json(folder / "coverage.json", measured)
        digest = file_digest(copied)
    found = sum(entry["found"] for entry in measured["diseases"].values())
    terms = sum(entry["terms"] for entry in measured["diseases"].values())
    logger.info("knowledge: %d of %d disease terms occur in %d notes", found, terms, measured["notes"])
    return {
        "terms": len(knowledge.all_terms()),
        "disease_terms": terms,
        "disease_terms_in_notes": found,
        "notes": measured["notes"],
        "sha256": digest,
    }


def _section(
    content: Mapping[str, Any], name: str, keys: list[str], source: str
) -> list[tuple[str, Mapping[str, Any]]]:
    section = content.get(name)
    if not isinstance(section, Mapping):
        raise InputDataError(f"{source}: '{name}' must map every key of the vocabulary to its entry")
    odd = sorted(set(section) ^ set(keys))
    if odd:
        raise InputDataError(f"{source}: '{odd[0]}' in {name} is missing or unknown; list each key of the vocabulary")
    for key in keys:
        if not isinstance(section[key], Mapping):
            raise InputDataError(f"{source}: '{key}' in {name} must be an object")
    return [(key, section[key]) for key in keys]


def _disease(key: str, entry: Mapping[str, Any], variables: list[str], where: str) -> DiseaseKnowledge:
    history_counts = entry.get("history_counts")
    if not isinstance(history_counts, bool):
        raise InputDataError(f"{where}: 'history_counts' must be true or false")
    return DiseaseKnowledge(
        key=key,
        history_counts=history_counts,
        terms=_each(entry, "terms", where, _term, unique=lambda term: term.term.lower(), required=True),
        values=_each(entry, "values", where, _value_rule),
        signs=_each(
            entry,
            "signs",
            where,
            lambda item, place: _sign(item, variables, place),
            unique=lambda sign: (sign.variable, sign.direction),
        ),
    )


def _variable_terms(entry: Mapping[str, Any], where: str) -> tuple[VariableTerm, ...]:
    def read(item: Mapping[str, Any], place: str) -> VariableTerm:
        return VariableTerm(
            _text(item, "term", place), _choice(item, "side", SIDES, place), _text(item, "source", place)
        )

    return _each(entry, "terms", where, read, unique=lambda term: (term.term.lower(), term.side), required=True)


def _each(
    entry: Mapping[str, Any],
    name: str,
    where: str,
    read: Callable[[Mapping[str, Any], str], T],
    unique: Callable[[T], Any] | None = None,
    required: bool = False,
) -> tuple[T, ...]:
    items = entry.get(name)
    if not isinstance(items, list) or (required and not items):
        raise InputDataError(f"{where}: '{name}' must be a list{' with at least one entry' if required else ''}")
    result = []
    seen = set()
    for number, item in enumerate(items, start=1):
        place = f"{where}, {name} entry {number}"
        if not isinstance(item, Mapping):
            raise InputDataError(f"{place}: must be an object")
        value = read(item, place)
        identity = unique(value) if unique else number
        if identity in seen:
            raise InputDataError(f"{place}: stands in the list twice; remove one")
        seen.add(identity)
        result.append(value)
    return tuple(result)


def _term(item: Mapping[str, Any], where: str) -> Term:
    cited = item.get("cited")
    if not isinstance(cited, bool):
        raise InputDataError(f"{where}: 'cited' must be true or false")
    spellings = _texts(item.get("spellings", []), "spellings", where)
    return Term(
        _text(item, "term", where),
        _choice(item, "kind", TERM_KINDS, where),
        cited,
        _text(item, "source", where),
        spellings,
    )


def _value_rule(item: Mapping[str, Any], where: str) -> ValueRule:
    limits = {side: item[side] for side in ("above", "below") if side in item}
    if len(limits) != 1 or not all(isinstance(limit, int | float) for limit in limits.values()):
        raise InputDataError(f"{where}: needs one of 'above' and 'below', a number")
    names = _texts(item.get("names"), "names", where)
    if not names:
        raise InputDataError(f"{where}: 'names' must list at least one name of the measurement")
    return ValueRule(
        names, limits.get("above"), limits.get("below"), _text(item, "unit", where), _text(item, "source", where)
    )


def _sign(item: Mapping[str, Any], variables: list[str], where: str) -> Sign:
    return Sign(
        _choice(item, "variable", variables, where),
        _choice(item, "direction", DIRECTIONS, where),
        _text(item, "meaning", where),
    )


def _text(item: Mapping[str, Any], name: str, where: str) -> str:
    value = item.get(name)
    if not isinstance(value, str) or not value.strip() or value != value.strip():
        raise InputDataError(f"{where}: '{name}' must be a text without spaces around it")
    return value


def _texts(value: Any, name: str, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(
        isinstance(text, str) and text.strip() == text and text for text in value
    ):
        raise InputDataError(f"{where}: '{name}' must be a list of texts")
    return tuple(value)


def _choice(item: Mapping[str, Any], name: str, choices: Iterable[str], where: str) -> str:
    value = item.get(name)
    if value not in tuple(choices):
        raise InputDataError(f"{where}: '{name}' must be one of {', '.join(choices)}")
    return str(value)
