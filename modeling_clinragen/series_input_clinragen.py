"""The forms in which a series may be given: hours with rows of values, columns by variable, or a pandas table."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .errors import ModelInputError
from .vocabulary_clinragen import Unit, Variable, Vocabulary

# The unit is in round or square brackets behind the name, and may have brackets of its own: "SBP (mm[Hg])".
TITLE = re.compile(r"(?P<name>[^()\[\]]+?)\s*(?:\((?P<round>.*)\)|\[(?P<square>.*)\])?\s*")
HOURS = "hours"


def standard_series(series: Any, variables: Sequence[str], vocabulary: Vocabulary | None) -> Mapping[str, Any]:
    """A series as the feature extractor takes it.

    Args:
        series: One of these; in all of them NaN or None is what was not measured, and a variable may be absent.

            - `{"hours": (steps,), "values": (steps, variables)}`, which is returned as it is, unless the values are a
              table, whose columns then count as below;
            - `{"hours": (steps,), "heart_rate": (steps,), ...}`, a column for each variable;
            - `{"heart_rate": [(hour, value), ...], ...}`, the measurements of each variable;
            - a pandas DataFrame with a column for each variable, and the hours in a column `hours` or in the index.

            Columns are named by key, name or alias of the variable. They are in the vocabulary's unit, or in one that
            the vocabulary converts and that stands in brackets behind the name.
        variables: Keys of the variables, in model order.
        vocabulary: Their names and units; None where only keys are known.

    Raises:
        ModelInputError: A column is unknown (the message has both lists), or one is given twice; hours are missing,
            or dates; lengths differ; or a value is not a number. The message never has a value.
    """
    if isinstance(series, Mapping) and {HOURS, "values"} <= series.keys():
        if not is_table(series["values"]):
            return series
        # The order of its columns need not be the model's.
        series = series["values"].assign(hours=np.asarray(series[HOURS]))
    hours, columns = _of_table(series) if is_table(series) else _of_mapping(series)
    hours, columns = _on_common_hours(columns) if hours is None else (_numbers(hours, HOURS), columns)
    known = _Known(variables, vocabulary)
    values = np.full((len(hours), len(variables)), np.nan)
    taken: dict[int, str] = {}
    for title, column in columns.items():
        index, unit = known.find(title, columns)
        if index in taken:
            raise ModelInputError(f"the series has '{taken[index]}' and '{title}', which are one variable; keep one")
        taken[index] = title
        measured = _numbers(column, title)
        if measured.shape != hours.shape:
            raise ModelInputError(
                f"the series has {len(hours)} hours but '{title}' has the shape {measured.shape}; give one value for "
                "each hour, None where nothing was measured"
            )
        values[:, index] = measured * unit.scale + unit.offset
    return {"hours": hours, "values": values}


def is_table(series: Any) -> bool:
    """Whether a series is a pandas DataFrame. There is none in a process that has not imported pandas."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(series, pandas.DataFrame)


class _Known:
    # The titles that columns may have.

    def __init__(self, keys: Sequence[str], vocabulary: Vocabulary | None) -> None:
        self._keys = keys
        self._variables = {} if vocabulary is None else {variable.key: variable for variable in vocabulary.variables}
        self._index: dict[str, int] = {}
        for index, key in enumerate(keys):
            variable = self._variables.get(key)
            names = () if variable is None else (variable.name, variable.short, *variable.aliases)
            for name in (key, *names):
                self._index.setdefault(_plain(name), index)

    def find(self, title: str, titles: Mapping[str, Any]) -> tuple[int, Unit]:
        """The position of a column's variable, and its unit."""
        if _plain(title) in self._index:
            return self._index[_plain(title)], Unit(())
        match = TITLE.fullmatch(title)
        if match is None or _plain(match["name"]) not in self._index:
            # A table that was read without its header has values as titles.
            unknown = [
                f"'{other}'" if any(map(str.isalpha, other)) else "one without a letter in its name"
                for other in titles
                if self._name(other) not in self._index
            ]
            raise ModelInputError(
                f"the series has unknown columns: {', '.join(unknown)}; this model knows {HOURS}, "
                f"{', '.join(self._keys)}"
            )
        index = self._index[_plain(match["name"])]
        spelled = match["round"] if match["round"] is not None else match["square"]
        return index, self._unit(title, spelled, self._variables.get(self._keys[index]))

    def _name(self, title: str) -> str:
        match = TITLE.fullmatch(title)
        return _plain(title if match is None or _plain(title) in self._index else match["name"])

    @staticmethod
    def _unit(title: str, spelled: str | None, variable: Variable | None) -> Unit:
        if spelled is None:
            return Unit(())
        units = () if variable is None else (Unit((variable.unit,)), *variable.units)
        for unit in units:
            if any(_spelling(spelled) == _spelling(other) for other in unit.spellings):
                return unit
        known = dict.fromkeys(unit.spellings[0] for unit in units)
        raise ModelInputError(f"the unit of '{title}' is unknown; use one of {', '.join(known) or 'the model'}")


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").split()).casefold()


