"""A table's cell as a text, number, id or time, the same on every engine; and the form of one that cannot be read.

The engines' own casts accept different other texts ("1_000", "0x10", "3/1/2150"), or raise.
"""

from __future__ import annotations

import ibis

# Short enough to overflow on no engine: some give infinity, some raise. All casts take blanks around a number.
BLANK = " \t\n\r\v\f"
BLANKS, NOT_BLANK = f"[{BLANK}]*", f"[^{BLANK}]"
NUMBER = f"^{BLANKS}[+-]?([0-9]{{1,30}}[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]{{1,2}})?{BLANKS}$"
WHOLE_NUMBER = f"^{BLANKS}[+-]?[0-9]{{1,18}}([.]0*)?{BLANKS}$"
LARGEST_WHOLE = 1e18
DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
TIME_OF_DAY = "[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?"
LONGEST_FORM = 40
# What is said of a cell whose column has a type that no time is written in.
NUMBER_FORM = "a number"
DATE_FORM = "dddd-dd-dd"


def number_of(text: ibis.Column) -> ibis.Column:
    """The decimal number in a text, float64; null for any other text, "inf" and "nan" included."""
    return ibis.ifelse(text.re_search(NUMBER), text, ibis.null("string")).cast("float64")


def whole_number_of(text: ibis.Column) -> ibis.Column:
    """The whole number in a text, int64; "12.0" is 12, as pandas writes ids. Null for any other text."""
    # Few ids have a point: the others are spared a second pattern.
    digits = ibis.ifelse(text.contains("."), text.re_replace(f"[.]0*{BLANKS}$", ""), text)
    return ibis.ifelse(text.re_search(WHOLE_NUMBER), digits, ibis.null("string")).cast("int64")


def time_of(text: ibis.Column, *, dates: bool = False) -> ibis.Column:
    """The time in a text such as "2150-03-01 09:00:00"; null for any other, one with a time zone included.

    A time zone in a text cannot be compared with the tables that have none. With `dates`, a date is its midnight.
    """
    pattern = f"{DATE}{f'({TIME_OF_DAY})?' if dates else TIME_OF_DAY}"
    # Few times have blanks around them, and stripping the others takes as long as the pattern.
    stripped = ibis.ifelse(text.re_search(f"^{BLANKS}{pattern}{BLANKS}$"), text.strip(), ibis.null("string"))
    return ibis.ifelse(text.re_search(f"^{pattern}$"), text, stripped).try_cast("timestamp")


def form_of(text: ibis.Column) -> ibis.Column:
    """How a text is written, with nothing of what it says: digits as d, letters as a, others of the keyboard as is."""
    masked = text.substr(0, LONGEST_FORM).re_replace("[0-9]", "d").re_replace("[A-Za-ce-z]", "a")
    return masked.re_replace("[^ -~]", "?")


def typed(column: ibis.Column, kind: str, *, dates: bool = False) -> ibis.Column:
    """A column of any type as `kind`; null where a cell is not of that kind.

    Empty texts and NaN are nulls, which CSV files can only leave out. Times with a time zone become those of UTC;
    whether all tables have one is for `dataset_builder.cohort.clocks` to check.

    Args:
        column: As it is in the file or database.
        kind: "string", "float64", "int64" or "timestamp".
        dates: Of times: whether a date without a time of day is one.
    """
    found = column.type()
    if kind == "string":
        # A database's padded CHAR and a file's text must come out alike; an id that pandas made 220045.0 is 220045.
        text = column if found.is_string() else _written(column) if found.is_floating() else column.cast("string")
        return text.nullif("")
    if kind == "timestamp":
        return _time(column, dates)
    if found.is_string():
        return number_of(column) if kind == "float64" else whole_number_of(column)
    number = column.cast("float64")
    if kind == "float64":
        return ibis.ifelse(number.isnan(), ibis.null("float64"), number)
    return _whole(column) if found.is_floating() else column.cast("int64")


def form_where_unreadable(column: ibis.Column, read: ibis.Column) -> ibis.Column:
    """The form of each cell that is there but that `read`, made of the column by `typed`, has as null."""
    found = column.type()
    if found.is_string():
        # DuckDB computes what a query says twice for every row beforehand: the stripped text is said once, and where
        # it is needed.
        there = column.re_search(NOT_BLANK)
        form = form_of(column.strip())
    elif found.is_numeric():
        there = typed(column, "float64").notnull()
        form = ibis.literal(NUMBER_FORM)
    else:
        there = column.notnull()
        form = ibis.literal(DATE_FORM if found.is_date() else "another type")
    return ibis.ifelse(read.isnull() & there, form, ibis.null("string"))


def _time(column: ibis.Column, dates: bool) -> ibis.Column:
    found = column.type()
    if found.is_string():
        return time_of(column, dates=dates)
    if found.is_timestamp():
        return column if found.timezone is None else column.cast("timestamp")
    # A number would be taken for seconds since 1970, an Excel date for a minute of that year.
    return column.cast("timestamp") if found.is_date() and dates else ibis.null("timestamp")


def _whole(column: ibis.Column) -> ibis.Column:
    """The whole numbers of a column of floats, int64."""
    # Comparisons with NaN differ between engines.
    number = ibis.ifelse(column.isnan(), ibis.null("float64"), column.cast("float64"))
    whole = (number.abs() < LARGEST_WHOLE) & (number == number.floor())
    return ibis.ifelse(whole, number, ibis.null("float64")).cast("int64")


def _written(column: ibis.Column) -> ibis.Column:
    whole = _whole(column)
    number = ibis.ifelse(column.isnan(), ibis.null(column.type()), column)
    return ibis.coalesce(whole.cast("string"), number.cast("string"))
