"""Names of diseases in text: when two spellings are the same name, and where a text gives one."""

from __future__ import annotations

import re
from collections.abc import Iterable


def fold_name(name: str) -> str:
    """A name without differences of case and white space."""
    return " ".join(name.split()).casefold()


def names_pattern(names: Iterable[str]) -> re.Pattern[str]:
    """A pattern that finds any of `names` as whole words; `fold_name` of what it finds tells which one.

    Case does not matter, and a line may break within a name. Of a name and a longer one that contains it, the longer
    one is found.
    """
    ordered = sorted(names, key=len, reverse=True)
    spelled = "|".join(r"\s+".join(map(re.escape, name.split())) for name in ordered)
    return re.compile(rf"(?<!\w)(?:{spelled})(?!\w)", re.IGNORECASE)
