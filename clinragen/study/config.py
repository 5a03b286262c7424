"""Settings of a study. Nothing heavy is imported here: the command line reads this file for `--help`."""

from __future__ import annotations

from dataclasses import dataclass

from dataset_builder.storage.config_fields import LARGEST_SEED, check_values, setting
from modeling_clinragen.errors import SettingsError

SHOWN, WRITTEN = "shown", "written"
TEACHER = "teacher"
MOST_RATERS = 50


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """How a study is drawn and laid out.

    Raises:
        SettingsError: A value has the wrong type or is out of its range, or there are more repeats than cases.
    """

    sources: tuple[str, ...] = setting(
        (f"full:{SHOWN}", TEACHER),
        help="Whose rationales are rated: a system of the evaluation as shown (full:shown) or as written "
        "(full:written), or teacher. With several evaluations a system begins with its folder's name "
        "(first/full:shown).",
    )
    cases: int = setting(30, help="Patients of the test split, drawn by strata.", unit="cases", at_least=1)
    repeats: int = setting(
        4, help="Cases that each rater gets twice, for their own agreement.", unit="cases", at_least=0
    )
    raters: int = setting(
        3, help="Raters, each with an order of their own.", unit="raters", at_least=1, at_most=MOST_RATERS
    )
    flags: bool = setting(True, help="Show the checker's flags on half of each rater's cases; without, on none.")
    seed: int = setting(0, help="Seed of the draw, the blinding and all orders.", at_least=0, at_most=LARGEST_SEED)

    def __post_init__(self) -> None:
        check_values(self)
        if not self.sources or len(set(self.sources)) < len(self.sources):
            raise SettingsError("sources: expected one or several different ones, such as full:shown and teacher")
        if self.repeats > self.cases:
            raise SettingsError(f"repeats: expected at most as many as cases ({self.cases}), got {self.repeats}")
