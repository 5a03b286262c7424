"""A patient's measurements as small charts: reference band, readings, gaps, and what was not measured at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from clinragen.checking.checked import count_words
from clinragen.demo.cited import Cited
from clinragen.verification.missing import capital
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.vocabulary_clinragen import RangeSet, Variable

WIDTH, HEIGHT = 200.0, 56.0
"""Size of a chart's drawing, in its own units."""
_EDGE = 5.0
# Readings further apart than so many usual intervals of the variable are joined by a dashed line only.
_GAP = 3.0
# The checker rounds the hours of what it cites.
_SAME_HOUR = 0.002
# Beside the colour, the shape of a mark says whether a reading is low or high.
_SHAPES = {"normal": "M{x} {y}h0", "high": "M{x} {top}l3 5h-6z", "low": "M{x} {bottom}l3 -5h-6z"}


def series_html(series: LabSeries, ranges: RangeSet, cited: Sequence[Cited] = ()) -> str:
    """A chart for each of the vocabulary's variables, in its order.

    Args:
        series: The measurements.
        ranges: What is low, normal and high; a variable without a range has no band.
        cited: What the page says about readings.
    """
    charts = "".join(
        _Chart(variable, series, ranges, cited).html() if series.observed[:, column].any() else _not_measured(variable)
        for column, variable in enumerate(series.vocabulary.variables)
    )
    return f'<div class="cr-charts">{charts}</div>'


def _not_measured(variable: Variable) -> str:
    return f'<figure class="cr-chart cr-none"><figcaption>{_named(variable)}</figcaption><p>not measured</p></figure>'


def _named(variable: Variable) -> str:
    unit = "" if variable.unitless else f" <span>{escape(variable.unit)}</span>"
    return f"<strong>{escape(capital(variable.name))}</strong>{unit}"


class _Chart:
    def __init__(self, variable: Variable, series: LabSeries, ranges: RangeSet, cited: Sequence[Cited]) -> None:
        column = series.vocabulary.variable_keys.index(variable.key)
        seen = series.observed[:, column]
        self._variable = variable
        self._hours = series.hours[seen].astype(float)
        self._values = series.values[seen, column].astype(float)
        self._band = ranges.bounds.get(variable.key)
        self._levels = [ranges.level(variable.key, value) or "normal" for value in self._values]
        self._cited = [one for one in cited if variable.key in one.hours]
        self._first, self._last = min(0.0, float(series.hours[0])), float(series.hours[-1])
        known = [*self._values, *(bound for bound in self._band or () if math.isfinite(bound))]
        self._least, self._most = min(known), max(known)

    def html(self) -> str:
        """The chart with its heading and its summary in words."""
        says = self._in_words()
        return (
            f'<figure class="cr-chart"><figcaption>{_named(self._variable)}</figcaption>'
            f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="group" aria-label="{escape(self._spoken(says))}">'
            f"{self._drawn_band()}{self._lines()}{self._marks()}{self._rings()}</svg>"
            f'<p class="cr-hours" aria-hidden="true"><span>hour {self._first:.4g}</span>'
            f"<span>{self._last:.4g}</span></p><p>{says}</p></figure>"
        )

    def _in_words(self) -> str:
        low, high = (self._levels.count(level) for level in ("low", "high"))
        counts = [f"{number} {level}" for number, level in ((low, "low"), (high, "high")) if number]
        least, most = (f"{value:.4g}" for value in (self._values.min(), self._values.max()))
        spread = least if least == most else f"{least} to {most}"
        total = count_words(len(self._values), "reading")
        band = "" if self._band is None else f" (normal {self._band[0]:.4g} to {self._band[1]:.4g})"
        return f"{total}, {spread}{band}{''.join(f', <b>{escape(count)}</b>' for count in counts)}"

    def _spoken(self, says: str) -> str:
        plain = says.replace("<b>", "").replace("</b>", "")
        unit = "" if self._variable.unitless else f" {self._variable.unit}"
        return f"{self._variable.name}{unit}: {plain}"

    def _x(self, hour: float) -> float:
        share = 0.5 if self._last == self._first else (hour - self._first) / (self._last - self._first)
        return round(_EDGE + share * (WIDTH - 2 * _EDGE), 1)

    def _y(self, value: float) -> float:
        share = 0.5 if self._most == self._least else (value - self._least) / (self._most - self._least)
        return round(HEIGHT - _EDGE - share * (HEIGHT - 2 * _EDGE), 1)

    def _drawn_band(self) -> str:
        if self._band is None:
            return ""
        low, high = self._band
        top = self._y(high) if math.isfinite(high) else 0.0
        bottom = self._y(low) if math.isfinite(low) else HEIGHT
        return f'<rect class="cr-band" x="0" y="{top}" width="{WIDTH:g}" height="{max(1.0, bottom - top):.1f}"/>'

    def _lines(self) -> str:
        steps = np.diff(self._hours)
        longest = _GAP * float(np.median(steps)) if len(steps) else 0.0
        points = [(self._x(hour), self._y(value)) for hour, value in zip(self._hours, self._values, strict=True)]
        joined: list[str] = []
        apart: list[str] = []
        for step, (x, y), (next_x, next_y) in zip(steps, points, points[1:], strict=False):
            (apart if step > longest else joined).append(f"M{x} {y}L{next_x} {next_y}")
        return "".join(
            f'<path class="{name}" d="{"".join(parts)}"/>'
            for name, parts in (("cr-line", joined), ("cr-gap", apart))
            if parts
        )

    def _marks(self) -> str:
        parts: dict[str, list[str]] = {}
        for hour, value, level in zip(self._hours, self._values, self._levels, strict=True):
            x, y = self._x(hour), self._y(value)
            shape = _SHAPES[level].format(x=x, y=y, top=round(y - 3, 1), bottom=round(y + 3, 1))
            parts.setdefault(level, []).append(shape)
        return "".join(f'<path class="cr-{level}" d="{"".join(shapes)}"/>' for level, shapes in parts.items())

    def _rings(self) -> str:
        """The readings that something on the page is about; those with the same owners can be focused together."""
        labels = {one.name: one.label for one in self._cited}
        each: list[list[str]] = [[] for _ in self._hours]
        for one in self._cited:
            hours = np.array(sorted(one.hours[self._variable.key]))
            nearest = np.abs(self._hours[:, None] - hours[None]).min(axis=1)
            for place in np.flatnonzero(nearest < _SAME_HOUR).tolist():
                each[place].append(one.name)
        owners: dict[tuple[str, ...], list[int]] = {}
        for place, found in enumerate(each):
            if found:
                owners.setdefault(tuple(found), []).append(place)
        groups = []
        for names, places in owners.items():
            rings = "".join(
                f'<circle cx="{self._x(self._hours[place])}" cy="{self._y(self._values[place])}" r="4.5"/>'
                for place in places
            )
            about = ", ".join(labels[name] for name in names)
            count = count_words(len(places), "reading")
            groups.append(
                f'<g class="cr-cited" data-of="{escape(" ".join(names))}" tabindex="0" role="img" '
                f'aria-label="{escape(f"{count}: {about}")}">{rings}</g>'
            )
        return "".join(groups)