def _spelling(unit: str) -> str:
    return "".join(unit.split()).casefold()


def _of_table(frame: Any) -> tuple[Any, dict[str, Any]]:
    titles = [str(title) for title in frame.columns]
    repeated = {title for title in titles if titles.count(title) > 1}
    if repeated:
        raise ModelInputError(f"the table has the column '{sorted(repeated)[0]}' more than once; keep one")
    columns = {title: frame.iloc[:, position] for position, title in enumerate(titles)}
    hours = _take_hours(columns)
    if hours is not None:
        return hours, columns
    index = frame.index
    if index.name is None and isinstance(index, sys.modules["pandas"].RangeIndex) and len(index) > 1:
        raise ModelInputError(
            "the table has no column 'hours', and its index only numbers the rows; add the hours since ICU admission "
            "as a column 'hours' or as the index"
        )
    return index, columns


def _of_mapping(series: Any) -> tuple[Any, dict[str, Any]]:
    if not isinstance(series, Mapping):
        raise ModelInputError(
            f"a series is given as {type(series).__name__}; give a mapping with 'hours' and 'values', a mapping of "
            "columns by variable, or a pandas DataFrame"
        )
    columns = {str(title): column for title, column in series.items()}
    return _take_hours(columns), columns


def _take_hours(columns: dict[str, Any]) -> Any:
    title = next((title for title in columns if _plain(title) == HOURS), None)
    return None if title is None else columns.pop(title)


def _on_common_hours(columns: Mapping[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
    # Measurements of each variable at its own hours.
    pairs = {}
    for title, given in columns.items():
        rows = _numbers(list(given.items()) if isinstance(given, Mapping) else given, title)
        if rows.size and (rows.ndim != 2 or rows.shape[1] != 2):
            raise ModelInputError(
                f"the series has no 'hours', and '{title}' is not a list of pairs (hour, value); give one or the other"
            )
        pairs[title] = rows.reshape(-1, 2)
    hours = np.unique(np.concatenate([rows[:, 0] for rows in pairs.values()])) if pairs else np.zeros(0)
    if np.isnan(hours).any():
        raise ModelInputError("a measurement has no hour; give the hours since ICU admission as numbers")
    spread = {}
    for title, rows in pairs.items():
        if len(np.unique(rows[:, 0])) < len(rows):
            raise ModelInputError(f"'{title}' has two values for one hour; keep the one that counts")
        spread[title] = np.full(len(hours), np.nan)
        spread[title][np.searchsorted(hours, rows[:, 0])] = rows[:, 1]
    return hours, spread


def _numbers(column: Any, title: str) -> np.ndarray:
    # A date has no hour since admission; a time difference has.
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(column, pandas.Series | pandas.Index):
        column = column.to_numpy(dtype=object) if column.dtype.kind not in "mM" else column.to_numpy()
        if column.dtype == object:
            column = np.where(pandas.isna(column), None, column)
    column = np.asarray(column)
    if column.dtype.kind == "M":
        raise ModelInputError(f"'{title}' has dates; subtract the time of ICU admission, and give hours")
    if column.dtype.kind == "m":
        return column / np.timedelta64(1, "h")
    try:
        return column.astype(np.float64)
    except (TypeError, ValueError):
        # The cause would show a value.
        raise ModelInputError(f"'{title}' has values other than numbers; give numbers, or None") from None


__all__ = ["is_table", "standard_series"]
