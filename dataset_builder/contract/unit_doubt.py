"""Refuses readings that cannot be in the unit a file gives, and names the unit in which they can."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dataset_builder.contract.value_ranges import normal_range, within
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.vocabulary_clinragen import Unit, Variable


def refuse_unlikely_units(raw: np.ndarray, unit: Unit, variable: Variable, where: Sequence[str]) -> None:
    """Refuse a column with a reading that no patient has, or whose readings are in another unit than it says.

    Another unit is taken for the right one where it makes a reading plausible that is not so in the stated one; or
    where no reading is normal in the stated one and most would be in the other (110 under mmol/L of glucose). The
    latter not of a variable's own unit: whoever writes it, as this program does, has converted to it.

    Args:
        raw: The readings as written, (rows,), NaN where there is none.
        unit: The stated unit.
        variable: Whose plausible and normal ranges count.
        where: What a message about each row begins with.

    Raises:
        InputDataError: As described; the message names the row, both units and the expected range, never the reading.
    """
    measured = ~np.isnan(raw)
    others = [known for known in variable.units if (known.scale, known.offset) != (unit.scale, unit.offset)]
    outside = measured & ~within(unit.to_own(raw), variable.plausible)
    if outside.any():
        first = int(np.argmax(outside))
        low, high = variable.plausible
        expected = f"(expected {low:g} to {high:g} {variable.unit})"
        fitting = [known for known in others if within(known.to_own(raw[first : first + 1]), variable.plausible)[0]]
        if fitting:
            raise InputDataError(
                f"{where[first]}: implausible value in {unit.spellings[0]} {expected}, but plausible in "
                f"{' or '.join(known.spellings[0] for known in fitting)}; correct the unit in the header, or the value"
            )
        raise InputDataError(
            f"{where[first]}: implausible value {expected}; check value and unit, and leave the cell empty where "
            "nothing was measured"
        )
    normal = normal_range(variable)
    if unit.is_own or normal is None or not measured.any() or within(unit.to_own(raw), normal).any():
        return
    for known in others:
        if 2 * int(within(known.to_own(raw), normal).sum()) > int(measured.sum()):
            raise InputDataError(
                f"{where[int(np.argmax(measured))]}: no value of the column is normal in {unit.spellings[0]}, but "
                f"most would be in {known.spellings[0]}; correct the unit in the header, or give the values in "
                f"{known.spellings[0]}"
            )
