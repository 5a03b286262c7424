"""Which groups the patients of a cohort belong to, from what the source says of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from dataset_builder.contract.groups import GROUPS, groups_schema

RESOURCES = files("dataset_builder.cohort") / "resources"
SAID = ("age", "sex", "race", "insurance", "first_unit")
"""Columns of the stays that groups are made of."""


@lru_cache(maxsize=1)
def group_words() -> Mapping[str, Any]:
    """The shipped rules."""
    content: Mapping[str, Any] = yaml.safe_load((RESOURCES / "patient_groups.yaml").read_text(encoding="utf-8"))
    return content


def age_band(age: int | None) -> str | None:
    """The band of an age in years; None below the first one."""
    first = [year for year in group_words()["age_bands"] if age is not None and age >= year]
    return group_words()["age_bands"][max(first)] if first else None


def race_group(words: str | None) -> str | None:
    """The group of what a source says of a patient's race or ethnicity; None where it says nothing."""
    said = (words or "").strip().lower()
    if not said or any(unsaid in said for unsaid in group_words()["race_unsaid"]):
        return None
    groups: Mapping[str, list[str]] = group_words()["race"]
    return next((group for group, known in groups.items() if any(word in said for word in known)), "other")


def write_groups(folder: Path, source: str, stays: ibis.Table) -> None:
    """Write `groups.parquet` for stays that become examples, in the order of their ids.

    Args:
        folder: Of the cohort.
        source: What every example's id begins with.
        stays: With `stay_id` and the columns `SAID`.
    """
    rows = stays.select("stay_id", *SAID).order_by("stay_id").to_pyarrow().to_pylist()
    unsaid = group_words()["insurance_unsaid"]
    made = [
        {
            "example_id": f"{source}-{row['stay_id']}",
            "sex": _words(row["sex"]),
            "age": age_band(row["age"]),
            "race": race_group(row["race"]),
            "insurance": None if (_words(row["insurance"]) or "").lower() in unsaid else _words(row["insurance"]),
            "care_unit": _words(row["first_unit"]),
        }
        for row in rows
    ]
    pq.write_table(pa.Table.from_pylist(made, schema=groups_schema()), folder / GROUPS, compression="zstd")


def _words(text: str | None) -> str | None:
    return " ".join((text or "").split()) or None
