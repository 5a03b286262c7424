"""The definitions of every variable and disease: the vocabulary, and beside it codes, items, queries and terms.

One YAML file per variable and per disease below `resources/`, and `resources/vocabulary.yaml` that lists them in model
order. A user's vocabulary is a folder of the same form, which may take what it does not define from the shipped one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from dataset_builder.storage.files import read_json, read_yaml, write_json
from modeling_clinragen.errors import InputDataError, SettingsError
from modeling_clinragen.vocabulary_clinragen import (
    Condition,
    Disease,
    Range,
    Scale,
    Unit,
    Variable,
    VariableWords,
    Vocabulary,
)

RESOURCES = files("dataset_builder.contract") / "resources"
INDEX = "vocabulary.yaml"
FILE = "vocabulary.json"
FORMAT = 1
SHIPPED = "shipped"
"""In a list of keys: all keys of the shipped vocabulary, in their order."""

# fmt: off
VARIABLE_FIELDS = frozenset({
    "name", "short", "aliases", "unit", "text_unit", "decimals", "plausible", "fill", "units", "unitless", "ranges",
    "scale", "words", "queries", "terms", "items",
})
# fmt: on
DISEASE_FIELDS = frozenset({"name", "kind", "ccs", "codes", "history_counts", "queries", "terms", "values", "signs"})
WORD_FIELDS = frozenset(("names", "units", "conditions", "extremes"))


@dataclass(frozen=True)
class Definitions:
    """The vocabulary, and the definitions that only builder, teachers and knowledge read.

    Args:
        vocabulary: What the model knows.
        variables, diseases: By key, what else is written about each: `items` of sources; `codes` and `ccs`;
            `queries`, `terms`, `values`, `signs` and `history_counts` of the domain knowledge.
    """

    vocabulary: Vocabulary
    variables: Mapping[str, Mapping[str, Any]]
    diseases: Mapping[str, Mapping[str, Any]]

    @cached_property
    def codes(self) -> Mapping[str, Mapping[int, frozenset[str]]]:
        """By disease key and ICD version, the undotted, upper-case diagnosis codes."""
        return {
            key: {int(version): frozenset(listed) for version, listed in entry["codes"].items()}
            for key, entry in self.diseases.items()
        }

    def items(self, key: str) -> Mapping[str, tuple[Any, ...]]:
        """By source, what measures a variable that the source's own file does not know."""
        return {source: tuple(listed) for source, listed in self.variables[key].get("items", {}).items()}

    def left_out(self) -> list[str]:
        """In words, what nobody can say of a variable or disease because its file does not define it."""
        notes = []
        for variable in self.vocabulary.variables:
            if not variable.ranges:
                notes.append(f"{variable.name}: no normal range, so it is never called low, normal or high")
            if variable.scale is None:
                notes.append(f"{variable.name}: no scale, so teacher and checker say nothing of its changes")
        for disease in self.vocabulary.diseases:
            if not self.diseases[disease.key].get("terms"):
                notes.append(f"{disease.name}: no terms, so its knowledge must come from retrieved passages")
        return notes


def shipped_definitions() -> Definitions:
    """The 11 variables and 25 diseases of the paper."""
    return _load_shipped()


def load_definitions(folder: Path | None) -> Definitions:
    """Read a user's vocabulary folder; None is the shipped vocabulary.

    Raises `InputDataError` naming the file and the faulty entry.
    """
    return _load_shipped() if folder is None else _load(Path(folder), _load_shipped())


def write_definitions(folder: Path, definitions: Definitions) -> None:
    """Put the definitions into a cohort folder, or into one that is made from it."""
    write_json(
        Path(folder) / FILE,
        {
            "vocabulary": definitions.vocabulary.to_dict(),
            "variables": dict(definitions.variables),
            "diseases": dict(definitions.diseases),
        },
    )


