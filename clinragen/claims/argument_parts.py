"""Puts the parts of a sentence together: which evidence stands on one side of a verb, and which diseases on the other.

Parts are read from left to right, once. At most one argument is open: what stands before its verb, the verb with its
negation, and what stands behind.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from clinragen.claims.argument_words import NOTE, ArgumentWords
from clinragen.claims.types import Statement

_EVIDENCE = frozenset(("evidence", "source"))
_DISEASE = frozenset(("disease", "any"))
_VERBS = frozenset(("supports", "opposes", "mentions", "unlikely"))
# Between a conjunction and a verb that has the subject of the one before ("but does not fit").
_ELIDED = re.compile(
    r"\s*(?:(?:it|they|does|do|did|is|are|was|were|not|also|less|never|cannot|can|hardly|\w+n't)\s+)*\Z", re.IGNORECASE
)


# Between two verbs that are two predicates ("does not suggest infection and fits"), not one ("shows no sign of").
_APART = re.compile(r"[,;]|\b(?:and|but|yet)\b", re.IGNORECASE)
# What may stand before "no sign of Shock": nothing else that there may be no sign in.
_BARE = re.compile(
    r"\W*(?:(?:and|so|but|also|overall|thus|there|here|is|are|was|were|has been|patient|case|in this|the)\W+)*\Z",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Quoted:
    """A quotation that is offered as evidence: its words and place in the rationale, and whether it is denied."""

    words: str
    span: tuple[int, int]
    denied: bool


@dataclass(frozen=True)
class Part:
    """A piece of a sentence: "evidence", "source", "disease", "any", or a kind of words in arguments.yaml.

    Args:
        kind, start, end: What it is, and its characters in the rationale.
        key: Of a disease its key, of a source which one, of words the phrase.
        quoted: The quotation that is the evidence.
        statements: The statements that are the evidence.
    """

    kind: str
    start: int
    end: int
    key: str = ""
    quoted: Quoted | None = None
    statements: tuple[Statement, ...] = ()


@dataclass(frozen=True)
class Raw:
    """An argument as its parts; `source` is what the verb implies ("mentions": the note)."""

    evidence: tuple[Part, ...]
    diseases: tuple[Part, ...]
    negated: bool
    span: tuple[int, int]
    source: str = ""


@dataclass
class _Open:
    """The argument that is being read."""

    left: list[Part] = field(default_factory=list)
    right: list[Part] = field(default_factory=list)
    verb: str = ""
    negated: bool = False
    # "Does not argue against": says nothing for certain.
    void: bool = False
    start: int = -1

    @property
    def is_complete(self) -> bool:
        """Whether it has evidence and a disease, one of them behind the verb."""
        if not self.verb or not self.right:
            return False
        evidence, diseases = _sides(self)
        return bool(evidence and diseases)


def _of(parts: Sequence[Part], kinds: frozenset[str]) -> list[Part]:
    return [part for part in parts if part.kind in kinds]


def _sides(now: _Open) -> tuple[list[Part], list[Part]]:
    """Evidence and diseases of an argument; evidence before the verb and a disease behind it go first."""
    left, right = _of(now.left, _EVIDENCE), _of(now.right, _EVIDENCE)
    before, behind = _of(now.left, _DISEASE), _of(now.right, _DISEASE)
    if behind and (left or not before):
        return left or right, behind
    if before and (right or not behind):
        # "For Shock, the note offers no support": a source may stand on the same side.
        return right or _of(left, frozenset(("source",))), before
    return right, before or behind


class ArgumentParts:
    """Reads the parts of one sentence.

    Args:
        text: The rationale, with nothing to be read where quotations and disease names are.
        start: Where the sentence begins in it.
        words: The phrases of arguments.yaml.
        earlier: The evidence of the sentence before, for which a pronoun may stand.
    """

    def __init__(self, text: str, start: int, words: ArgumentWords, earlier: Sequence[Part]) -> None:
        self._text = text
        self._words = words
        self._earlier = list(earlier)
        self._done: list[Raw] = []
        self._now = _Open()
        self._last = _Open()  # the argument before, whose subject or verb may be left out
        self._negation = self._strong = self._pronoun = self._adding = False
        self._verb_end = start
        self._turn = -1  # the end of the last conjunction
        self._start = start

    def add(self, part: Part) -> None:
        """Read the next part."""
        if part.kind in _EVIDENCE or part.kind in _DISEASE:
            self._add_thing(part)
        elif part.kind in _VERBS:
            self._add_verb(part)
        else:
            self._add_word(part)
        if self._now.start < 0 and part.kind not in ("breaks", "relatives", "no_negations"):
            self._now.start = part.start

    def finish(self) -> list[Raw]:
        """The arguments, in order."""
        self._close()
        return self._done

    def _add_thing(self, part: Part) -> None:
        now, kinds = self._now, _EVIDENCE if part.kind in _EVIDENCE else _DISEASE
        if part.kind in _DISEASE and self._words.background.search(self._text[max(0, part.start - 40) : part.start]):
            return
        if now.is_complete:
            if now.right[-1].kind in kinds and self._joins(part):
                now.right.append(part)
                return
            if self._adding and part.kind in _EVIDENCE:
                (now.left if _of(now.left, _EVIDENCE) else now.right).append(part)
                return
            self._close()
            now = self._now
        if part.kind == "evidence" and not self._strong:
            self._negation = False  # "no 'fever' fits": it is the fever that is denied
        if now.verb:
            if part.kind not in _DISEASE or not now.right or now.right[-1].kind not in _DISEASE or self._joins(part):
                now.right.append(part)
        elif self._linked(part):
            now.verb, now.right = "supports", [part]
            now.negated, self._negation = self._negation or self._strong, False
        elif part.kind in _DISEASE and self._negation and not now.left and self._last.verb:
            # "supports Shock but not Pneumonia": subject and verb are those before.
            evidence, _ = _sides(self._last)
            self._now = _Open(evidence, [part], self._last.verb, True, start=now.start)
            self._now.void = self._last.verb == "opposes"
            self._negation = False
        else:
            now.left.append(part)

    def _joins(self, part: Part) -> bool:
        """Whether a thing behind another one of its kind belongs to the same list."""
        if part.kind in _EVIDENCE:
            return True
        return self._words.apart.search(self._text, self._now.right[-1].end, part.start) is None

    def _linked(self, part: Part) -> bool:
        """Whether a preposition or a bracket ties a disease to the evidence before it, or the other way round."""
        left = self._now.left
        if part.kind in _DISEASE:
            before = self._text[max(0, part.start - 20) : part.start]
            return any(one.kind == "evidence" for one in left) and self._words.before.search(before) is not None
        if part.kind != "evidence" or not left or left[-1].kind not in _DISEASE:
            return False
        return self._words.after.search(self._text[left[-1].end : part.start]) is not None

    def _add_verb(self, part: Part) -> None:
        denied = self._negation or self._strong
        self._negation = False
        if part.kind == "unlikely" and self._now.verb and (self._now.left or self._now.right):
            self._now.void = self._now.void or denied or self._now.negated
            self._now.negated = True
            return
        if self._now.is_complete:
            evidence, diseases = _sides(self._now)
            kept = evidence if _of(self._now.left, _EVIDENCE) or not self._now.left else diseases
            self._close()
            self._now.left = list(kept)
        elif self._now.verb:
            carried = self._now.negated and not self._now.void
            between = self._text[self._verb_end : part.start]
            denied = denied or (carried and _APART.search(between) is None)
            self._now.left += self._now.right
        now = self._now
        if not now.left and not self._strong:
            now.left = self._subject(part)
        against = part.kind in ("opposes", "unlikely")
        if not against and not denied:
            denied = self._is_aim(part)
        now.verb, now.right = part.kind, []
        self._verb_end = part.end
        now.negated, now.void = denied or against, denied and against

    def _is_aim(self, part: Part) -> bool:
        """Whether the verb names what is missing: "there is no fever to support Shock"."""
        stated = [one for one in self._now.left if one.kind == "evidence"]
        absent = all(
            one.quoted.denied if one.quoted is not None else all(said.negation for said in one.statements)
            for one in stated
        )
        return bool(stated) and absent and self._text[max(0, part.start - 4) : part.start].lower() == " to "

    def _subject(self, part: Part) -> list[Part]:
        """The evidence of a verb without a subject of its own."""
        before, _ = _sides(self._last)
        if self._turn >= 0 and before and _ELIDED.fullmatch(self._text[self._turn : part.start]):
            return before
        return (before or self._earlier) if self._pronoun else []

    def _add_word(self, part: Part) -> None:
        now = self._now
        if part.kind == "negations":
            if now.is_complete:
                self._close()
            elif now.verb and not now.right:
                now.void, now.negated = now.void or now.negated, True
                return
            self._negation = True
            self._strong = self._strong or part.key in self._words.strong
        elif part.kind == "relatives":
            self._negation = False
            self._pronoun = self._pronoun or not now.left
        elif part.kind == "pronouns":
            objects = _of(now.left, _DISEASE) if now.verb and not now.right else []
            if objects:  # "Shock was considered, and the vital signs support it"
                now.left = [one for one in now.left if one not in objects]
                now.right = objects
            self._pronoun = not objects
        elif part.kind == "also":
            self._adding = now.is_complete
        elif part.kind == "breaks":
            if now.is_complete:
                self._close()
            self._negation = self._strong = False
            self._turn = part.end

    def _close(self) -> None:
        """End the open argument."""
        now = self._now
        evidence, diseases = _sides(now)
        if now.verb == "mentions":
            evidence = _of(evidence, frozenset(("source",)))
        elif any(one.kind == "evidence" for one in evidence):
            evidence = _of(evidence, frozenset(("evidence",)))
        if not evidence and now.negated and not _of(now.left, _DISEASE):
            # "Heart rate does not fit Shock" is about something that is not read here.
            lead = self._text[max(self._start, self._turn) : now.start]
            now.void = now.void or _BARE.fullmatch(lead) is None
        if now.verb and diseases and not now.void and (evidence or now.verb != "unlikely"):
            source = NOTE if now.verb == "mentions" else ""
            own = [one for one in (*now.left, *now.right) if one.start >= self._start]
            start = min([one.start for one in own] + ([now.start] if now.start >= 0 else []))
            span = (start, max(one.end for one in own))
            self._done.append(Raw(tuple(evidence), tuple(diseases), now.negated, span, source))
        if now.verb:
            self._last = now
        self._now = _Open()
        self._strong = self._adding = False
