"""How a cohort is built: every setting in one place, for the builder, the `datasets` builder and the command line.

Nothing heavy is imported here: the command line and the check of recipes read these settings.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from dataset_builder.cohort.note_sections import policies
from dataset_builder.cohort.splits import FRACTIONS, assign_splits
from dataset_builder.contract.definitions import load_definitions
from dataset_builder.storage.config_fields import LARGEST_SEED, check_values, deciding, setting
from dataset_builder.storage.files import file_digest, fingerprint
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.vocabulary_clinragen import DEFAULT_RANGE_SET

ENGINES = ("duckdb", "postgres", "spark")
# The windows' ends in hours since ICU admission; None for the whole stay.
WINDOWS: dict[str, float | None] = {"stay": None, "first-24h": 24.0, "first-48h": 48.0}
GRIDS = ("event", "hourly")
# The authors' code keeps the first 1,000 rows of a series and so do we; a 48-hour window stays far below.
MAX_STEPS = 1000
# In the order of mimic3-benchmarks: transferred stays go first, and single_stay counts the stays that are left.
# "coded" is ours: without any diagnosis row the labels of an admission are unknown, not absent.
FILTERS = ("no_transfers", "single_stay", "adults", "coded", "has_events")


@dataclass(frozen=True, kw_only=True)
class CohortConfig:
    """The settings of a cohort.

    Raises:
        SettingsError: A setting has the wrong type or an unknown value, or settings do not fit together.
        InputDataError: A file of the user's is missing or faulty.
    """

    note_policy: str = setting(
        help="Part of a note that the model reads; brief_hospital_course (the paper's) and full are retrospective.",
        choices=tuple(policies()),
    )
    window: str = setting(
        "first-48h", help="Part of the stay that is used; nothing after it enters an example.", choices=tuple(WINDOWS)
    )
    grid: str = setting(
        "event", help="Rows of a series: one for each time of a measurement, or one for each hour.", choices=GRIDS
    )
    max_steps: int | None = setting(
        MAX_STEPS, help="A series keeps its first rows up to this many; nothing keeps all.", unit="rows", at_least=1
    )
    range_set: str = setting(
        DEFAULT_RANGE_SET, help="Range set of the vocabulary that anomalies are described by, e.g. clinical or paper."
    )
    skip_filters: tuple[str, ...] = setting(
        (), help="Filters of mimic3-benchmarks that are not applied to the cohort.", choices=FILTERS
    )
    all_codes: bool = setting(
        False, help="Count diagnosis codes that the source's own dictionary of codes (MIMIC-III) does not list."
    )
    seed: int = setting(0, help="Seed of the split by patient.", at_least=0, at_most=LARGEST_SEED)
    split_fractions: tuple[float, float, float] = setting(
        FRACTIONS, help="Shares of the patients in each split.", unit="train, validation and test; they add up to 1"
    )
    split_file: Path | None = setting(None, help="Your own split instead: a CSV with subject_id and split, or JSON.")
    vocabulary: Path | None = setting(
        None, help="Folder with your own vocabulary instead of the shipped 11 variables and 25 diseases."
    )
    max_unreadable: float = setting(
        0.5,
        help="Largest share of a table's rows whose time, number, id or code may be unreadable; more stops the build.",
        at_least=0.0,
        at_most=1.0,
    )
    engine: str = setting("duckdb", help="Engine that runs the queries.", choices=ENGINES, decides=False)

    def __post_init__(self) -> None:
        check_values(self)
        for name in ("split_file", "vocabulary"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else Path(value))
        object.__setattr__(self, "skip_filters", tuple(name for name in FILTERS if name in self.skip_filters))
        object.__setattr__(self, "split_fractions", tuple(self.split_fractions))
        load_definitions(self.vocabulary).vocabulary.range_set(self.range_set)
        assign_splits((), fractions=self.split_fractions, split_file=self.split_file)

    @property
    def filters(self) -> tuple[str, ...]:
        """The filters that are applied, in their fixed order."""
        return tuple(name for name in FILTERS if name not in self.skip_filters)

    @property
    def window_hours(self) -> float | None:
        """The end of the window in hours since ICU admission; None for the whole stay."""
        return WINDOWS[self.window]

    def recorded(self) -> dict[str, Any]:
        """The settings that decide the result, for the provenance; files are recorded as a digest of their content."""
        names = {field.name for field in fields(CohortConfig)}
        chosen = {name: value for name, value in deciding(self).items() if name in names}
        return {
            **chosen,
            "split_file": None if self.split_file is None else file_digest(self.split_file),
            "vocabulary": None if self.vocabulary is None else _folder_digest(self.vocabulary),
        }


def _folder_digest(folder: Path) -> str:
    found = sorted(path for path in folder.rglob("*.yaml") if path.is_file())
    try:
        return fingerprint([(path.relative_to(folder).as_posix(), file_digest(path)) for path in found])
    except OSError as error:
        raise InputDataError(f"{error.filename}: cannot be read ({error.strerror}); check the path") from error
