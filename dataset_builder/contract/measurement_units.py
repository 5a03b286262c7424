"""Units as a file spells them, and how they get to a variable's own: the vocabulary's spellings first, then UCUM."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from modeling_clinragen.vocabulary_clinragen import Unit, Variable

LONGEST = 40
# Names that pint reads beside UCUM's codes ("pounds", "mmHg", "gram/liter"). No digits: pint would compute with them.
_NAME = re.compile(r"[A-Za-z]+(?: ?(?:/|per) ?[A-Za-z]+)?", re.IGNORECASE)
# A power of two digits or more is no unit of a measurement, and would be computed.
_HIGH_POWER = re.compile(r"[^0-9.][+-]?[0-9]{2,}$|[^0-9.][+-]?[0-9]{2,}[^0-9]")
_SIGNS = {"µ": "u", "μ": "u", "℃": "°C", "℉": "°F", "²": "2", "³": "3"}


def unit_spelled(text: str, units: Sequence[Unit], words: Mapping[str, str] | None = None) -> Unit | None:
    """The unit that a text spells, as a scale and offset to the own unit of a variable; None for an unknown one.

    A spelling of the vocabulary's is taken as it is. Any other is read as a UCUM code (`mm[Hg]`, `umol/L`) or a unit
    name, and must measure the same quantity as one of `units`.

    Args:
        text: The unit as written.
        units: The units of the variable; the first is its own.
        words: More spellings, each of one of the spellings in `units` (`VariableWords.units`).
    """
    for sign, plain in _SIGNS.items():
        text = text.replace(sign, plain)
    squeezed = _squeeze(text)
    squeezed = next((_squeeze(unit) for word, unit in (words or {}).items() if _squeeze(word) == squeezed), squeezed)
    for unit in units:
        if squeezed in map(_squeeze, unit.spellings):
            return unit
    text = text.strip()
    readable = 0 < len(text) <= LONGEST and text.isascii() and not _HIGH_POWER.search(text)
    return _by_quantity(text, tuple(units)) if readable else None


def unit_of(text: str | None, variable: Variable, more: Mapping[str, str] | None = None) -> Unit | None:
    """The unit that a text spells for a variable; None for an unknown one.

    Args:
        text: The unit as written; None where none is, which a variable without a unit does not need.
        variable: The variable.
        more: Further spellings, such as a source's, each of one that `unit_spelled` knows.
    """
    if text is None:
        return variable.units[0] if variable.unitless else None
    return unit_spelled((more or {}).get(text, text), variable.units, dict(variable.words.units))


def _squeeze(unit: str) -> str:
    return "".join(unit.casefold().split())


@lru_cache(maxsize=256)
def _by_quantity(text: str, units: tuple[Unit, ...]) -> Unit | None:
    for given in _quantities(text):
        for unit in units:
            for known in (found for spelling in unit.spellings for found in _quantities(spelling)):
                line = _line(given, known)
                if line is not None:
                    scale, offset = line
                    return Unit((text,), scale * unit.scale, offset * unit.scale + unit.offset)
    return None


@lru_cache(maxsize=1)
def _registry() -> Any:
    """Units by UCUM code and by name. Made when the vocabulary does not spell a unit, because it takes a second."""
    from ucumvert import PintUcumRegistry

    return PintUcumRegistry()


def _quantities(text: str) -> Iterator[Any]:
    """The readings of a text: as a UCUM code, one in square brackets (a header's may be the code's own), a name."""
    from lark.exceptions import LarkError
    from pint import Quantity
    from pint.errors import PintError

    registry = _registry()
    readers = [(registry.from_ucum, code) for code in (text.replace(" ", ""), f"[{text}]")]
    if _NAME.fullmatch(text):
        readers.append((lambda name: registry.Quantity(1, registry.parse_units(name)), text))
    for read, spelled in readers:
        try:
            found = read(spelled)
        except (LarkError, PintError, ValueError):
            # ValueError: pint reads "nan" as a number, which no unit begins with.
            continue
        # An annotation alone ("{SpO2}") measures nothing, and is no quantity here.
        if isinstance(found, Quantity) and math.isfinite(found.magnitude):
            yield registry.Quantity(found.magnitude, found.units)


def _line(given: Any, known: Any) -> tuple[float, float] | None:
    """(scale, offset) from one quantity's numbers to another's; None where they measure something else."""
    from pint.errors import PintError

    try:
        # Not the dimensions: an angle and a turn have none, and are no share or count.
        if given.to_root_units().units != known.to_root_units().units:
            return None
        quantity, target = type(given), known.units
        zero, one, two = (
            float(quantity(number * given.magnitude, given.units).to(target).magnitude) / float(known.magnitude)
            for number in (0, 1, 2)
        )
    except (PintError, ZeroDivisionError, OverflowError, ValueError):
        return None
    scale = one - zero
    straight = math.isclose(two - one, scale, rel_tol=1e-9, abs_tol=1e-12)
    return (scale, zero) if straight and scale > 0 and math.isfinite(zero) else None
