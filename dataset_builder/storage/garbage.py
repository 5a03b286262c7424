"""How often Python looks for garbage in cycles."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

OBJECTS = 50_000


@contextmanager
def collected_rarely() -> Iterator[None]:
    """Look for cycles after 50,000 new objects, for as long as this is open; never more often than before.

    Expressions of queries are trees of many small objects that live for a moment: looking through them after every
    few hundred took a fifth of a small build.
    """
    before = gc.get_threshold()
    if 0 < before[0] < OBJECTS:  # 0 is never
        gc.set_threshold(OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
