"""The parts of a note that can be quoted as evidence: those that it says of this patient."""

from __future__ import annotations

from clinragen.text.context import load_context_rules, read_context
from clinragen.text.term_index import split_words

# A past mention counts for some diseases, which the sentence around the quotation names: that is checked afterwards.
EXCLUDING = frozenset(("negated", "uncertain", "family", "hypothetical"))


def affirmed_spans(note: str) -> list[tuple[int, int]]:
    """The longest parts of a cleaned note that are not negated, uncertain, hypothetical or about a relative."""
    words = split_words(note)
    context = read_context(note, load_context_rules(), words)
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
