"""The 11 variables, the 25 diseases and the normal ranges, read from the data files beside this package.

Everything that names a variable or a disease goes through here, so that a user's own files can replace both.
"""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from modeling_clinragen.errors import InputDataError, SettingsError

RESOURCES = files("dataset_builder") / "resources"


@dataclass(frozen=True)
class Variable:
    """One bedside variable. `plausible` bounds are inclusive and, like `fill`, in `unit`.

    `items` says by source, in the words of its yaml, what measures a variable that the source's yaml does not know.
    """

    key: str
    name: str
    short: str
    unit: str
    plausible: tuple[float, float]
    fill: float
    decimals: int
    aliases: tuple[str, ...] = ()
    items: dict[str, tuple[Any, ...]] = field(default_factory=dict, hash=False, compare=False)


@dataclass(frozen=True)
class Disease:
    """One phenotype: `name` is the exact text a model writes, `ccs` its single-level CCS category."""

    key: str
    name: str
    ccs: int
    kind: str
    codes: dict[int, frozenset[str]] = field(default_factory=dict, hash=False, compare=False)


@dataclass(frozen=True)
class RangeSet:
    """Normal ranges by variable key, in the variable's unit. A variable that is absent is never judged."""

    name: str
    low_inclusive: bool
    bounds: dict[str, tuple[float, float]]

    def level(self, key: str, value: float) -> str | None:
        """Return "low", "normal" or "high" for one value, or None when the variable has no range in this set."""
        if key not in self.bounds:
            return None
        low, high = self.bounds[key]
        if value < low or (self.low_inclusive and value == low):
            return "low"
        return "high" if value > high else "normal"


# One at a time in a process; not a context variable, since a page's callbacks run in threads of their own.
_current: Path | None = None

FOLDER = "vocabulary"
VARIABLES, PHENOTYPES = "variables.yaml", "phenotypes.yaml"


@contextmanager
def vocabulary_of(folder: Path | None) -> Iterator[None]:
    """Within the block, variables and phenotypes are those of a cohort or model folder.

    A folder made with the user's own files carries them in `vocabulary/`; without that the shipped ones hold.
    """
    global _current
    own = None if folder is None else Path(folder) / FOLDER
    before, _current = _current, own if own is not None and own.is_dir() else None
    try:
        yield
    finally:
        _current = before


def write_vocabulary(folder: Path, *, variables: Path | None = None, phenotypes: Path | None = None) -> Path | None:
    """Put the user's own files, where there are any, into `folder`, for `vocabulary_of`; they are checked first.

    Raises `InputDataError` naming the file and the faulty entry.
    """
    if variables is None and phenotypes is None:
        return None
    own = folder / FOLDER
    own.mkdir(parents=True, exist_ok=True)
    if variables is not None:
        load_variables(variables)
        shutil.copyfile(variables, own / VARIABLES)
    if phenotypes is not None:
        load_diseases(phenotypes)
        shutil.copyfile(phenotypes, own / PHENOTYPES)
    return own


def carry_vocabulary(parent: Path, folder: Path) -> None:
    """Give a derived folder the vocabulary of the one that it is made from, where that has its own."""
    if (parent / FOLDER).is_dir():
        shutil.copytree(parent / FOLDER, folder / FOLDER, dirs_exist_ok=True)


def _own(name: str) -> Path | None:
    return _current / name if _current is not None and (_current / name).is_file() else None


