"""A patient's note, with the words marked that the page says something about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from clinragen.checking.checked import VERDICTS
from clinragen.checking.pieces import pieces
from clinragen.checking.printable import printable
from clinragen.demo.cited import Cited


def note_html(note: str, cited: Sequence[Cited] = ()) -> str:
    """The note as markup that escapes every word of it.

    Args:
        note: The cleaned note, whose places are cited.
        cited: What the page says about places of it.
    """
    owners = [(span, one) for one in cited for span in one.spans]
    written = "".join(_written(note, owners))
    return f'<div class="cr-note" tabindex="0" role="region" aria-label="Note">{written}</div>'


def _written(note: str, owners: Sequence[tuple[tuple[int, int], Cited]]) -> Iterator[str]:
    for piece in pieces(0, len(note), [span for span, _ in owners]):
        words = escape(printable(note[piece.start : piece.end]))
        inside = list(dict.fromkeys(owners[number][1].name for number in piece.inside))
        if not inside:
            yield words
            continue
        about = [owners[number][1] for number in piece.inside]
        verdict = min((one.verdict for one in about), key=VERDICTS.index)
        # A small number behind the words says which sentence they are cited by.
        ends = dict.fromkeys(owners[number][1].name[1:] for number in piece.ends if owners[number][1].name[0] == "s")
        numbers = f'<sup><span class="cr-sr"> cited by sentence </span>{", ".join(ends)}</sup>' if ends else ""
        yield f'<mark class="{verdict}" data-of="{" ".join(inside)}" tabindex="0">{words}{numbers}</mark>'
