"""The definitions of every variable and disease: the vocabulary, and beside it codes, items, queries and terms.

One YAML file per variable and per disease below `resources/`, and `resources/vocabulary.yaml` that lists them in model
order. A user's vocabulary is a folder of the same form, which may take what it does not define from the shipped one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from dataset_builder.contract.definition_entries import names_of, read_disease, read_variable, refuse_repeated
from dataset_builder.storage.files import read_json, read_yaml, write_json
from modeling_clinragen.errors import InputDataError, SettingsError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

RESOURCES = files("dataset_builder.contract") / "resources"
INDEX = "vocabulary.yaml"
FILE = "vocabulary.json"
FORMAT = 1
SHIPPED = "shipped"
"""In a list of keys: all keys of the shipped vocabulary, in their order."""


@dataclass(frozen=True)
class Definitions:
    """The vocabulary, and the definitions that only builder, teachers and knowledge read.

    Args:
        vocabulary: What the model knows.
        variables, diseases: By key, what else is written about each: `items` of sources, `loinc`; `codes` and `ccs`;
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

    def loinc(self, key: str) -> Mapping[str, str]:
        """LOINC codes that measure a variable, with what each names."""
        return dict(self.variables[key].get("loinc", {}))

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
        found = Definitions(vocabulary, dict(content["variables"]), dict(content["diseases"]))
    except SettingsError as error:
        raise InputDataError(str(error)) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputDataError(f"{path}: malformed; run `clinragen build` again") from error
    for listed, defined in (
        (vocabulary.variable_keys, found.variables),
        (tuple(vocabulary.name_of_disease), found.diseases),
    ):
        odd = sorted(set(listed) ^ set(defined))
        if odd or not all(isinstance(entry, Mapping) for entry in defined.values()):
            which = f" of '{odd[0]}'" if odd else ""
            raise InputDataError(
                f"{path}: vocabulary and definitions{which} do not agree; run `clinragen build` again"
            )
    return found


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
    unknown = sorted(map(str, set(index) - {"format", "variables", "diseases", "range_sets"}))
    if unknown:
        raise InputDataError(f"{index_path}: unknown entry '{unknown[0]}'; use variables, diseases and range_sets")
    range_sets = _range_sets(index.get("range_sets"), index_path, shipped)
    variables, about_variables = [], {}
    for key, entry, path in _entries(folder, "variables", index, index_path, shipped):
        if entry is None and shipped is not None:
            variables.append(shipped.vocabulary.variable(key))
            about_variables[key] = shipped.variables[key]
        else:
            variable, about = read_variable(key, entry, path, dict(range_sets))
            variables.append(variable)
            about_variables[key] = about
    diseases, about_diseases = [], {}
    for key, entry, path in _entries(folder, "diseases", index, index_path, shipped):
        if entry is None and shipped is not None:
            diseases.append(next(one for one in shipped.vocabulary.diseases if one.key == key))
            about_diseases[key] = shipped.diseases[key]
        else:
            disease, about = read_disease(key, entry, path)
            diseases.append(disease)
            about_diseases[key] = about
    # A CSV's column goes by any of these: with two owners, one variable would be read as another.
    refuse_repeated([name for one in variables for name in names_of(one)], index_path)
    refuse_repeated([one.name.lower() for one in diseases], index_path)
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
    refuse_repeated(keys, index_path)
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
