"""The pieces that a text is read in."""

from __future__ import annotations

from dataclasses import dataclass

from clinragen.claims.lexicon import Meaning
from clinragen.claims.types import Quantity


@dataclass(frozen=True, slots=True)
class Token:
    """One piece of a text. `kind` is that of a `Meaning`, or "number", "pair", "span", "word", "comma", "stop" ...

    A "foreign" token is a number or a time of something else: it is passed over.
    """

    kind: str
    start: int
    end: int
    meaning: Meaning | None = None
    other: Meaning | None = None  # a second meaning of the same word ("increased": level or trend)
    text: str = ""
    numbers: tuple[Quantity, ...] = ()
    joined: str = ""
