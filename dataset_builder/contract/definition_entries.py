"""Reads the file of one variable or disease: every field is checked, and an error names the file and the field."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from modeling_clinragen.errors import InputDataError
from modeling_clinragen.vocabulary_clinragen import (
    DIRECTIONS,
    Condition,
    Disease,
    Range,
    Scale,
    Unit,
    Variable,
    VariableWords,
)

# fmt: off
VARIABLE_FIELDS = frozenset({
    "name", "short", "aliases", "unit", "text_unit", "decimals", "plausible", "fill", "units", "unitless", "ranges",
    "scale", "words", "queries", "terms", "items", "loinc",
})
# fmt: on
DISEASE_FIELDS = frozenset({"name", "kind", "ccs", "codes", "history_counts", "queries", "terms", "values", "signs"})
WORD_FIELDS = frozenset({"names", "units", "conditions", "extremes"})
TERM_FIELDS = ("term", "kind", "source")
LOINC = re.compile("[0-9]{1,7}-[0-9]")
MALFORMED = (KeyError, TypeError, ValueError, AttributeError)


def read_variable(
    key: str, entry: Any, path: Any, range_sets: Mapping[str, bool]
) -> tuple[Variable, Mapping[str, Any]]:
    """A variable, and the other content of its file (queries, terms, items).

    Args:
        key: Its key.
        entry: The content of its file.
        path: The file, for messages.
        range_sets: The known range sets by name.

    Raises:
        InputDataError: A field is unknown, missing or malformed; the message names the file and the field.
    """
    _check_fields(entry, VARIABLE_FIELDS, path)
    _check_names(entry, path)
    try:
        low, high = entry["plausible"]
        name, unit = _text(entry, "name", path), _text(entry, "unit", path)
        variable = Variable(
            key=key,
            name=name,
            short=_text(entry, "short", path) if "short" in entry else name,
            unit=unit,
            text_unit=str(entry.get("text_unit", unit)),
            plausible=(_number(low, path, "plausible"), _number(high, path, "plausible")),
            fill=float(entry["fill"]),
            decimals=_decimals(entry["decimals"], path),
            aliases=_texts(entry.get("aliases", []), f"{path}: aliases"),
            units=_units(unit, entry.get("units", []), path),
            unitless=_flag(entry, "unitless", path),
            ranges=_ranges(entry.get("ranges", {}), range_sets, path),
            scale=_scale(entry["scale"], path) if entry.get("scale") else None,
            words=_words(entry.get("words", {}), path),
        )
        about = {name: entry[name] for name in ("queries", "terms", "items", "loinc") if name in entry}
        for listed in about.get("items", {}).values():
            for item in listed:
                check_item(item, str(path))
        for code, label in about.get("loinc", {}).items():
            if not LOINC.fullmatch(code) or not isinstance(label, str):
                raise InputDataError(f"{path}: loinc must map codes such as 8867-4, in quotes, to what they name")
        _check_terms(about.get("terms", []), path)
    except MALFORMED as error:
        raise InputDataError(f"{path}: {error} is missing or malformed; see the shipped variables") from error
    if not variable.plausible[0] < variable.plausible[1]:
        raise InputDataError(f"{path}: plausible must be two numbers, the lower one first")
    if not math.isfinite(variable.fill):
        raise InputDataError(f"{path}: fill must be a finite number")
    return variable, about


def read_disease(key: str, entry: Any, path: Any) -> tuple[Disease, Mapping[str, Any]]:
    """A disease, and the other content of its file (codes, queries, terms, ...); otherwise as `read_variable`."""
    _check_fields(entry, DISEASE_FIELDS, path)
    # The keys of codes are numbers: the ICD versions.
    _check_names({name: entry[name] for name in entry if name != "codes"}, path)
    try:
        disease = Disease(key, _text(entry, "name", path), _text(entry, "kind", path))
        codes = {
            int(version): sorted(_plain_codes(listed, f"{path}: codes"))
            for version, listed in (entry.get("codes") or {}).items()
        }
        about = {name: entry[name] for name in sorted(DISEASE_FIELDS - {"name", "kind", "codes"}) if name in entry}
        about["history_counts"] = _flag(entry, "history_counts", path, default=disease.kind == "chronic")
        _check_terms(about.get("terms", []), path)
        for sign in about.get("signs", []):
            _check_sign(sign, path)
    except MALFORMED as error:
        raise InputDataError(f"{path}: {error} is missing or malformed; see the shipped diseases") from error
    if disease.kind not in ("acute", "chronic"):
        raise InputDataError(f"{path}: kind is '{disease.kind}'; write acute or chronic")
    if not any(codes.values()):
        raise InputDataError(f"{path}: lists no code; add its ICD codes (codes: {{9: [...], 10: [...]}})")
    if "," in disease.name or "\n" in disease.name:
        raise InputDataError(f"{path}: the name has a comma or line break, which ends a name in outputs")
    # JSON has no whole-number keys: what a cohort carries must equal what was read here.
    return disease, {**about, "codes": {str(version): listed for version, listed in codes.items()}}


def check_item(entry: Any, where: str) -> None:
    """Refuse an item that lacks a field, or whose id no table can have: 220045.0 is not 220045.

    Raises `InputDataError` that begins with `where`; `TypeError` where an entry is not a mapping.
    """
    missing = [name for name in ("table", "item", "label", "unit") if name not in entry]
    if missing:
        raise InputDataError(f"{where}: an item has no '{missing[0]}'; add it")
    if isinstance(entry["item"], bool) or not isinstance(entry["item"], int | str):
        raise InputDataError(f"{where}: item {entry['item']!r} is not an id; write a whole number or a text")


def names_of(variable: Variable) -> set[str]:
    """All names of a variable, as `plain_name` writes them."""
    return {plain_name(name) for name in (variable.key, variable.name, variable.short, *variable.aliases)}


def plain_name(name: str) -> str:
    """A name without differences of case, blanks and underscores."""
    return " ".join(name.replace("_", " ").casefold().split())


def _scale(entry: Mapping[str, Any], path: Any) -> Scale:
    scale = Scale(**{name: float(value) for name, value in entry.items()})
    if not all(math.isfinite(value) and value > 0 for value in (scale.step, scale.change, scale.swing)):
        raise InputDataError(f"{path}: step, change and swing of the scale must be numbers above 0")
    return scale


def _decimals(value: Any, path: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputDataError(f"{path}: decimals must be a whole number of at least 0")
    return value


def _flag(entry: Mapping[str, Any], name: str, path: Any, *, default: bool = False) -> bool:
    value = entry.get(name, default)
    if not isinstance(value, bool):
        raise InputDataError(f"{path}: {name} must be true or false")
    return value


def _units(own: str, listed: Any, path: Any) -> tuple[Unit, ...]:
    units = tuple(
        Unit(_texts(unit["spellings"], f"{path}: units"), float(unit.get("scale", 1)), float(unit.get("offset", 0)))
        for unit in listed
    )
    folded = {"".join(spelling.casefold().split()) for unit in units for spelling in unit.spellings}
    if "".join(own.casefold().split()) in folded:
        return units
    return (Unit((own,)), *units)


def _ranges(listed: Mapping[str, Any], known: Mapping[str, bool], path: Any) -> tuple[Range, ...]:
    unknown = sorted(set(listed) - set(known))
    if unknown:
        raise InputDataError(f"{path}: unknown range set '{unknown[0]}'; use one of {', '.join(known)}")
    found = []
    for name, (low, high) in listed.items():
        if not float(low) < float(high):
            raise InputDataError(f"{path}: the range '{name}' must be two numbers, the lower one first")
        found.append(Range(name, float(low), float(high)))
    return tuple(found)


def _words(entry: Mapping[str, Any], path: Any) -> VariableWords:
    _check_fields(entry, WORD_FIELDS, path)
    return VariableWords(
        names=_texts(entry.get("names", []), f"{path}: names"),
        units=tuple((str(spelling), str(unit)) for spelling, unit in entry.get("units", {}).items()),
        conditions=tuple(
            Condition(_texts(one["words"], f"{path}: conditions"), str(one["says"]))
            for one in entry.get("conditions", [])
        ),
        extremes=tuple((str(word), str(extreme)) for word, extreme in entry.get("extremes", {}).items()),
    )


def _check_fields(entry: Any, known: frozenset[str], path: Any) -> None:
    if not isinstance(entry, Mapping):
        raise InputDataError(f"{path}: must map fields to values; see the shipped vocabulary")
    unknown = sorted(str(name) for name in set(entry) - known)
    if unknown:
        raise InputDataError(f"{path}: unknown field '{unknown[0]}'; use {', '.join(sorted(known))}")


def _check_names(content: Any, path: Any) -> None:
    """Refuse a key that YAML does not read as a text, at any depth: a cohort keeps all this as JSON."""
    if isinstance(content, Mapping):
        for key in content:
            if not isinstance(key, str):
                raise InputDataError(f"{path}: the key {key} is not a text; put it in quotes")
    if isinstance(content, Mapping | list):
        for entry in content.values() if isinstance(content, Mapping) else content:
            _check_names(entry, path)


def _check_terms(terms: Any, path: Any) -> None:
    for term in terms if isinstance(terms, list) else [None]:
        if not isinstance(term, Mapping) or not all(isinstance(term.get(name), str) for name in TERM_FIELDS):
            raise InputDataError(f"{path}: terms must be a list of mappings with {', '.join(TERM_FIELDS)}, all texts")
        _texts(term.get("spellings", []), f"{path}: the spellings of '{term['term']}'")


def _check_sign(sign: Any, path: Any) -> None:
    if not isinstance(sign, Mapping) or not {"variable", "direction", "meaning"} <= set(sign):
        raise InputDataError(f"{path}: a sign needs variable, direction and meaning; see the shipped diseases")
    if sign["direction"] not in DIRECTIONS:
        raise InputDataError(
            f"{path}: unknown direction '{sign['direction']}' of a sign; use one of {', '.join(DIRECTIONS)}"
        )


def _plain_codes(listed: Any, where: str) -> frozenset[str]:
    # Unquoted, YAML makes numbers of codes and loses what they mean: 038.9 becomes 38.9, 250.00 becomes 250.0.
    codes = frozenset(re.sub("[^0-9A-Z]", "", code.upper()) for code in _texts(listed, where))
    if "" in codes:
        raise InputDataError(f"{where}: a code has no letter or digit; correct it")
    return codes


def _text(entry: Mapping[str, Any], name: str, path: Any) -> str:
    if not isinstance(entry[name], str) or not entry[name].strip():
        raise InputDataError(f"{path}: {name} must be a text; put it in quotes")
    return str(entry[name])


def _texts(listed: Any, where: str) -> tuple[str, ...]:
    if not isinstance(listed, Sequence) or isinstance(listed, str) or not all(isinstance(one, str) for one in listed):
        raise InputDataError(f'{where} must be a list of texts in quotes, such as ["038.9", "I10"]')
    return tuple(listed)


def _number(value: Any, path: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputDataError(f"{path}: {name} must be two numbers, the lower one first")
    return float(value)


def refuse_repeated(keys: Sequence[str], path: Any) -> None:
    """Raise `InputDataError` where one of `keys` is listed twice."""
    repeated = sorted({key for key in keys if list(keys).count(key) > 1})
    if repeated:
        raise InputDataError(f"{path}: '{repeated[0]}' is listed twice; keep one entry")
