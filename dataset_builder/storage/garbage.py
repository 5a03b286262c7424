"""How often Python looks for garbage in cycles."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

OBJECTS = 50_000


@contextmanager
def collected_rarely() -> Iterator[None]:
    """Look for cycles after 50,000 new objects, not 700, for as long as this is open.

    Expressions of queries are trees of many small objects that live for a moment: looking through them takes a fifth
    of a small build, and finds nothing.
    """
    before = gc.get_threshold()
    gc.set_threshold(OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
