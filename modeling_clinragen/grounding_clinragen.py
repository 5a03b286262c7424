"""The texts that a rationale about one patient can be: those that hold nothing but what the patient's data hold.

- Between quotation marks stands text of the note; where spans of it are given, text of these spans.
- A number is one of the named variable's series (see `SeriesNumbers`).
- A variable that was never measured can't be spoken of, except as not measured.

`GroundedConstraint` makes a model write nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .numbers_clinragen import SeriesNumbers, VariableNames
from .processing_clinragen import NO_DIAGNOSIS
from .quotable_clinragen import Quotable
from .sentences_clinragen import CLOSING_MARKS, MAX_QUOTATION, QUOTATION, QUOTATION_MARKS
from .support_clinragen import DiseaseNames, Support

NOT_MEASURED = (" was not measured", " were not measured", " was never measured", " is not measured")
_SENTENCE_END = ".!?"
_WORDS = re.compile(r"(?:(?![\d_])[\w \-,;:()/'])+")
# Words in running text behind which something has to be looked at: they ask for a number or a disease, state a share
# or a level, or may be the unit of a number.
_WATCHED = re.compile(
    r"(?:hours?|about|near|around|approximately|roughly|every|each|all|most|some|few|several|once|high|low"
    r"|fits?|points?\s+to|supports?|keeping\s+with|consistent\s+with|suggestive\s+of|indicative\s+of|and\b|or\b"
    r"|(?<=\d) ?(?:[^\W\d_]+|[%°]))"
)
_SIGNS = ("%", "°")
# Letters that may begin a name, and misplaced marks.
_SHARP = re.compile(r"[A-Z]|[ ,;:(.][,;:]|  ")
# How far back one of the words may end.
_WATCHED_BEFORE = 40
# Behind a quotation and these words comes a further one.
_FURTHER = re.compile(rf"[{CLOSING_MARKS}],?\s+(?:and|or)\Z")
# "from hour" may go on with an s.
_PLURAL = ("hour", "Hour")
# Longest name of a variable, in characters: what a name that has just ended is searched in.
_TAIL = 64
_QUOTED = re.compile(f"[^{CLOSING_MARKS}]+")
# No comma or full stop stands behind these, and no capital behind so many small letters.
_OPEN = " ,;:(."
_GLUED = 3
# From so many characters on, the beginning of a disease's name is taken for one, except where a sentence begins.
_TELLING = 4


@dataclass(frozen=True)
class Facts:
    """The data of one patient that a rationale may draw on.

    Args:
        note: The note as the model is shown it; "" where there is none.
        spans: Parts of the cleaned note that may be quoted, as (start, end) characters; None for all of it.
        series: `hours` `(steps,)` and `values` `(steps, variables)`, or None where there are no measurements.
        support: Which diseases the note and the series support; None where that is not known.
    """

    note: str = ""
    spans: Sequence[tuple[int, int]] | None = None
    series: Mapping[str, Any] | None = None
    support: Support | None = None


class State(NamedTuple):
    """Where a rationale stands.

    Args:
        mode: "free", "quotation" (`places` in the note, `length` so far), "number" (`number` so far, of `numbers`),
            "over" (nothing may follow).
        sentence: The current sentence so far.
        finished: The sentences that have ended.
        listed: The diagnoses; None where they are not known yet.
        name: A disease's name as far as it has been written.
        literals: Where given, one of these texts has to follow.
    """

    mode: str = "free"
    sentence: str = ""
    finished: tuple[str, ...] = ()
    listed: frozenset[str] | None = None
    name: str = ""
    places: tuple[int, ...] = ()
    length: int = 0
    number: str = ""
    numbers: frozenset[str] = frozenset()
    literals: tuple[str, ...] = ()


@dataclass
class Grounding:
    """The texts that a rationale about one patient can be, read character by character.

    Args:
        facts: The patient.
        names: The variables' names.
        numbers: The patient's numbers.
        diseases: The configured diseases.
    """

    facts: Facts
    names: VariableNames
    numbers: SeriesNumbers
    diseases: Sequence[str] = ()
    quotable: Quotable = field(init=False)
    named: DiseaseNames = field(init=False)
    _unmeasured: re.Pattern[str] | None = field(init=False)
    _spoken: re.Pattern[str] | None = field(init=False)

    def __post_init__(self) -> None:
        self.quotable = Quotable(self.facts.note, self.facts.spans, whole=self.facts.support is not None)
        # That there is none belongs to the list.
        self.named = DiseaseNames((*self.diseases, NO_DIAGNOSIS), self.names, self.facts.support, NO_DIAGNOSIS)
        never = [number for number, measured in enumerate(self.numbers.measured) if not measured]
        words = sorted(self.names.of(never), key=len, reverse=True)
        self._unmeasured = (
            re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, words))})(?!\w)", re.IGNORECASE) if words else None
        )
        # Finds them, and some more, faster.
        self._spoken = re.compile("|".join(re.escape(word.lower()) for word in words)) if words else None

    def after(self, state: State, text: str) -> State | None:
        """The state behind more text; None where that text is not possible."""
        place = 0
        while place < len(text):
            end, reached = place, None
            # Runs of words in which nothing has to be looked at, whole names and quoted words are the most of a text.
            if state.mode == "quotation" and not state.literals:
                end, reached = self._quoted(state, text, place)
            elif state.mode == "free" and not state.literals and not state.name:
                end = self._plain(state, text, place)
                if end > place:
                    reached = state._replace(sentence=state.sentence + text[place:end])
                elif not state.sentence[-1:].isalnum():
                    name = self._whole_name(state, text, place)
                    end += len(name)
                    reached = state._replace(sentence=state.sentence + name, name=name)
            if end == place:
                end, reached = place + 1, self._after(state, text[place])
            if reached is None:
                return None
            place, state = end, reached
        return state

    def _quoted(self, state: State, text: str, place: int) -> tuple[int, State | None]:
        """The end of the quoted words from a place on, and the state behind them."""
        found = _QUOTED.match(text, place)
        if found is None:
            return place, None
        words = found.group()
        places = self.quotable.behind(state.places, words)
        length = state.length + len(words)
        sentence = state.sentence + words
        fits = places and length <= MAX_QUOTATION
        return found.end(), state._replace(sentence=sentence, places=places, length=length) if fits else None

    def _plain(self, state: State, text: str, place: int) -> int:
        """The end of the letters and blanks from a place on that go on with the sentence whatever they are."""
        run = _WORDS.match(text, place)
        sentence = state.sentence
        if run is None or (text[place].isspace() and ended(sentence)):
            return place
        if sentence and sentence[-1] in CLOSING_MARKS and text[place].isalnum():
            return place
        tail = sentence[-_TAIL:]
        watched, border = tail + run.group(), len(tail)
        sharp = _SHARP.search(watched, max(0, border - 1))
        end = run.end() if sharp is None else place + max(0, sharp.start() - border)
        folded = watched.lower()
        if len(folded) != len(watched):
            # Of a few letters the small one is longer.
            return place
        for pattern in (_WATCHED, self._spoken):
            for found in pattern.finditer(folded, max(0, border - _WATCHED_BEFORE)) if pattern else ():
                if found.end() > border:
                    # The last letter is looked at, and what stands behind it.
                    end = min(end, place + max(0, found.end() - 1 - border))
                    break
                if tail[found.end() :].isspace() or found.end() == border:
                    return place
        return end

    def _whole_name(self, state: State, text: str, place: int) -> str:
        """The whole name of a disease that stands at a place in a text and may be written there, or ""."""
        sentence = state.sentence
        name = self.named.whole(text, place)
        if not name or name not in self.named.allowed(sentence, state.listed) or _misspelt(sentence, name[0]):
            return ""
        demanded = self.named.demanded(sentence, state.listed)
        fits = demanded is None or name in demanded
        return name if fits and self.numbers.demand(sentence) == "no" else ""

    def continuations(self, state: State) -> Sequence[str] | None:
        """Where only certain texts may follow, these texts, or what they begin with; None where others may.

        Those of a quotation are not among them: see `Quotable`.
        """
        if state.literals:
            return state.literals
        if state.mode == "number" and _whole(state) is None:
            return [number[len(state.number) :] for number in state.numbers]
        if state.mode != "free":
            return None
        asked = self.numbers.demand(state.sentence)
        if asked == "at once":
            return sorted(self.numbers.possible(state.sentence) or ())
        if asked == "yes":
            before = (" ", "s ") if state.sentence.endswith(_PLURAL) else (" ",)
            numbers = self.numbers.possible(state.sentence + " ") or ()
            return sorted(blank + number for number in numbers for blank in before)
        demanded = self.named.demanded(state.sentence, state.listed)
        return None if demanded is None else sorted(demanded)

    def concluded(self, state: State) -> bool:
        """Whether the whole name of a disease has just been written."""
        return state.mode == "free" and state.name in self.named.names and self._name_holds(state)

    def complete(self, state: State) -> bool:
        """Whether the rationale may end here."""
        if state.mode == "number":
            return _whole(state) is not None
        if state.mode == "free":
            return self._name_holds(state) and not state.literals and not self._forbidden(state.sentence)
        return state.mode == "over"

    def _after(self, state: State, character: str) -> State | None:
        bound = bool(state.literals)
        if bound:
            left = tuple(text[1:] for text in state.literals if text[:1] == character)
            if not left:
                return None
            state = state._replace(literals=() if "" in left else left)
        if state.mode == "over":
            return state if character.isspace() else None
        if state.mode == "quotation":
            return self._in_quotation(state, character)
        if state.mode == "number":
            return self._in_number(state, character)
        return self._in_text(state, character, bound)

    def _in_text(self, state: State, character: str, bound: bool = False) -> State | None:
        sentence = state.sentence
        before = sentence[-1:]
        name = self._name(state, character)
        demanded = self.named.demanded(sentence, state.listed)
        if demanded is not None and not any(one.startswith(character) for one in demanded):
            return None
        if name is None or _misspelt(sentence, character):
            return None
        state = state._replace(mode="free", sentence=sentence + character, name=name, number="", numbers=frozenset())
        if not bound and before.isalnum() and not character.isalnum() and self._forbidden(sentence):
            left = tuple(text[1:] for text in NOT_MEASURED if text[0] == character)
            return state._replace(literals=left) if left else None
        if character in QUOTATION_MARKS:
            places = () if before.isalnum() else self._quotable(sentence, state.listed)
            return state._replace(mode="quotation", places=places, length=0) if places else None
        if character.isdecimal() and not before.isalpha():
            return self._begun(state, sentence, character)
        if sentence.strip() and (character == "\n" or (character.isspace() and ended(sentence))):
            # A model that repeats itself would go on until the limit.
            said = sentence.strip(" .!?")
            finished = (*state.finished, said)
            return State(
                "over" if said in state.finished else "free", "", finished, state.listed, literals=state.literals
            )
        if before.isalnum() and not character.isalnum() and self.numbers.overstates(sentence):
            return None
        if (before.isalpha() or before in _SIGNS) and not character.isalnum() and self.numbers.misnames(sentence):
            return None
        asked, asks = self.numbers.demand(sentence), self.numbers.demand(state.sentence)
        # "from hour" goes on with a blank, or an s, and then with a number.
        unanswered = (asked == "yes" and asks == "no") or (asked == "at once" and not character.isspace())
        if unanswered or asks == "in vain" or self._leads_nowhere(state):
            return None
        return state

    def _leads_nowhere(self, state: State) -> bool:
        """Whether a disease or a further quotation has to follow, and there is none."""
        if self.named.leads_nowhere(state.sentence, state.listed):
            return True
        further = self.facts.support is not None and state.sentence[-1:] in "dr" and _FURTHER.search(state.sentence)
        return bool(further) and not self._quotable(state.sentence, state.listed)

    def _quotable(self, sentence: str, listed: frozenset[str] | None) -> tuple[int, ...]:
        """Where a quotation may begin: in parts that are new in the sentence, and may support one disease with it."""
        quoted = _quotations(sentence)
        if self.facts.support is None and not quoted:
            return self.quotable.starts
        return self.quotable.starts_in(lambda part: part not in quoted and self.named.fits(part, sentence, listed))

    def _name(self, state: State, character: str) -> str | None:
        """The name that is being written behind one more character, or ""; None where that name is not possible."""
        longer = state.name + character
        if not state.name and (state.sentence[-1:].isalnum() or not self.named.begun(character)):
            return ""
        if self.named.begun(longer):
            before = state.sentence[: len(state.sentence) - len(state.name)]
            if len(longer) < _TELLING or not before.strip():
                return longer
            allowed = self.named.allowed(before, state.listed)
            return longer if any(name.startswith(longer) for name in allowed) else None
        return "" if character.isalnum() or self._name_holds(state) else None

    def _name_holds(self, state: State) -> bool:
        """Whether what has been written of a name is none, or one that the sentence before it allows."""
        if state.name not in self.named.names:
            return True
        before = state.sentence[: len(state.sentence) - len(state.name)]
        return state.name in self.named.allowed(before, state.listed)

    def _begun(self, state: State, before: str, character: str) -> State | None:
        possible = self.numbers.possible(before)
        if possible is None:
            return state
        left = frozenset(number for number in possible if number.startswith(character))
        return state._replace(mode="number", number=character, numbers=left) if left else None

    def _in_number(self, state: State, character: str) -> State | None:
        sentence, longer = state.sentence + character, state.number + character
        if character.isdecimal() or character == ".":
            left = frozenset(number for number in state.numbers if number.startswith(longer))
            if left:
                return state._replace(sentence=sentence, number=longer, numbers=left)
            if character.isdecimal() or _whole(state) is None:
                return None
            # The full stop ends the sentence.
            return state._replace(sentence=sentence, number=longer, numbers=frozenset((state.number,)))
        if _whole(state) is None or character.isalpha():
            return None
        return self._in_text(state, character)

    def _in_quotation(self, state: State, character: str) -> State | None:
        sentence = state.sentence + character
        if character in CLOSING_MARKS:
            quoted, words = sentence[-state.length - 2 : -1], sentence[: -state.length - 2]
            # The same words twice are no further evidence.
            closes = state.length > 0 and self.quotable.ends(state.places) and quoted[1:] not in _quotations(words)
            return State("free", sentence, state.finished, state.listed) if closes else None
        places = self.quotable.behind(state.places, character)
        if not places or state.length >= MAX_QUOTATION:
            return None
        return state._replace(sentence=sentence, places=places, length=state.length + 1)

    def _forbidden(self, sentence: str) -> bool:
        tail = sentence[-_TAIL:]
        return self._unmeasured is not None and any(
            found.end() == len(tail) for found in self._unmeasured.finditer(tail)
        )


def ended(sentence: str) -> bool:
    """Whether a blank ends the sentence, as `sentence_spans` sees it."""
    last = sentence.rstrip(")]")[-1:]
    return bool(last) and last in _SENTENCE_END


def _misspelt(text: str, character: str) -> bool:
    """Whether a character can't follow: a model whose best tokens are not possible writes on without a word's end."""
    if character == "\ufffd" or not (character.isprintable() or character == "\n"):
        # Half of a character, or one that nobody sees.
        return True
    if character in ",;:.":
        return text[-1:] in _OPEN and bool(text)
    if character.isalnum() and text and text[-1] in CLOSING_MARKS:
        return True
    if character == " ":
        # "Heart rate is  Heart rate is"
        return text[-1:] == " "
    return character.isupper() and len(text) >= _GLUED and text[-_GLUED:].isalpha() and text[-_GLUED:].islower()


def _quotations(text: str) -> list[str]:
    return [found["words"] for found in QUOTATION.finditer(text)]


def _whole(state: State) -> str | None:
    """The number that stands whole at the end of the text, with or without a full stop behind it."""
    return next((number for number in (state.number, state.number[:-1]) if number in state.numbers), None)


__all__ = ["NOT_MEASURED", "Facts", "Grounding", "Quotable", "State", "ended"]
