"""The review of one patient's rationale: sentences are accepted in order, refused ones are replaced or withheld."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from clinragen.claims.sentences import CheckedSentence, SentenceChecker
from clinragen.claims.types import SUPPORTED, Claim
from clinragen.verification.missing import Gap
from modeling_clinragen.sentences_clinragen import QUOTATION, QUOTATION_MARKS, sentence_spans

_SENTENCE_ENDS = (".", "!", "?", '."', ".”", ".)")
# What a small model writes where it loses the thread: a word that nothing follows, a share as an hour, two statements
# in one.
_SLIPS = (
    re.compile(r"\b(?:is|are|was|were|and|or|of|with|to|near|from|until|in|the)[.!?]\Z", re.IGNORECASE),
    re.compile(r"\bhours?\s+\d+(?:\.\d+)?\s*%", re.IGNORECASE),
    re.compile(rf"\b(?:is|are|was|were)\s+(?:high|low|normal)\s+[{QUOTATION_MARKS}]", re.IGNORECASE),
)


class Review:
    """One rationale under review.

    Args:
        checker: The patient's checker.
        rationale: The rationale as drafted.
    """

    def __init__(self, checker: SentenceChecker, rationale: str) -> None:
        self._checker = checker
        self.accepted: list[CheckedSentence] = []
        self.withheld: list[CheckedSentence] = []
        self.refused: CheckedSentence | None = None
        self.rewritten = self.asked = self.tries = 0
        self._pending = checker.check(rationale)
        self._moved = False
        self._advance()

    @property
    def text(self) -> str:
        """The accepted sentences as one text."""
        return " ".join(sentence.text for sentence in self.accepted)

    def offer(self, texts: Sequence[str]) -> None:
        """Put the first of the texts that holds in the refused sentence's place, and go on behind it.

        `tries` counts the texts.
        """
        self.tries += len(texts)
        found = self._first(texts)
        if found is not None:
            self.accepted.append(found)
            self.rewritten += 1
            self._go_on()

    def withhold(self) -> None:
        """Leave the refused sentence out, and go on behind it."""
        if self.refused is not None:
            self.withheld.append(self.refused)
        self._go_on()

    def add(self, texts: Sequence[str], gap: Gap) -> None:
        """Add the first of the texts that holds and fills a gap."""
        found = self._first(texts, gap)
        if found is not None:
            self.accepted.append(found)
            self.asked += 1

    def _go_on(self) -> None:
        self.refused = None
        self.tries = 0
        self._moved = True
        self._advance()

    def _advance(self) -> None:
        """Accept the sentences that are pending up to the first that is refused."""
        for number, pending in enumerate(self._pending):
            if not adds(pending, self.accepted):
                self._moved = True
                continue
            # A pronoun may refer to a sentence before that is another one now.
            check = self._checker.check_next(self.accepted, pending.text) if self._moved else None
            sentence = check if check is not None else self._checker.follow(self.accepted, pending)
            self._moved = False
            if not holds(sentence):
                self.refused = sentence
                self._pending = self._pending[number + 1 :]
                return
            self.accepted.append(sentence)
        self._pending = []

    def _first(self, texts: Sequence[str], gap: Gap | None = None) -> CheckedSentence | None:
        """The first sentence of the first text in which it is new, holds, and fills the gap, if there is one."""
        for text in texts:
            spans = sentence_spans(text)
            first = text[slice(*spans[0])] if spans else ""
            if not is_sentence(first) or any(first == sentence.text for sentence in self.accepted):
                continue
            sentence = self._checker.check_next(self.accepted, first)
            if holds(sentence) and adds(sentence, self.accepted) and (gap is None or gap.filled([sentence])):
                return sentence
        return None


def holds(sentence: CheckedSentence) -> bool:
    """Whether a sentence may be shown: it is whole, claims something, and all of it is supported."""
    return sentence.verdict == SUPPORTED and is_sentence(sentence.text)


def is_sentence(text: str) -> bool:
    """Whether a text reads as one finished sentence, whatever it claims."""
    if not text.endswith(_SENTENCE_ENDS) or any(slip.search(text) for slip in _SLIPS):
        return False
    quotations = [found.span() for found in QUOTATION.finditer(text)]
    between = [text[end:start] for (_, end), (start, _) in pairwise(quotations)]
    said = re.findall(r"[^\W\d_]+", QUOTATION.sub(" ", text))
    return any(word.lower() not in ("and", "or") for word in said) and all(part.strip() for part in between)


def adds(sentence: CheckedSentence, before: Sequence[CheckedSentence]) -> bool:
    """Whether a sentence claims anything that those before it do not; one without a claim counts as new."""
    if any(sentence.text == other.text for other in before):
        return False
    said = {_gist(claim) for other in before for claim in other.claims}
    return not sentence.claims or not {_gist(claim) for claim in sentence.claims} <= said


def _gist(claim: Claim) -> tuple[str | None, ...]:
    # The words of a tie are those of its whole argument; what it is about stands in the reason.
    argued = claim.kind in ("tie", "absence")
    said = claim.evidence.reason if argued else claim.text.casefold()
    return claim.kind, claim.variable, claim.disease, said