def read_definitions(folder: Path) -> Definitions:
    """Read what `write_definitions` wrote. Raises `InputDataError` where there is none, or an older format."""
    path = Path(folder) / FILE
    if not path.is_file():
        raise InputDataError(
            f"{path}: is missing; {folder} was not built by this version, run `clinragen build` (and `clinragen "
            "rationales`) again"
        )
    content = read_json(path)
    try:
        vocabulary = Vocabulary.from_dict(content["vocabulary"], str(path))
        return Definitions(vocabulary, dict(content["variables"]), dict(content["diseases"]))
    except SettingsError as error:
        raise InputDataError(str(error)) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise InputDataError(f"{path}: malformed; run `clinragen build` again") from error


def read_vocabulary(folder: Path) -> Vocabulary:
    """The vocabulary of a cohort folder. Raises `InputDataError` as `read_definitions` does."""
    return read_definitions(folder).vocabulary


@lru_cache(maxsize=1)
def _load_shipped() -> Definitions:
    # An immutable part of the installation, not a state: nobody can put another one in its place.
    return _load(RESOURCES, None)


def _load(folder: Path | Traversable, shipped: Definitions | None) -> Definitions:
    index_path = folder / INDEX
    if isinstance(folder, Path) and not index_path.is_file():
        raise InputDataError(f"{folder}: has no {INDEX}; list variables and diseases there, see docs/extending.md")
    index = read_yaml(index_path)
    if not isinstance(index, Mapping) or index.get("format") != FORMAT:
        raise InputDataError(f"{index_path}: needs 'format: {FORMAT}' and lists of variables and diseases")
    unknown = sorted(set(index) - {"format", "variables", "diseases", "range_sets"})
    if unknown:
        raise InputDataError(f"{index_path}: unknown entry '{unknown[0]}'; use variables, diseases and range_sets")
    range_sets = _range_sets(index.get("range_sets"), index_path, shipped)
    variables, about_variables = [], {}
    for key, entry, path in _entries(folder, "variables", index, index_path, shipped):
        if entry is None and shipped is not None:
            variables.append(shipped.vocabulary.variable(key))
            about_variables[key] = shipped.variables[key]
        else:
            variable, about = _read_variable(key, entry, path, dict(range_sets))
            variables.append(variable)
            about_variables[key] = about
    diseases, about_diseases = [], {}
    for key, entry, path in _entries(folder, "diseases", index, index_path, shipped):
        if entry is None and shipped is not None:
            diseases.append(next(one for one in shipped.vocabulary.diseases if one.key == key))
            about_diseases[key] = shipped.diseases[key]
        else:
            disease, about = _read_disease(key, entry, path)
            diseases.append(disease)
            about_diseases[key] = about
    _refuse_repeated([name for one in variables for name in {one.name.lower(), one.short.lower()}], index_path)
    _refuse_repeated([one.name.lower() for one in diseases], index_path)
    for key, about in about_diseases.items():
        for sign in about.get("signs", []):
            if sign["variable"] not in about_variables and shipped is None:
                raise InputDataError(
                    f"{index_path}: a sign of '{key}' names the unknown variable '{sign['variable']}'"
                )
    return Definitions(Vocabulary(tuple(variables), tuple(diseases), range_sets), about_variables, about_diseases)


def _entries(
    folder: Path | Traversable, kind: str, index: Mapping[str, Any], index_path: Any, shipped: Definitions | None
) -> list[tuple[str, Any, Any]]:
    """(key, content of its file or None where it is the shipped one, path) in the order of the index."""
    ours = [] if shipped is None else list(shipped.variables if kind == "variables" else shipped.diseases)
    listed = index.get(kind, [SHIPPED])
    if not isinstance(listed, list) or not listed or not all(isinstance(key, str) for key in listed):
        raise InputDataError(f"{index_path}: '{kind}' must be a list of keys, each the name of a file in {kind}/")
    keys = [key for entry in listed for key in (ours if entry == SHIPPED and shipped is not None else [entry])]
    _refuse_repeated(keys, index_path)
    found = []
    for key in keys:
        path = folder / kind / f"{key}.yaml"
        if path.is_file():
            found.append((key, read_yaml(path), path))
        elif key in ours:
            found.append((key, None, path))
        else:
            raise InputDataError(f"{path}: is missing, but {index_path} lists '{key}'; write it, or remove the key")
    return found


