"""The definition of a quotation in a rationale, shared by filter, lexer and note checker.

A quotation runs from a quotation mark to the next one in the same line. The marks are straight ("…") or curly (“…”,
”…”), those of other languages („…“, «…», »…«), or a mixture (“…"), since language models mix them; only „ never
closes. Between the marks are at most 400 characters, or none: an empty quotation is one that nothing can support.
Single quotation marks are apostrophes here.
"""

from __future__ import annotations

import re

from modeling_clinragen.sentences_clinragen import MAX_QUOTATION as MAX_LENGTH
from modeling_clinragen.sentences_clinragen import QUOTATION
from modeling_clinragen.sentences_clinragen import QUOTATION_MARKS as MARKS

__all__ = ["MARKS", "MAX_LENGTH", "QUOTATION", "has_stray_mark"]

_MARK = re.compile(f"[{MARKS}]")


def has_stray_mark(text: str) -> bool:
    """Whether a quotation mark belongs to no quotation: it lacks its partner, or the quotation breaks a line."""
    return bool(_MARK.search(QUOTATION.sub("", text)))
