"""How a source's tables are seen in one table of events (MEDS): by patterns of codes, as its YAML file says.

A column is a reference: the name of an event's column ("time", "numeric_value", "hadm_id"), a part of its code
("code/2", counted from 0), the same of the event that ends a period ("end/time"), the number of the period ("period"),
the period of another table that the event's time is in ("within/admissions"), or a fixed text ("=MAIN"). In a table
with one row per patient or admission (`one_per`) it maps patterns of codes to references: the first such event counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from modeling_clinragen.errors import InputDataError

SEPARATOR = "//"
PERIOD = "period"
IDS = {"stays": "stay_id", "admissions": "hadm_id"}
"""By table that can be of periods, the column with their ids."""


@dataclass(frozen=True)
class Patterns:
    """Patterns of codes, in which * stands for any text."""

    texts: tuple[str, ...]

    @cached_property
    def regex(self) -> str:
        """A regular expression that every engine reads, and that finds these codes only."""
        alternatives = ("".join(".*" if part == "*" else _escaped(part) for part in _parts(one)) for one in self.texts)
        return f"^({'|'.join(alternatives)})$"

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        """The same for Python."""
        return re.compile(self.regex, re.DOTALL)


@dataclass(frozen=True)
class Reference:
    """Where a value comes from. `kind` is "column", "code", "period", "within" or "text".

    Args:
        kind: The kind.
        name: Of a column or table, or the text.
        part: Of a code.
        of_end: Whether it is the ending event's.
    """

    kind: str
    name: str = ""
    part: int = 0
    of_end: bool = False


@dataclass(frozen=True)
class EventView:
    """A table as it is seen in events.

    Args:
        codes: The events that are its rows; of a table of periods those that begin one.
        ends: The events that end a period; none for another table.
        key: The column by which an end finds its beginning. Without one it is the patient's next.
        one_per: The column that each row has another value of.
        columns: By logical name, a reference; with `one_per` pairs of patterns and references.
        optional: Names of columns that are null where the events lack what they refer to.
        unit: Of measurements: the reference to the unit.
        separator: Between the parts of a code.
        missing: Parts of a code that stand for none.
    """

    codes: Patterns
    ends: Patterns | None
    key: str | None
    one_per: str | None
    columns: Mapping[str, Reference | tuple[tuple[Patterns, Reference], ...]]
    optional: frozenset[str] = frozenset()
    unit: Reference | None = None
    separator: str = SEPARATOR
    missing: frozenset[str] = field(default_factory=frozenset)

    @property
    def patterns(self) -> list[Patterns]:
        """Every pattern of it."""
        mapped = [column for column in self.columns.values() if isinstance(column, tuple)]
        ends = [self.ends] if self.ends is not None else []
        return [self.codes, *ends, *(pattern for column in mapped for pattern, _ in column)]

    def unit_in(self, code: str) -> str | None:
        """The unit that is a part of a code; None where there is none."""
        parts = code.split(self.separator)
        if self.unit is None or self.unit.kind != "code" or self.unit.part >= len(parts):
            return None
        return None if parts[self.unit.part] in self.missing else parts[self.unit.part]


def parse_view(name: str, entry: Mapping[str, Any], content: Mapping[str, Any], path: Any) -> EventView:
    """Read a table's entry.

    Args:
        name: The table's name.
        entry: Its entry in the source's YAML file.
        content: The whole file, which says how codes are written (`separator`, `missing`).
        path: The file, for messages.

    Raises:
        InputDataError: Names the table and the fault.
    """
    where = f"{path}: table '{name}'"
    one_per = entry.get("one_per")
    listed = {**entry["columns"], **entry.get("optional_columns", {})}
    if entry.get("events") and "item" not in listed:
        listed["item"] = "code"
    unit = _reference(entry["unit"], where) if "unit" in entry else None
    if unit is not None and unit.kind == "column":
        listed["unit"] = entry["unit"]
    columns = {
        column: _by_pattern(said, where) if isinstance(said, Mapping) else _reference(said, where)
        for column, said in listed.items()
    }
    mapped = [column for column, said in columns.items() if isinstance(said, tuple)]
    if mapped and one_per is None:
        raise InputDataError(f"{where}: column '{mapped[0]}' maps patterns, which needs one_per; correct it")
    own = [column for column, said in columns.items() if isinstance(said, Reference) and said.name != one_per]
    if one_per is not None and own:
        raise InputDataError(f"{where}: column '{own[0]}' must map patterns of codes to what it is; correct it")
    codes = entry.get("codes", [text for column in mapped for text in listed[column]])
    ends = _patterns(entry["ends"], where) if "ends" in entry else None
    references = [said for said in columns.values() if isinstance(said, Reference)]
    if ends is None and any(one.of_end or one.kind == PERIOD for one in references):
        raise InputDataError(f"{where}: has columns of a period and no events that end one; add ends")
    for said in references:
        if said.kind == "within" and (said.name not in IDS or "ends" not in content["tables"].get(said.name, {})):
            raise InputDataError(f"{where}: 'within/{said.name}' needs a table '{said.name}' with ends; correct it")
    return EventView(
        codes=_patterns(codes, where),
        ends=ends,
        key=entry.get("key"),
        one_per=one_per,
        columns=columns,
        optional=frozenset(entry.get("optional_columns", {})),
        unit=unit,
        separator=str(content.get("separator", SEPARATOR)),
        missing=frozenset(map(str, content.get("missing", ()))),
    )


def _by_pattern(said: Mapping[str, Any], where: str) -> tuple[tuple[Patterns, Reference], ...]:
    return tuple((_patterns(pattern, where), _reference(one, where)) for pattern, one in said.items())


def _patterns(listed: Any, where: str) -> Patterns:
    texts = (listed,) if isinstance(listed, str) else tuple(listed)
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise InputDataError(f"{where}: codes must be patterns such as LAB//50931//*, in quotes; correct them")
    return Patterns(texts)


def _reference(said: Any, where: str) -> Reference:
    text = str(said)
    of_end = text.startswith("end/")
    text = text.removeprefix("end/")
    if text.startswith("="):
        return Reference("text", text[1:])
    if text.startswith("within/"):
        return Reference("within", text.removeprefix("within/"))
    if text == PERIOD:
        return Reference(PERIOD)
    if text.startswith("code/"):
        part = text.removeprefix("code/")
        if not part.isdecimal():
            raise InputDataError(f"{where}: '{text}' is not a part of a code; write code/ and a number from 0")
        return Reference("code", part=int(part), of_end=of_end)
    if not re.fullmatch(r"\w+", text):
        raise InputDataError(f"{where}: '{text}' does not say where a value comes from; see event_views.py")
    return Reference("column", text, of_end=of_end)


def _parts(pattern: str) -> list[str]:
    return [part for part in re.split(r"(\*)", pattern) if part]


def _escaped(text: str) -> str:
    return "".join(f"\\{one}" if one in r".+?()[]{}|^$\\" else one for one in text)