def _read_yaml(path: Path | None, default: str) -> Any:
    source = path if path is not None else RESOURCES / default
    try:
        return yaml.safe_load(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputDataError(f"{source}: cannot be read ({error.strerror}); check the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputDataError(f"{source}: is not a readable YAML file; check its syntax") from error


def load_variables(path: Path | None = None) -> tuple[Variable, ...]:
    """Read the variables in model order: those of `path`, or of the current vocabulary (see `vocabulary_of`).

    Raises `InputDataError` naming the file and the faulty entry.
    """
    return _read_variables(path or _own(VARIABLES))


@lru_cache(maxsize=8)
def _read_variables(path: Path | None) -> tuple[Variable, ...]:
    variables = []
    for number, entry in enumerate(_read_list(path, VARIABLES), start=1):
        try:
            low, high = entry["plausible"]
            variable = Variable(
                key=entry["key"],
                name=entry["name"],
                short=entry["short"],
                unit=str(entry["unit"]),
                plausible=(float(low), float(high)),
                fill=float(entry["fill"]),
                decimals=int(entry["decimals"]),
                aliases=tuple(entry.get("aliases", ())),
                items={source: tuple(listed) for source, listed in entry.get("items", {}).items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputDataError(f"{path or VARIABLES}: entry {number} is incomplete or malformed") from error
        variables.append(variable)
    _refuse_repeated([variable.key for variable in variables], path, VARIABLES)
    return tuple(variables)


def load_diseases(path: Path | None = None, codes_path: Path | None = None) -> tuple[Disease, ...]:
    """Read the diseases in model order, each with its undotted, upper-case codes per ICD version.

    Without `path` they are those of the current vocabulary (see `vocabulary_of`). Codes stand with the entry itself
    (`codes: {9: [...], 10: [...]}`, as in a user's own file) or in a CSV by phenotype. Raises `InputDataError` naming
    the file and the faulty entry.
    """
    return _read_diseases(path or _own(PHENOTYPES), codes_path)


@lru_cache(maxsize=8)
def _read_diseases(path: Path | None, codes_path: Path | None) -> tuple[Disease, ...]:
    codes: dict[str, dict[int, set[str]]] = {}
    source = codes_path if codes_path is not None else RESOURCES / "phenotype_codes.csv"
    try:
        with source.open(encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                codes.setdefault(row["phenotype"], {}).setdefault(int(row["icd_version"]), set()).add(row["code"])
    except OSError as error:
        raise InputDataError(f"{source}: cannot be read ({error.strerror}); check the path") from error
    except (KeyError, ValueError) as error:
        raise InputDataError(f"{source}: needs the columns phenotype, icd_version, code") from error
    diseases = []
    for number, entry in enumerate(_read_list(path, PHENOTYPES), start=1):
        try:
            key = entry["key"]
            listed = entry.get("codes") or codes.get(key, {})
            by_version = {
                int(version): frozenset(_plain_code(str(code)) for code in found) for version, found in listed.items()
            }
            diseases.append(Disease(key, entry["name"], int(entry["ccs"]), entry["kind"], by_version))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputDataError(f"{path or PHENOTYPES}: entry {number} is incomplete or malformed") from error
        if not any(by_version.values()):
            raise InputDataError(f"{path or source}: lists no code for phenotype '{key}'; add its codes")
        if "," in entry["name"]:
            raise InputDataError(
                f"{path or PHENOTYPES}: the name of '{key}' has a comma, which ends a name in outputs"
            )
    _refuse_repeated([disease.key for disease in diseases], path, PHENOTYPES)
    return tuple(diseases)


def _plain_code(code: str) -> str:
    return re.sub("[^0-9A-Z]", "", code.upper())


def _read_list(path: Path | None, default: str) -> list[Any]:
    content = _read_yaml(path, default)
    if not isinstance(content, list) or not content:
        raise InputDataError(f"{path or default}: is no list of entries; see the shipped {default}")
    return content


def _refuse_repeated(keys: list[str], path: Path | None, default: str) -> None:
    repeated = sorted({key for key in keys if keys.count(key) > 1})
    if repeated:
        raise InputDataError(f"{path or default}: '{repeated[0]}' is listed twice; keep one entry")


@lru_cache(maxsize=8)
def load_range_set(name: str = "clinical", path: Path | None = None) -> RangeSet:
    """Read one range set ("clinical", the default, or "paper"). Raises `SettingsError` for an unknown name."""
    sets = _read_yaml(path, "ranges.yaml")
    if name not in sets:
        raise SettingsError(f"range set '{name}' is unknown; choose one of {', '.join(sorted(sets))}")
    entry = sets[name]
    bounds = {key: (float(low), float(high)) for key, (low, high) in entry["variables"].items()}
    return RangeSet(name, bool(entry["low_inclusive"]), bounds)
