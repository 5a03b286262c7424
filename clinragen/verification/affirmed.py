"""The parts of a note that can be quoted as evidence: those that it says of this patient."""

from __future__ import annotations

from clinragen.knowledge.mentions import EXCLUDING
from clinragen.text.context import NoteContext, load_context_rules, read_context
from clinragen.text.term_index import split_words


def affirmed_spans(note: str, context: NoteContext | None = None) -> list[tuple[int, int]]:
    """The longest parts of a cleaned note that are not negated, uncertain, hypothetical or about a relative.

    A past mention counts for some diseases, which the sentence around a quotation names: that is checked afterwards.

    Args:
        note: The note.
        context: Its context where it has been read already.
    """
    words = split_words(note)
    context = context if context is not None else read_context(note, load_context_rules(), words)
    spans: list[tuple[int, int]] = []
    open_at: int | None = None
    end = 0
    for word in words:
        if context.effects(word.start, word.end) & EXCLUDING:
            if open_at is not None:
                spans.append((open_at, end))
            open_at = None
        elif open_at is None:
            open_at = word.start
        end = word.end
    if open_at is not None:
        spans.append((open_at, len(note)))
    return spans
