"""The series of a patient as small charts with what is normal as a band."""

from __future__ import annotations

import numpy as np

from clinragen.export.pdf_page import INK, MARGIN, QUIET, Page
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.vocabulary_clinragen import RangeSet, Variable

COLUMNS = 3
WIDTH, HEIGHT, GAP = 56.0, 17.0, 6.0
"""Millimetres of a plot, and between two."""
TITLES = 7.5
"""Millimetres above a plot, for its name and its numbers."""
HOURS = 3.5
"""Millimetres below it."""
BAND, LINE, INSIDE, OUTSIDE = (222, 240, 226), (160, 168, 178), (30, 84, 158), (155, 28, 20)
_LETTERS = 6.0
_DOT = 0.5


def draw_charts(page: Page, series: LabSeries, range_set: RangeSet) -> None:
    """Draw each measured variable, and name those that were not measured.

    Args:
        page: Where to draw, from its current line on.
        series: The measurements.
        range_set: What is normal.
    """
    measured = [place for place in range(len(series.vocabulary.variables)) if series.observed[:, place].any()]
    names = [variable.name for variable in series.vocabulary.variables]
    if measured:
        words = "Band: normal. Round: a measurement within it, or without one. Square: a measurement below or above."
        page.paragraph(words, small=True, quiet=True)
    first, last = (float(series.hours[0]), float(series.hours[-1])) if measured else (0.0, 0.0)
    for start in range(0, len(measured), COLUMNS):
        if page.will_page_break(TITLES + HEIGHT + HOURS):
            page.add_page()
        top = page.get_y()
        for column, place in enumerate(measured[start : start + COLUMNS]):
            _draw(page, series, place, range_set, (MARGIN + column * (WIDTH + GAP), top), (first, last))
        page.set_xy(MARGIN, top + TITLES + HEIGHT + HOURS + 1)
    missing = [name for place, name in enumerate(names) if place not in measured]
    if missing:
        page.paragraph(f"Not measured: {', '.join(missing)}.", small=True)


def _draw(
    page: Page,
    series: LabSeries,
    place: int,
    range_set: RangeSet,
    corner: tuple[float, float],
    stay: tuple[float, float],
) -> None:
    variable = series.vocabulary.variables[place]
    seen = series.observed[:, place]
    hours, values = series.hours[seen].astype(float), series.values[seen, place].astype(float)
    bounds = range_set.bounds.get(variable.key)
    left, top = corner
    _write(page, left, top, _named(variable), bold=True)
    numbers = f"{_number(values.min(), variable)} to {_number(values.max(), variable)}"
    normal = "" if bounds is None else f"; normal {bounds[0]:g} to {bounds[1]:g}"
    _write(page, left, top + 3.2, f"{numbers}, {len(values)} measured{normal}")
    top += TITLES
    ends = (*values, *(bounds or ()))
    low, high = _limits(min(ends), max(ends))
    first, last = stay

    def right(hour: float) -> float:
        return left + WIDTH * ((hour - first) / (last - first) if last > first else 0.5)

    def down(value: float) -> float:
        return top + HEIGHT * (high - value) / (high - low)

    if bounds is not None:
        page.set_fill_color(*BAND)
        page.rect(left, down(bounds[1]), WIDTH, down(bounds[0]) - down(bounds[1]), style="F")
    page.set_draw_color(*LINE)
    page.set_line_width(0.15)
    page.rect(left, top, WIDTH, HEIGHT)
    points = [(right(hour), down(value)) for hour, value in zip(hours, values, strict=True)]
    page.set_draw_color(*INSIDE)
    if len(points) > 1:
        page.polyline(points)
    for (x, y), value in zip(points, values, strict=True):
        outside = range_set.level(variable.key, value) in ("low", "high")
        page.set_fill_color(*(OUTSIDE if outside else INSIDE))
        if outside:
            page.rect(x - _DOT, y - _DOT, 2 * _DOT, 2 * _DOT, style="F")
        else:
            page.circle(x, y, _DOT, style="F")
    _write(page, left, top + HEIGHT + 0.3, f"hour {round(first, 1):g}")
    end = f"{round(last, 1):g}"
    page.pen(_LETTERS, colour=QUIET)
    _write(page, left + WIDTH - page.get_string_width(end), top + HEIGHT + 0.3, end)


def _write(page: Page, left: float, top: float, text: str, *, bold: bool = False) -> None:
    page.pen(_LETTERS, bold=bold, colour=INK if bold else QUIET)
    page.set_xy(left, top)
    page.cell(WIDTH, 3, page.known(text))


def _named(variable: Variable) -> str:
    return variable.name if variable.unitless else f"{variable.name} ({variable.unit})"


def _number(value: float, variable: Variable) -> str:
    return f"{value:.{variable.decimals}f}"


def _limits(low: float, high: float) -> tuple[float, float]:
    """The ends of an axis, with some room around what is shown."""
    room = float(np.ptp([low, high])) * 0.08 or 1.0
    return low - room, high + room
