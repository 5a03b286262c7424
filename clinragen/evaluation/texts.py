"""A system's rationales as written and as shown: how tables name the two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainers.formatting import TEXTS


def each_text(systems: Mapping[str, Mapping[str, Any]], entry: str) -> dict[str, Any]:
    """One score of every system's rationales, by a title such as "Full model, as shown".

    A system whose rationales are shown as they were written appears once, by its name alone.

    Args:
        systems: Entries of the scores by the system's readable name.
        entry: The score, which has the keys "raw" and "shown".
    """
    found: dict[str, Any] = {}
    for name, entries in systems.items():
        by_text = entries[entry]
        if by_text["raw"] == by_text["shown"]:
            found[name] = by_text["raw"]
            continue
        found.update({f"{name}, {title}": by_text[text] for text, title in TEXTS.items()})
    return found
