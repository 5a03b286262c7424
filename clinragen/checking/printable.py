"""Text of anybody's as it can be shown: no control character reaches a terminal or a page."""

from __future__ import annotations

import re

REPLACEMENT = "\ufffd"

# All but tab and line feed of the control characters (a terminal obeys them, HTML forbids them), the marks that make
# what follows run the other way, halves of a pair (no encoding can write them), and what HTML calls no character.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)


def printable(text: str) -> str:
    """The text with every character that cannot be shown replaced by U+FFFD; its length and all spans stay."""
    return _UNPRINTABLE.sub(REPLACEMENT, text)


def one_line(text: str) -> str:
    """The text as `printable`, in one line."""
    return " ".join(printable(text).split())
