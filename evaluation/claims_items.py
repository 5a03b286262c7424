"""A rationale as a row of items: names, levels, numbers with units, times, counts, negations, and what is between."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from evaluation.claims_lexicon import NUMBER_WORDS, ORDINALS, Entry, Lexicon, fold_unit, read_number
from evaluation.claims_types import Quantifier, Quantity, When

# Stands for what is not read: quotations, disease names, masked phrases. No word and no gap of a phrase contains it.
BLANK = "\x01"

_QUOTE = re.compile(r"[\"“”„«][^\"“”„«»\n]{0,400}[\"“”»]")
_WORDS = "|".join(sorted((word for word in [*NUMBER_WORDS, "hundred", "thousand"]), key=len, reverse=True))
_WHOLE = rf"(?:\d{{1,6}}(?!\d|\.\d)|(?:{_WORDS})(?:[ -](?:{_WORDS})){{0,5}}(?![a-z]))"
_DECIMAL = r"\d{1,5}(?:\.\d{1,3})?"
_HOUR = rf"(?:{_DECIMAL}|(?:{_WORDS})(?:[ -](?:{_WORDS}))?)"
_H = r"(?:hours?|hrs?|h)\b"
_ABOUT = r"(?P<about>about |approximately |around |roughly |near |~ ?)?"
_NOUNS = r"(?:readings?|measurements?|values?|times|time points?|timepoints?|time|occasions?|checks?|samples?|instances?)"
_RUNS = r"(?:episodes?|spells?|bouts?|spikes?|dips?)"


@dataclass(frozen=True, slots=True)
class Item:
    """One piece of a text. `kind` is that of an `Entry`, or "number", "pair", "span", "word", "comma", "stop" ..."""

    kind: str
    start: int
    end: int
    entry: Entry | None = None
    other: Entry | None = None  # a second meaning of the same word ("increased": level or trend)
    text: str = ""
    numbers: tuple[Quantity, ...] = ()
    joined: str = ""


def _regex(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def _window(first: float, last: float, about: bool = False) -> When:
    return When("window", first, last, about)


def _hour(found: re.Match[str], name: str = "a") -> float:
    return read_number(found[name])


def _day(found: re.Match[str]) -> When:
    day = read_number(found["a"])
    return _window(24 * (day - 1), 24 * day)


def _hours_of(found: re.Match[str]) -> float:
    return read_number(found["a"] or "one") * (24 if found["unit"].lower().startswith("d") else 1)


_DAY_OR_HOUR = r"(?P<unit>hours?|hrs?|h|days?)\b"
# In this order: the first pattern that fits a place wins.
_TIMES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], When | None]], ...] = (
    (
        _regex(
            rf"\b(?:from |between |during |over |in |since )?{_ABOUT}hours? (?P<a>{_HOUR})\s?"
            rf"(?:-|–|to|and|through|until|till)\s?(?:about )?(?:hours? )?(?P<b>{_HOUR})\b(?!\s?%)"
        ),
        lambda found: _window(_hour(found), _hour(found, "b"), bool(found["about"])),
    ),
    (
        _regex(
            rf"\b(?:from|since|starting(?: at| from| in)?|beginning(?: at| from)?|begins at|onset (?:at|in)|as of)\s{_ABOUT}(?:{_H} (?P<a>{_HOUR})|(?P<b>{_HOUR}) ?{_H})"
            r"(?: onwards?| on\b(?! \d))?"
        ),
        lambda found: When("from", read_number(found["a"] or found["b"]), approximate=bool(found["about"])),
    ),
    (
        _regex(
            rf"\b(?:until|till|up to|through|ending at|ends at|resolving (?:by|at))\s{_ABOUT}(?:{_H} (?P<a>{_HOUR})|(?P<b>{_HOUR}) ?{_H})"
        ),
        lambda found: When("until", read_number(found["a"] or found["b"]), approximate=bool(found["about"])),
    ),
    (
        _regex(
            rf"\b(?:before|prior to|by|within|in|during|over|throughout|for) (?:the )?(?:first|initial|opening)(?: (?P<a>{_HOUR}))? {_DAY_OR_HOUR}"
        ),
        lambda found: _window(0.0, _hours_of(found)),
    ),
    (
        _regex(rf"\b(?:the )?(?:first|initial|opening) (?P<a>{_HOUR}) {_DAY_OR_HOUR}"),
        lambda found: _window(0.0, _hours_of(found)),
    ),
    (
        _regex(
            rf"\b(?:(?:in|over|during|for|within|throughout) )?(?:the )?(?:last|final|closing)(?: (?P<a>{_HOUR}))? {_DAY_OR_HOUR}"
        ),
        lambda found: When("final", _hours_of(found)),
    ),
    (
        _regex(rf"\b(?:before|prior to)\s{_ABOUT}(?:{_H} (?P<a>{_HOUR})|(?P<b>{_HOUR}) ?{_H})"),
        lambda found: _window(0.0, read_number(found["a"] or found["b"]) - 0.01),
    ),
    (
        _regex(
            rf"\b(?:by|within)\s{_ABOUT}(?:{_H} (?P<a>{_HOUR})|(?P<b>{_HOUR}) ?{_H})(?: of (?:admission|arrival))?"
        ),
        lambda found: _window(0.0, read_number(found["a"] or found["b"])),
    ),
    (
        _regex(
            rf"\b{_ABOUT}(?P<a>{_HOUR})[ -]?{_H} (?:after (?:icu )?(?:admission|arrival)|into (?:the |his |her )?(?:icu )?(?:stay|admission|course)|post[- ]admission)"
        ),
        lambda found: When("at", _hour(found), approximate=bool(found["about"])),
    ),
    (
        _regex(rf"\b(?:after|past|beyond)\s(?:the first )?{_ABOUT}(?:{_H} (?P<a>{_HOUR})|(?P<b>{_HOUR}) ?{_H})"),
        lambda found: _window(read_number(found["a"] or found["b"]) + 0.01, float("inf")),
    ),
    (_regex(rf"\b(?:on |during |by )?(?:hospital |icu |the )?day (?P<a>{_HOUR})\b"), _day),
    (_regex(rf"\b(?:on |during )the (?P<a>{'|'.join(ORDINALS)}) (?:hospital |icu )?day\b"), _day),
    (
        _regex(rf"\b(?:at|around|near)\s{_ABOUT}(?:{_H} (?P<a>{_HOUR})|(?P<b>{_HOUR}) ?{_H})"),
        lambda found: When("at", read_number(found["a"] or found["b"]), approximate=bool(found["about"])),
    ),
    (_regex(rf"\b{_ABOUT}hour (?P<a>{_HOUR})\b"), lambda found: When("at", _hour(found))),
    # A duration or an interval says nothing about when.
    (_regex(rf"\b(?:for|every|each|lasting|per)\s{_ABOUT}(?:{_HOUR}[ -]?)?(?:{_H}|minutes?\b|days?\b)"), lambda _: None),
    (_regex(rf"\b{_HOUR}[ -](?:hours?|hrs?|minutes?|days?|weeks?|years?|months?)\b"), lambda _: None),
)

_OPERATORS = (
    (_regex(r"at least|no (?:less|fewer) than|not less than|≥ ?"), ">="),
    (_regex(r"more than|over|greater than|> ?"), ">"),
    (_regex(r"at most|up to|no more than|not more than|≤ ?|a maximum of"), "<="),
    (_regex(r"less than|fewer than|under|< ?"), "<"),
    (_regex(r"about|approximately|around|nearly|almost|roughly|some|~ ?"), "~"),
)
_OPERATOR = (
    r"(?P<operator>at least|no less than|no fewer than|not less than|more than|over|greater than|at most|up to"
    r"|no more than|not more than|less than|fewer than|under|about|approximately|around|nearly|almost|roughly"
    r"|exactly|only|just)?\s?"
)
_OF = _regex(
    rf"\b(?:in |on |at |for )?{_OPERATOR}(?P<a>{_WHOLE}) (?:out )?of (?:the |all |all the |its |his |her |a total of )?"
    rf"(?P<b>{_WHOLE})(?: {_NOUNS}|(?= (?:\w+ ){{1,3}}{_NOUNS}))"
)
_SLASHED = _regex(rf"\b(?:in )?(?P<operator>)(?P<a>\d{{1,4}}) ?/ ?(?P<b>\d{{1,4}}) (?:of (?:the )?)?{_NOUNS}")
_TIMES_COUNT = _regex(
    rf"\b(?:in |on |at |for )?{_OPERATOR}(?P<a>{_WHOLE}) (?:(?:separate|distinct|different|single|recorded|of the|of all) )?"
    rf"(?P<noun>{_NOUNS}|{_RUNS})\b(?! (?:higher|lower|the|normal|as|more|less|a day|daily|per))"
)
_BEFORE_NOUN = _regex(
    rf"\b{_OPERATOR}(?P<a>{_WHOLE}) (?=(?:(?!and |or |to |of |per |times )[a-z0-9]+ ){{1,3}}(?P<noun>{_NOUNS}|{_RUNS})\b)"
)
_ONCE = _regex(
    rf"\b{_OPERATOR}(?P<a>once|twice|thrice)\b(?=\s*(?:[.,;:)]|$|at |in |on |during |after |before |and |from |until "
    r"|above |below |over |with |around |near |only|but |up |down |which |without |peaking |lowest ))"
)
_PERCENT = _regex(rf"\b(?:in |on )?{_OPERATOR}(?P<a>{_DECIMAL}) ?(?:%|percent) of (?:the |all |all the |its )?{_NOUNS}")
_MULTIPLES = {"once": 1, "twice": 2, "thrice": 3}
_COUNTS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Quantifier]], ...] = (
    (_OF, lambda found: _counted(found, int(read_number(found["a"])), int(read_number(found["b"])))),
    (_SLASHED, lambda found: _counted(found, int(found["a"]), int(found["b"]))),
    (_TIMES_COUNT, lambda found: _counted(found, int(read_number(found["a"])))),
    (_BEFORE_NOUN, lambda found: _counted(found, int(read_number(found["a"])))),
    (_ONCE, lambda found: _counted(found, _MULTIPLES[found["a"].lower()])),
    (_PERCENT, lambda found: Quantifier(operator=_operator(found), share=float(found["a"]) / 100)),
)

_NUMBER = r"(?<![\w.])(?:\d{1,3}(?:,\d{3})+(?!\d)|\d{1,6})(?:\.\d{1,4})?(?![\w]*\d)"
_DECADE = _regex(r"(?<![\w.])(?P<part>(?:low|lower|mid|middle|high|upper)[ -])?(?P<a>\d{1,2}0)['’]?s\b")
_PAIR = re.compile(r"(?<![\w./])(?P<a>\d{2,3}) ?/ ?(?P<b>\d{2,3})(?![\w/]|\.\d)")
_PLAIN = re.compile(rf"{_NUMBER}")
_SYMBOLS = {"<": "below", ">": "above", "≤": "at_most", "≥": "at_least", "<=": "at_most", ">=": "at_least"}
_PIECE = re.compile(r"<=|>=|[<>≤≥]|[~≈±]|[A-Za-z][A-Za-z’']*|[,;:()/—–\n]|\.+|[!?]| - |[\x01]+")
_STOP_FOLLOWS = re.compile(r"\s*(?:$|\s[\x01\"“(]*[A-Z0-9\x01])")
_NEW_LINE = re.compile(r"\n\s*(?:$|[-*•\n]|[A-Z0-9\x01])")


def read_items(text: str, lexicon: Lexicon) -> list[Item]:
    """The items of a text in order; quotations and disease names are not read."""
    blanked = _blank(text, [_QUOTE, lexicon.diseases])
    masks = [match for match in lexicon.index.find(blanked) if match.owners[0].kind == "masks"]
    for match in masks:
        blanked = blanked[: match.start] + BLANK * (match.end - match.start) + blanked[match.end :]
    items: list[Item] = []
    blanked = _take_times(blanked, items)
    blanked = _take_counts(blanked, items)
    blanked = _take_numbers(blanked, items, lexicon)
    taken = bytearray(len(blanked) + 1)
    for item in items:
        taken[item.start : item.end] = b"\x01" * (item.end - item.start)
    for match in lexicon.index.find(blanked):
        entry = match.owners[0]
        other = match.owners[1] if len(match.owners) > 1 else None
        items.append(Item(entry.kind, match.start, match.end, entry, other, blanked[match.start : match.end]))
        taken[match.start : match.end] = b"\x01" * (match.end - match.start)
    items += _pieces(blanked, taken)
    return sorted(items, key=lambda item: item.start)


def _blank(text: str, patterns: list[re.Pattern[str]]) -> str:
    for pattern in patterns:
        text = pattern.sub(lambda found: BLANK * len(found.group()), text)
    return text


def _take_times(text: str, items: list[Item]) -> str:
    for pattern, make in _TIMES:
        found_here = list(pattern.finditer(text))
        for found in found_here:
            when = make(found)
            entry = Entry("time", when=when) if when is not None else Entry("filler")
            items.append(Item(entry.kind, *found.span(), entry, text=found.group()))
        if found_here:
            text = pattern.sub(lambda found: BLANK * len(found.group()), text)
    return text


def _take_counts(text: str, items: list[Item]) -> str:
    for pattern, make in _COUNTS:
        found_here = list(pattern.finditer(text))
        for found in found_here:
            entry = Entry("quantifier", quantifier=make(found))
            items.append(Item("quantifier", *found.span(), entry, text=found.group()))
        if found_here:
            text = pattern.sub(lambda found: BLANK * len(found.group()), text)
    return text


def _counted(found: re.Match[str], count: int, total: int | None = None) -> Quantifier:
    operator = _operator(found)
    if operator in (">", "<"):
        count, operator = (count + 1, ">=") if operator == ">" else (count - 1, "<=")
    noun = (found.groupdict().get("noun") or "").lower()
    return Quantifier(operator=operator, count=count, total=total, runs=bool(re.fullmatch(_RUNS, noun)))


def _operator(found: re.Match[str]) -> str:
    text = (found["operator"] or "").strip()
    for pattern, operator in _OPERATORS:
        if pattern.fullmatch(text):
            return operator
    return "="


def _take_numbers(text: str, items: list[Item], lexicon: Lexicon) -> str:
    """Numbers, "120/80", "60 to 80", "the low 120s"; each with the unit behind it."""
    numbers: list[Item] = []
    pieces = list(text)

    def take(kind: str, start: int, end: int, quantities: tuple[Quantity, ...], joined: str = "") -> None:
        unit = lexicon.unit_pattern.match(text, end)
        if unit is not None:
            end = unit.end()
            folded = fold_unit(unit["unit"])
            quantities = tuple(Quantity(item.low, item.high, item.decimals, folded) for item in quantities)
        numbers.append(Item(kind, start, end, text=text[start:end], numbers=quantities, joined=joined))
        pieces[start:end] = BLANK * (end - start)

    for found in _DECADE.finditer(text):
        take("number", *found.span(), (_decade(found),))
    for found in _PAIR.finditer("".join(pieces)):
        both = tuple(Quantity(float(found[name]), float(found[name]), 0) for name in ("a", "b"))
        take("pair", *found.span(), both)
    for found in _PLAIN.finditer("".join(pieces)):
        take("number", *found.span(), (_quantity(found.group()),))
    numbers.sort(key=lambda item: item.start)
    items += _joined(numbers, text)
    return "".join(pieces)


_BETWEEN = re.compile(r"\s?(?:-|–|—|−)\s?|\s(?:to|and|through)\s(?:about |approximately |around |near |~)?", re.IGNORECASE)
_LEAD = re.compile(r"\b(?P<word>from|between)\s(?P<about>about |approximately |around |near |roughly |~)?$", re.IGNORECASE)
_ABOUT_WORD = re.compile(r"about|approx|around|near|roughly|~", re.IGNORECASE)


def _joined(numbers: list[Item], text: str) -> list[Item]:
    """Two numbers with "to", "and" or a dash between become one span where they belong together."""
    result: list[Item] = []
    for item in numbers:
        before = result[-1] if result else None
        if before is not None and before.kind == item.kind == "number":
            gap = text[before.end : item.start]
            lead = _LEAD.search(text[max(0, before.start - 30) : before.start])
            word = lead["word"].lower() if lead else ""
            fits = _BETWEEN.fullmatch(gap)
            if fits and ("and" not in gap.lower() or word == "between"):
                about = bool(_ABOUT_WORD.search(gap)) or bool(lead and lead["about"])
                unit = item.numbers[0].unit or before.numbers[0].unit
                both = tuple(
                    Quantity(part.low, part.high, part.decimals, part.unit or unit, about)
                    for part in (*before.numbers, *item.numbers)
                )
                start = before.start - (len(lead.group()) if lead else 0)
                joined = word or ("to" if "to" in gap.lower() else "-")
                result[-1] = Item("span", start, item.end, text=text[start : item.end], numbers=both, joined=joined)
                continue
        result.append(item)
    return result


def _decade(found: re.Match[str]) -> Quantity:
    low = float(found["a"])
    part = (found["part"] or "").lower()
    third = {"l": (0.0, 3.9), "m": (3.0, 6.9), "h": (6.0, 9.9), "u": (6.0, 9.9)}.get(part[:1], (0.0, 9.9))
    return Quantity(low + third[0], low + third[1], -1)


def _quantity(text: str) -> Quantity:
    _, _, fraction = text.partition(".")
    value = float(text.replace(",", ""))
    return Quantity(value, value, len(fraction))


def _pieces(text: str, taken: bytearray) -> list[Item]:
    """Marks and the words that no phrase has taken."""
    items: list[Item] = []
    for found in _PIECE.finditer(text):
        start, end = found.span()
        if taken[start]:
            continue
        piece = found.group()
        if piece in _SYMBOLS:
            items.append(Item("compare", start, end, Entry("compare", _SYMBOLS[piece])))
        elif piece in "~≈±":
            items.append(Item("approximately", start, end))
        elif piece[0] == BLANK:
            items.append(Item("blank", start, end))
        elif piece[0] in ".!?":
            if _STOP_FOLLOWS.match(text, end) or len(piece) > 1:
                items.append(Item("stop", start, end))
        elif piece == "\n":
            if _NEW_LINE.match(text, start):
                items.append(Item("stop", start, end))
        elif piece == ";":
            items.append(Item("break", start, end))
        elif piece == ":":
            items.append(Item("colon", start, end))
        elif piece in ("—", " - ", "–", ","):
            items.append(Item("comma", start, end))
        elif piece == "/":
            items.append(Item("conjunction", start, end, Entry("conjunction", "/")))
        elif piece not in "()":
            kind = "soft" if piece.lower().endswith(("ly", "ing", "ed")) else "word"
            items.append(Item(kind, start, end, text=piece))
    return items
