"""Checks what a rationale says is not there: nothing in the note for a disease, no sign of it, no note, no values."""

from __future__ import annotations

from clinragen.claims.argument_words import NOTE, SERIES
from clinragen.claims.arguments import Argument
from clinragen.claims.patient_evidence import KnowledgeEvidence
from clinragen.claims.types import CONTRADICTED, SUPPORTED, UNVERIFIABLE, Claim, Evidence

_NOTHING = {NOTE: "there is no note", SERIES: "nothing was measured"}
_SOMETHING = {NOTE: "there is a note", SERIES: "something was measured"}


class AbsenceChecker:
    """Checks absences by one patient's data and a knowledge base."""

    def __init__(self, evidence: KnowledgeEvidence) -> None:
        self._evidence = evidence
        self._has = {NOTE: evidence.has_note, SERIES: evidence.has_series}

    def check_whole(self, argument: Argument, text: str) -> list[Claim]:
        """The claims of an argument about a whole source ("the note does not point to Shock", "it points to Shock").

        One per disease, or a single one about all of them. Where no source is named, both are meant.
        """
        keys: tuple[str | None, ...] = (None,) if argument.every else argument.diseases
        claims = []
        for key in keys:
            judged = self._denied(argument, key) if argument.negated else self._affirmed(argument, key)
            if judged is None:
                continue
            kind = "absence" if argument.negated else "tie"
            words = text[slice(*argument.span)]
            claims.append(Claim(words, argument.span, None, kind, *judged, negated=argument.negated, disease=key))
        return claims

    def check_missing(self, source: str, span: tuple[int, int], text: str) -> Claim:
        """The claim that there is no note, or that nothing was measured."""
        has = self._has[source]
        evidence = Evidence((_SOMETHING if has else _NOTHING)[source])
        verdict = CONTRADICTED if has else SUPPORTED
        return Claim(text[slice(*span)], span, None, "absence", verdict, evidence, negated=True)

    def _denied(self, argument: Argument, key: str | None) -> tuple[str, Evidence] | None:
        sources = (argument.source,) if argument.source else tuple(one for one, has in self._has.items() if has)
        for source in sources:
            if not self._has[source]:
                return CONTRADICTED, Evidence(_NOTHING[source])
        if not self._evidence.has_knowledge:
            return None
        for source in sources:
            if self._finds(source, key):
                return CONTRADICTED, self._of_note(key) if source == NOTE else self._of_series(key)
        left = self._evidence.open_mentions if NOTE in sources else frozenset()
        if left if key is None else key in left:
            return UNVERIFIABLE, Evidence("the note leaves it open or mentions it as history")
        return SUPPORTED, Evidence("the knowledge base finds nothing for it there")

    def _affirmed(self, argument: Argument, key: str | None) -> tuple[str, Evidence] | None:
        source = argument.source
        if not source:
            return None
        if not self._has[source]:
            return CONTRADICTED, Evidence(_NOTHING[source])
        if not self._evidence.has_knowledge:
            return None
        if self._finds(source, key):
            return SUPPORTED, self._of_note(key) if source == NOTE else self._of_series(key)
        return UNVERIFIABLE, Evidence("the knowledge base finds nothing for it there")

    def _finds(self, source: str, key: str | None) -> bool:
        found = self._evidence.mentions if source == NOTE else self._evidence.signs
        return bool(found) if key is None else key in found

    def _of_note(self, key: str | None) -> Evidence:
        """The best mention of a disease, or of any."""
        mentions = self._evidence.mentions
        best = (
            mentions[key][0]
            if key is not None
            else min((one[0] for one in mentions.values()), key=lambda mention: mention.rank)
        )
        return Evidence(f'the note says "{best.quote}"', spans=((best.start, best.end),))

    def _of_series(self, key: str | None) -> Evidence:
        """The firmest sign of a disease, or of any."""
        signs = self._evidence.signs
        found = signs[key] if key is not None else [one for listed in signs.values() for one in listed]
        best = max(found, key=lambda finding: finding.weight)
        return Evidence(f"a sign of it was measured: {best.variable.replace('_', ' ')} {best.direction}")
