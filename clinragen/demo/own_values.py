"""Measurements that a reader types: a table in the browser, which writes the CSV text, and a CSV template."""

from __future__ import annotations

from html import escape
from urllib.parse import quote

from dataset_builder.contract.lab_csv import csv_title
from modeling_clinragen.vocabulary_clinragen import Vocabulary

COLUMNS = 3
"""Times that the table begins with."""


def template_csv(vocabulary: Vocabulary) -> str:
    """A CSV file to fill in: the header, and a row for the first hour."""
    titles = ["hours", *map(csv_title, vocabulary.variables)]
    return f"{','.join(titles)}\n0{',' * len(vocabulary.variables)}\n"


def template_link(vocabulary: Vocabulary) -> str:
    """A link that saves the template, without a file on the server."""
    address = f"data:text/csv;charset=utf-8,{quote(template_csv(vocabulary))}"
    return (
        f'<p class="cr"><a download="measurements.csv" href="{escape(address)}">Save an empty CSV to fill in</a></p>'
    )


def values_table(vocabulary: Vocabulary) -> str:
    """The table: a row for each variable, a column for each time; `page.js` keeps it and the CSV text the same."""
    head = "".join(f"<td>{_cell('hours', number)}</td>" for number in range(1, COLUMNS + 1))
    rows = "".join(
        f'<tr data-title="{escape(csv_title(variable))}"><th scope="row">{escape(csv_title(variable))}</th>'
        + "".join(f"<td>{_cell(variable.name, number)}</td>" for number in range(1, COLUMNS + 1))
        + "</tr>"
        for variable in vocabulary.variables
    )
    return (
        '<div class="cr cr-values"><div class="cr-scroll" tabindex="0" role="region" aria-label="Table of values">'
        f'<table><tbody><tr data-title="hours"><th scope="row">Hour since ICU admission</th>{head}</tr>{rows}</tbody>'
        '</table></div><p><button type="button" class="cr-more">Add a time</button> '
        '<span class="cr-message" role="status"></span></p></div>'
    )


def _cell(name: str, number: int) -> str:
    label = escape(f"{name}, time {number}")
    return f'<input inputmode="decimal" autocomplete="off" maxlength="20" aria-label="{label}">'
