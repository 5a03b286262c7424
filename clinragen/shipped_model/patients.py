"""The synthetic patients that come with the shipped model."""

from __future__ import annotations

from clinragen.shipped_model.folder import COHORT, RESOURCES
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.schema import load_examples
from modeling_clinragen.errors import InputDataError


def shipped_patient(number: int = 0) -> tuple[str, LabSeries]:
    """Note and series of one of the synthetic patients of the package, as `Explainer.explain` takes them.

    Args:
        number: Which one, from 0.

    Raises:
        InputDataError: There are not so many.
    """
    cohort = load_examples(RESOURCES / COHORT)
    rows = cohort["test"]
    if not 0 <= number < len(rows):
        raise InputDataError(f"there is no patient {number}; the package has {len(rows)} of them, from 0")
    row = rows[number]
    return row["note"], LabSeries.from_example(cohort.vocabulary, row)
