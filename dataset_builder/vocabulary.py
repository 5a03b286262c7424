"""The 11 variables, the 25 diseases and the normal ranges, read from the data files beside this package.

Everything that names a variable or a disease goes through here, so that a user's own files can replace both.
"""

from __future__ import annotations

import csv
import math
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any

from dataset_builder.files import parse_yaml, read_text, read_yaml
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


def load_variables(path: Path | None = None) -> tuple[Variable, ...]:
    """Read the variables in model order: those of `path`, or of the current vocabulary (see `vocabulary_of`).

    Raises `InputDataError` naming the file and the faulty entry.
    """
    path = path or _own(VARIABLES)
    return _read_variables(path, _content(path))


@lru_cache(maxsize=8)
def _read_variables(path: Path | None, content: str | None) -> tuple[Variable, ...]:
    variables = []
    for number, entry in enumerate(_read_list(path, content, VARIABLES), start=1):
        where = f"{path or VARIABLES}: entry {number}"
        try:
            low, high = entry["plausible"]
            variable = Variable(
                key=_text(entry, "key", where),
                name=_text(entry, "name", where),
                short=_text(entry, "short", where),
                unit=str(entry["unit"]),
                plausible=(float(low), float(high)),
                fill=float(entry["fill"]),
                decimals=int(entry["decimals"]),
                aliases=_texts(entry.get("aliases", []), f"{where}: aliases"),
                items={source: tuple(listed) for source, listed in entry.get("items", {}).items()},
            )
            for item in chain.from_iterable(variable.items.values()):
                check_item(item, where)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputDataError(f"{where} is incomplete or malformed; see the shipped {VARIABLES}") from error
        if not variable.plausible[0] < variable.plausible[1]:
            raise InputDataError(f"{where}: plausible must be two numbers, the lower one first")
        if not math.isfinite(variable.fill) or variable.decimals < 0:
            raise InputDataError(f"{where}: fill must be a number, and decimals a whole number from 0 on")
        variables.append(variable)
    _refuse_repeated([variable.key for variable in variables], path, VARIABLES)
    _refuse_repeated([variable.name.lower() for variable in variables], path, VARIABLES)
    return tuple(variables)


def check_item(entry: Mapping[str, Any], where: str) -> None:
    """Refuse an item that says too little, or whose id no table can have: 220045.0 is not 220045.

    Raises `InputDataError` that begins with `where`; `TypeError` where an entry is no mapping at all.
    """
    missing = [name for name in ("table", "item", "label", "unit") if name not in entry]
    if missing:
        raise InputDataError(f"{where}: an item has no '{missing[0]}'; add it")
    if isinstance(entry["item"], bool) or not isinstance(entry["item"], int | str):
        raise InputDataError(f"{where}: item {entry['item']!r} is no id; write a whole number or a text")


def load_diseases(path: Path | None = None) -> tuple[Disease, ...]:
    """Read the diseases in model order, each with its undotted, upper-case codes per ICD version.

    Without `path` they are those of the current vocabulary (see `vocabulary_of`). Codes stand with the entry itself
    (`codes: {9: [...], 10: [...]}`, as in a user's own file) or, for the keys of the shipped diseases, in the shipped
    CSV. Raises `InputDataError` naming the file and the faulty entry.
    """
    path = path or _own(PHENOTYPES)
    return _read_diseases(path, _content(path))


@lru_cache(maxsize=8)
def _read_diseases(path: Path | None, content: str | None) -> tuple[Disease, ...]:
    diseases = []
    for number, entry in enumerate(_read_list(path, content, PHENOTYPES), start=1):
        where = f"{path or PHENOTYPES}: entry {number}"
        try:
            key, name = _text(entry, "key", where), _text(entry, "name", where)
            listed = entry.get("codes") or _shipped_codes().get(key, {})
            codes = {int(version): _plain_codes(found, f"{where}: codes") for version, found in listed.items()}
            disease = Disease(key, name, int(entry["ccs"]), _text(entry, "kind", where), codes)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputDataError(f"{where} is incomplete or malformed; see the shipped {PHENOTYPES}") from error
        if not any(codes.values()):
            raise InputDataError(f"{path or PHENOTYPES}: lists no code for phenotype '{key}'; add its codes")
        if "," in name or "\n" in name:
            raise InputDataError(
                f"{path or PHENOTYPES}: the name of '{key}' has a comma or line break, which ends a name in outputs"
            )
        diseases.append(disease)
    _refuse_repeated([disease.key for disease in diseases], path, PHENOTYPES)
    _refuse_repeated([disease.name.lower() for disease in diseases], path, PHENOTYPES)
    return tuple(diseases)


@lru_cache(maxsize=1)
def _shipped_codes() -> dict[str, dict[int, list[str]]]:
    """By disease key and ICD version."""
    codes: dict[str, dict[int, list[str]]] = {}
    with (RESOURCES / "phenotype_codes.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            codes.setdefault(row["phenotype"], {}).setdefault(int(row["icd_version"]), []).append(row["code"])
    return codes


def _plain_codes(listed: Any, where: str) -> frozenset[str]:
    # Unquoted, YAML makes numbers of codes and loses what they mean: 038.9 becomes 38.9, 250.00 becomes 250.0.
    codes = frozenset(re.sub("[^0-9A-Z]", "", code.upper()) for code in _texts(listed, where))
    if "" in codes:
        raise InputDataError(f"{where}: a code has no letter or digit; correct it")
    return codes


def _text(entry: Mapping[str, Any], name: str, where: str) -> str:
    if not isinstance(entry[name], str) or not entry[name].strip():
        raise InputDataError(f"{where}: {name} must be a text; put it in quotes")
    return str(entry[name])


def _texts(listed: Any, where: str) -> tuple[str, ...]:
    if not isinstance(listed, list) or not all(isinstance(text, str) for text in listed):
        raise InputDataError(f'{where} must be a list of texts in quotes, such as ["038.9", "I10"]')
    return tuple(listed)


def _content(path: Path | None) -> str | None:
    """A user's file, read again each time so that a change is noticed; None for the shipped one."""
    return None if path is None else read_text(path)


def _read_list(path: Path | None, content: str | None, default: str) -> list[Any]:
    entries = read_yaml(RESOURCES / default) if content is None else parse_yaml(content, path or default)
    if not isinstance(entries, list) or not entries:
        raise InputDataError(f"{path or default}: is no list of entries; see the shipped {default}")
    return entries


def _refuse_repeated(keys: list[str], path: Path | None, default: str) -> None:
    repeated = sorted({key for key in keys if keys.count(key) > 1})
    if repeated:
        raise InputDataError(f"{path or default}: '{repeated[0]}' is listed twice; keep one entry")


@lru_cache(maxsize=8)
def load_range_set(name: str = "clinical") -> RangeSet:
    """Read one range set ("clinical", the default, or "paper"). Raises `SettingsError` for an unknown name."""
    sets = read_yaml(RESOURCES / "ranges.yaml")
    if name not in sets:
        raise SettingsError(f"range set '{name}' is unknown; choose one of {', '.join(sorted(sets))}")
    entry = sets[name]
    bounds = {key: (float(low), float(high)) for key, (low, high) in entry["variables"].items()}
    return RangeSet(name, bool(entry["low_inclusive"]), bounds)
