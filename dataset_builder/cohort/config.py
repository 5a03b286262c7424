"""How a cohort is built: every choice in one place, for the builder, the `datasets` builder and the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import UnionType
from typing import Any

from dataset_builder.cohort.measurements import window_hours
from dataset_builder.cohort.series_grid import MAX_STEPS, check_grid
from dataset_builder.cohort.splits import FRACTIONS, assign_splits
from dataset_builder.cohort.stays import FILTERS, check_filters
from dataset_builder.contract.vocabulary import load_diseases, load_range_set, load_variables
from dataset_builder.storage.files import file_digest
from modeling_clinragen.errors import SettingsError

FILES = ("split_file", "variables", "phenotypes")


@dataclass(frozen=True, kw_only=True)
class CohortSettings:
    """The choices; what cannot work is refused when they are made.

    Args:
        note_policy: "admission", "structured", "brief_hospital_course" (the paper's, retrospective) or "full".
        window: "first-24h", "first-48h" or "stay"; nothing after it enters an example.
        grid: "event" (a row per time at which anything was measured) or "hourly".
        max_steps: A series keeps its first rows up to this many (the paper's 1,000); None keeps all.
        range_set: Ranges that anomalies are described by: "clinical" or "paper".
        filters: Cohort filters, of `dataset_builder.cohort.stays.FILTERS`.
        only_known_codes: Where the source has a dictionary of codes (MIMIC-III), count a diagnosis code only if the
            dictionary lists it, as mimic3-benchmarks does.
        seed, split_fractions: Of the split by patient.
        split_file: The user's own split instead (CSV: subject_id, split).
        variables, phenotypes: The user's own files instead of the shipped 11 and 25 (see docs/data.md).
        engine: One of `dataset_builder.cohort.session.ENGINES`.

    Raises:
        SettingsError: A choice is unknown.
        InputDataError: A file of the user's is missing or faulty.
    """

    note_policy: str
    window: str = "first-48h"
    grid: str = "event"
    max_steps: int | None = MAX_STEPS
    range_set: str = "clinical"
    filters: tuple[str, ...] = FILTERS
    only_known_codes: bool = True
    seed: int = 0
    split_fractions: tuple[float, float, float] = FRACTIONS
    split_file: Path | None = None
    variables: Path | None = None
    phenotypes: Path | None = None
    engine: str = "duckdb"

    def __post_init__(self) -> None:
        self._check_forms()
        load_range_set(self.range_set)
        load_variables(self.variables)
        load_diseases(self.phenotypes)
        check_grid(self.grid)
        window_hours(self.window)
        if self.max_steps is not None and self.max_steps < 1:
            raise SettingsError(f"max_steps is {self.max_steps}; give a number above 0, or none to keep all steps")
        object.__setattr__(self, "filters", check_filters(self.filters))
        object.__setattr__(self, "split_fractions", tuple(self.split_fractions))
        assign_splits((), fractions=self.split_fractions, split_file=self.split_file)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> CohortSettings:
        """From names and values, as recipes give them. Raises `SettingsError` for an unknown name."""
        unknown = sorted(set(settings) - {field.name for field in fields(cls)})
        if unknown:
            known = ", ".join(field.name for field in fields(cls))
            raise SettingsError(f"a cohort has no setting '{unknown[0]}'; its settings are {known}")
        if "note_policy" not in settings:
            raise SettingsError("a cohort needs a note_policy: admission, structured, brief_hospital_course or full")
        paths = {name: Path(settings[name]) for name in FILES if isinstance(settings.get(name), str)}
        return cls(**{**settings, **paths})

    def _check_forms(self) -> None:
        """Refuse a value of another kind than its setting takes; recipes and Python callers can give any."""
        forms: dict[str, tuple[Callable[[Any], bool], str]] = {
            **dict.fromkeys(("note_policy", "window", "grid", "range_set", "engine"), (_is_text, "a text")),
            **dict.fromkeys(FILES, (lambda value: value is None or isinstance(value, Path), "the path of a file")),
            "max_steps": (lambda value: value is None or _is_whole(value), "a whole number or none"),
            "seed": (_is_whole, "a whole number"),
            "only_known_codes": (lambda value: isinstance(value, bool), "true or false"),
            "filters": (lambda value: _is_list(value, str), "a list of names"),
            "split_fractions": (lambda value: _is_list(value, int | float), "a list of three numbers"),
        }
        for name, (fits, form) in forms.items():
            if not fits(getattr(self, name)):
                raise SettingsError(f"{name} is {getattr(self, name)!r}; give {form}")

    def recorded(self) -> dict[str, Any]:
        """For the provenance: every choice that decides the result; a file by its content. Engines give one result."""
        chosen = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "engine"}
        files = {name: None if chosen[name] is None else file_digest(chosen[name]) for name in FILES}
        lists = {name: list(chosen[name]) for name in ("filters", "split_fractions")}
        return {**chosen, **files, **lists}


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_list(value: Any, kind: type | UnionType) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(part, kind) for part in value)