def _range_sets(listed: Any, path: Any, shipped: Definitions | None) -> tuple[tuple[str, bool], ...]:
    before = dict(shipped.vocabulary.range_sets) if shipped is not None else {}
    if listed is None:
        return tuple(before.items())
    if not isinstance(listed, Mapping) or not all(
        isinstance(entry, Mapping) and set(entry) == {"low_inclusive"} and isinstance(entry["low_inclusive"], bool)
        for entry in listed.values()
    ):
        raise InputDataError(f"{path}: range_sets must map names to {{low_inclusive: true or false}}")
    return tuple({**before, **{str(name): entry["low_inclusive"] for name, entry in listed.items()}}.items())


def _read_variable(
    key: str, entry: Any, path: Any, range_sets: Mapping[str, bool]
) -> tuple[Variable, Mapping[str, Any]]:
    _check_fields(entry, VARIABLE_FIELDS, path)
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
            decimals=int(entry["decimals"]),
            aliases=_texts(entry.get("aliases", []), f"{path}: aliases"),
            units=_units(unit, entry.get("units", []), path),
            unitless=bool(entry.get("unitless", False)),
            ranges=_ranges(entry.get("ranges", {}), range_sets, path),
            scale=Scale(**{k: float(v) for k, v in entry["scale"].items()}) if entry.get("scale") else None,
            words=_words(entry.get("words", {}), path),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputDataError(f"{path}: {error} is missing or malformed; see the shipped variables") from error
    if not variable.plausible[0] < variable.plausible[1]:
        raise InputDataError(f"{path}: plausible must be two numbers, the lower one first")
    if not math.isfinite(variable.fill) or variable.decimals < 0:
        raise InputDataError(f"{path}: fill must be a finite number, and decimals a whole number of at least 0")
    about = {name: entry[name] for name in ("queries", "terms", "items") if name in entry}
    for listed in about.get("items", {}).values():
        for item in listed:
            check_item(item, str(path))
    _check_terms(about.get("terms", []), path)
    return variable, about


def _read_disease(key: str, entry: Any, path: Any) -> tuple[Disease, Mapping[str, Any]]:
    _check_fields(entry, DISEASE_FIELDS, path)
    try:
        disease = Disease(key, _text(entry, "name", path), _text(entry, "kind", path))
        codes = {
            int(version): sorted(_plain_codes(listed, f"{path}: codes"))
            for version, listed in (entry.get("codes") or {}).items()
        }
        about = {name: entry[name] for name in DISEASE_FIELDS - {"name", "kind", "codes"} if name in entry}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputDataError(f"{path}: {error} is missing or malformed; see the shipped diseases") from error
    if disease.kind not in ("acute", "chronic"):
        raise InputDataError(f"{path}: kind is '{disease.kind}'; write acute or chronic")
    if not any(codes.values()):
        raise InputDataError(f"{path}: lists no code; add its ICD codes (codes: {{9: [...], 10: [...]}})")
    if "," in disease.name or "\n" in disease.name:
        raise InputDataError(f"{path}: the name has a comma or line break, which ends a name in outputs")
    _check_terms(about.get("terms", []), path)
    for sign in about.get("signs", []):
        if not isinstance(sign, Mapping) or not {"variable", "direction", "meaning"} <= set(sign):
            raise InputDataError(f"{path}: a sign needs variable, direction and meaning; see the shipped diseases")
    about.setdefault("history_counts", disease.kind == "chronic")
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


def _check_terms(terms: Any, path: Any) -> None:
    if not isinstance(terms, list) or not all(isinstance(term, Mapping) and "term" in term for term in terms):
        raise InputDataError(f"{path}: terms must be a list of mappings with 'term', 'kind' and 'source'")


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


def _refuse_repeated(keys: Sequence[str], path: Any) -> None:
    repeated = sorted({key for key in keys if list(keys).count(key) > 1})
    if repeated:
        raise InputDataError(f"{path}: '{repeated[0]}' is listed twice; keep one entry")
