"""Tables of numbers for the page's tabs, as a screen reader reads them: a caption, and headers that say of what."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


def table_html(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column names the rows. All texts are anybody's; none is markup."""
    columns = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    lines = "".join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in others)}</tr>'
        for first, *others in rows
    )
    return (
        f'<div class="cr-scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{columns}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def section_html(title: str, *parts: str) -> str:
    """A part of a tab under its heading; the parts are HTML."""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def sentence_html(*sentences: str) -> str:
    """A paragraph of texts."""
    return f"<p>{escape(' '.join(sentences))}</p>"


def message_html(error: Exception) -> str:
    """An error that a reader can cure."""
    return f'<p class="cr cr-error" role="alert">{escape(str(error))}</p>'


def list_html(items: Sequence[str]) -> str:
    """A list of texts."""
    return f'<ul class="cr-list">{"".join(f"<li>{escape(item)}</li>" for item in items)}</ul>'
