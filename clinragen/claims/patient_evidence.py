"""The evidence for each disease in one patient's data: mentions in the note, and signs in the series."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from clinragen.claims.checking import Checking
from clinragen.knowledge.mentions import Mention, MentionFinder, load_finder
from clinragen.text.context import NoteContext, load_context_rules, read_context
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.series_signs import Finding, find_signs, firmest, load_sign_rules

# Mentions with these effects neither affirm a disease nor say that it is not there.
_OPEN = frozenset(("historical", "uncertain"))


class KnowledgeEvidence:
    """The evidence for every disease in one patient's data. Each part is worked out when it is first asked for.

    Args:
        note: The note; None or blank where there is none.
        series: The measurements.
        checking: What is high and low, and what supports which disease; without a knowledge base nothing is known.
    """

    def __init__(self, note: str | None, series: LabSeries, checking: Checking) -> None:
        self.note = note if note is not None else ""
        self.has_note = bool(self.note.strip())
        self.has_series = bool(series.observed.any())
        self._series = series
        self._range_set = checking.range_set
        self._knowledge = checking.knowledge

    @property
    def has_knowledge(self) -> bool:
        """Whether a knowledge base is at hand."""
        return self._knowledge is not None

    @cached_property
    def mentions(self) -> Mapping[str, list[Mention]]:
        """The affirmed, current mentions in the note by disease key, best first; diseases without one are absent."""
        return self.finder.find(self.note, self.context) if self.finder is not None and self.has_note else {}

    @cached_property
    def open_mentions(self) -> frozenset[str]:
        """Keys of the diseases with a cited term that the note leaves open or mentions as history only."""
        if self.finder is None or not self.has_note:
            return frozenset()
        known = self.finder.known(self.note, self.context)
        return frozenset(one.disease for one in known if one.cited and one.fault in _OPEN)

    @cached_property
    def context(self) -> NoteContext:
        """The context of every place in the note, by the shipped rules."""
        return read_context(self.note, load_context_rules())

    @cached_property
    def findings(self) -> Mapping[tuple[str, str], Finding]:
        """Every level, trend and swing of the series by variable and direction, whatever it is a sign of."""
        return find_signs(self._series, self._range_set, load_sign_rules()) if self.has_series else {}

    @cached_property
    def signs(self) -> Mapping[str, list[Finding]]:
        """The findings that are signs of a disease, by disease key; diseases without one are absent."""
        found: dict[str, list[Finding]] = {}
        for (variable, direction), finding in self.findings.items():
            for key in self.signs_of.get((variable, direction), ()):
                found.setdefault(key, []).append(finding)
        return found

    @cached_property
    def firmest_signs(self) -> Mapping[str, Finding]:
        """The one of each disease's signs that is cited first; diseases without a sign are absent."""
        preferred: dict[str, list[Finding]] = {}
        for key, variable, direction in self.meanings:
            if (variable, direction) in self.findings:
                preferred.setdefault(key, []).append(self.findings[variable, direction])
        return {key: firmest(found, load_sign_rules()) for key, found in preferred.items()}

    @cached_property
    def signs_of(self) -> Mapping[tuple[str, str], tuple[str, ...]]:
        """Keys of the diseases that a variable and direction is a sign of, according to the knowledge base."""
        owners: dict[tuple[str, str], tuple[str, ...]] = {}
        for entry in self._knowledge.diseases if self._knowledge is not None else ():
            for sign in entry.signs:
                place = (sign.variable, sign.direction)
                owners[place] = (*owners.get(place, ()), entry.key)
        return owners

    @cached_property
    def meanings(self) -> Mapping[tuple[str, str, str], str]:
        """By disease key, variable and direction, what this sign means according to the knowledge base."""
        diseases = self._knowledge.diseases if self._knowledge is not None else ()
        return {(entry.key, sign.variable, sign.direction): sign.meaning for entry in diseases for sign in entry.signs}

    @cached_property
    def directions(self) -> Mapping[tuple[str, str], frozenset[str]]:
        """By disease key and variable, the directions that are signs of the disease."""
        found: dict[tuple[str, str], frozenset[str]] = {}
        for (variable, direction), keys in self.signs_of.items():
            for key in keys:
                found[key, variable] = found.get((key, variable), frozenset()) | {direction}
        return found

    @cached_property
    def finder(self) -> MentionFinder | None:
        """Finds the terms of the knowledge base in a text."""
        return load_finder(self._knowledge) if self._knowledge is not None else None
