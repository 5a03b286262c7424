"""The 11 variables, the 25 diseases and the normal ranges, read from the data files beside this package.

Everything that names a variable or a disease goes through here, so that a user's own files can replace both.
"""

from __future__ import annotations

import csv
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
    """One bedside variable. `plausible` bounds are inclusive and, like `fill`, in `unit`."""

    key: str
    name: str
    short: str
    unit: str
    plausible: tuple[float, float]
    fill: float
    decimals: int
    aliases: tuple[str, ...] = ()


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


def _read_yaml(path: Path | None, default: str) -> Any:
    source = path if path is not None else RESOURCES / default
    try:
        return yaml.safe_load(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputDataError(f"{source}: cannot be read ({error.strerror}); check the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputDataError(f"{source}: is not a readable YAML file; check its syntax") from error


@lru_cache(maxsize=8)
def load_variables(path: Path | None = None) -> tuple[Variable, ...]:
    """Read the variables in model order. Raises `InputDataError` naming the file and the faulty entry."""
    variables = []
    for number, entry in enumerate(_read_yaml(path, "variables.yaml"), start=1):
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
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputDataError(f"{path or 'variables.yaml'}: entry {number} is incomplete or malformed") from error
        variables.append(variable)
    return tuple(variables)


@lru_cache(maxsize=8)
def load_diseases(path: Path | None = None, codes_path: Path | None = None) -> tuple[Disease, ...]:
    """Read the diseases in model order, each with its undotted, upper-case codes per ICD version."""
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
    for number, entry in enumerate(_read_yaml(path, "phenotypes.yaml"), start=1):
        try:
            key = entry["key"]
            by_version = {version: frozenset(listed) for version, listed in codes.get(key, {}).items()}
            diseases.append(Disease(key, entry["name"], int(entry["ccs"]), entry["kind"], by_version))
        except (KeyError, TypeError, ValueError) as error:
            raise InputDataError(f"{path or 'phenotypes.yaml'}: entry {number} is incomplete or malformed") from error
        if not by_version:
            raise InputDataError(f"{source}: lists no code for phenotype '{key}'; add its codes")
    return tuple(diseases)


@lru_cache(maxsize=8)
def load_range_set(name: str = "clinical", path: Path | None = None) -> RangeSet:
    """Read one range set ("clinical", the default, or "paper"). Raises `SettingsError` for an unknown name."""
    sets = _read_yaml(path, "ranges.yaml")
    if name not in sets:
        raise SettingsError(f"range set '{name}' is unknown; choose one of {', '.join(sorted(sets))}")
    entry = sets[name]
    bounds = {key: (float(low), float(high)) for key, (low, high) in entry["variables"].items()}
    return RangeSet(name, bool(entry["low_inclusive"]), bounds)
