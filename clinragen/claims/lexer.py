"""A text as a row of tokens: names, levels, numbers with units, times, counts, negations, and what is between."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

from clinragen.claims.delivered import name_delivered
from clinragen.claims.implied import name_implied
from clinragen.claims.lexicon import Lexicon, Meaning, fold_unit
from clinragen.claims.patterns import NUMBER_WORDS, UNREAD, Patterns, Search, load_patterns, read_number
from clinragen.claims.quotations import QUOTATION
from clinragen.claims.tokens import Token
from clinragen.claims.types import Quantity
from clinragen.text.term_index import fold_word
from modeling_clinragen.sentences_clinragen import sentence_spans

T = TypeVar("T")

# Stands for what is not read: quotations, disease names, masked phrases. No word and no gap of a phrase contains it.
BLANK = "\x01"


# Last: a decimal comma ("37,0 °C"), and a point without a digit before it (".21").
_NUMBER = (
    r"(?<![\w.])(?:(?:\d{2,3},\d|\d,\d\d)(?=\s?[°%CF]|[;.)]|\s|$)(?!\s?\d)(?![\w]*\d)"
    r"|(?:\d{1,3}(?:,\d{3})+(?!\d)|\d{1,6})(?:\.\d{1,4})?(?![\w]*\d))|(?<!\S)\.\d{1,3}\b"
)
_DECIMAL_COMMA = re.compile(r"\d{2,3},\d|\d,\d\d")
_DECADE = re.compile(
    r"(?<![\w.])(?P<part>(?:low|lower|mid|middle|high|upper)[ -])?(?P<a>\d{1,2}0)['’]?s\b", re.IGNORECASE
)
_PAIR = re.compile(r"(?<![\w./])(?P<a>\d{2,3}) ?/ ?(?P<b>\d{2,3})(?![\w/]|\.\d)")
_HUNDREDS = 200
_TENS_WORDS = ("twenties", "thirties", "forties", "fifties", "sixties", "seventies", "eighties", "nineties")
_PLAIN_GROUPS = {"adjuncts": "adjunct", "body": "agent", "treatment": "agent", "drugs and devices": "agent"}
_TENS = re.compile(
    rf"(?<=the )(?P<part>(?:low|lower|mid|middle|high|upper)[ -])?(?P<a>{'|'.join(_TENS_WORDS)})\b", re.IGNORECASE
)
_PLAIN = re.compile(rf"{_NUMBER}")
_IN_WORDS = re.compile(rf"\b(?=[efnostz])(?:{'|'.join(NUMBER_WORDS)})(?= )", re.IGNORECASE)
_SYMBOLS = {"<": "below", ">": "above", "≤": "at_most", "≥": "at_least", "<=": "at_most", ">=": "at_least"}
_MARKS = {
    "then": ("arrow", Meaning("arrow"), None),
    "absent": ("mark", Meaning("negation", "plain"), None),
    "present": ("mark", Meaning("present"), None),
    "nothing": ("negation", Meaning("negation", "plain"), None),
    "order": ("goal", Meaning("goal", "order"), None),
    "general": ("general", Meaning("general"), None),
    "doubtful": ("doubted", Meaning("doubted"), None),
    "up": ("level", Meaning("level", "high"), Meaning("trend", "rising")),
    "down": ("level", Meaning("level", "low"), Meaning("trend", "falling")),
}
_PIECE = re.compile(r"<=|>=|[<>≤≥=|]|[~≈±]|[A-Za-z][A-Za-z’']*|[,;:()/—–\n]|\.+|[!?]| - |[\x01]+")
_ANSWER = re.compile(r"\s*(?:no|none|denie[sd]|negative|yes|positive)\b", re.IGNORECASE)
_UNIT_IN_BRACKETS = re.compile(r"\(\s?(?P<unit>[a-z°%/ ]{1,12})\s?\)", re.IGNORECASE)
_POINTS = re.compile(r"[ -]points?\b", re.IGNORECASE)
# "126 max. Sats: 94 min."
_EXTREME_BEHIND = re.compile(r"[\d\x01] ?%? ?(?:max|min|avg)\Z", re.IGNORECASE)
_NEXT_NAME = re.compile(r"\s*\Z|\s+[A-Z]")
_LAST_WORD = re.compile(r"[A-Za-z.]+\Z")


# "SpO₂" is written in both ways.
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
ReadSentence = Callable[[str, Lexicon], tuple[Token, ...]]


def tokenize(text: str, lexicon: Lexicon, read: ReadSentence | None = None) -> list[Token]:
    """The tokens of a text in order; quotations and disease names are not read.

    Args:
        text: Any text.
        lexicon: The meaning of its words.
        read: Reads one sentence, as `sentence_tokens` does; the caller's, where it keeps what it has read.
    """
    # Only behind a full stop: "Fever? None." and a name that breaks a line are read as a whole.
    cuts = [end for _, end in sentence_spans(text)[:-1] if text[end - 1] in ".!"]
    tokens: list[Token] = []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        tokens += [_moved(token, start) for token in (read or sentence_tokens)(text[start:end], lexicon)]
    return tokens


def _moved(token: Token, by: int) -> Token:
    if not by:
        return token
    start, end = token.start + by, token.end + by
    return Token(token.kind, start, end, token.meaning, token.other, token.text, token.numbers, token.joined)


def sentence_tokens(text: str, lexicon: Lexicon) -> tuple[Token, ...]:
    """The tokens of one sentence."""
    text = text.translate(_SUBSCRIPTS)
    blanked = _blank(text, [QUOTATION, lexicon.disease_names])
    pieces = list(blanked)
    masked: set[int] = set()
    for match in lexicon.phrases.find(blanked):
        if match.owners[0].kind == "masks":
            pieces[match.start : match.end] = BLANK * (match.end - match.start)
            masked.add(match.start)
    patterns = load_patterns()
    blanked, marks = _take("".join(pieces), patterns.marks)
    blanked, times = _take(blanked, patterns.times)
    blanked, counts = _take(blanked, patterns.counts)
    blanked = _UNIT_IN_BRACKETS.sub(lambda found: _without_unit(found, lexicon), blanked)
    tokens = [
        Token("time", *span, Meaning("time", when=when), text=text[slice(*span)])
        for span, points in times
        for when in points
    ]
    tokens += [Token("foreign", *span) for span, points in times if not points]
    tokens += [Token("quantifier", *span, Meaning("quantifier", quantifier=found)) for span, found in counts]
    for span, gives in marks:
        kind, meaning, other = _MARKS[gives]
        tokens.append(Token(kind, *span, meaning, other, text[slice(*span)]))
    blanked = _take_numbers(blanked, tokens, lexicon, patterns)
    taken = bytearray(len(blanked) + 1)
    for token in tokens:
        taken[token.start : token.end] = b"\x01" * (token.end - token.start)
    for match in lexicon.phrases.find(blanked):
        meaning = match.owners[0]
        other = match.owners[1] if len(match.owners) > 1 else None
        tokens.append(Token(meaning.kind, match.start, match.end, meaning, other, blanked[match.start : match.end]))
        taken[match.start : match.end] = b"\x01" * (match.end - match.start)
    tokens += _pieces(blanked, taken, lexicon, masked)
    tokens.sort(key=lambda token: token.start)
    named = [
        token
        if token.kind != "name" or len(token.text) > 1 or _leads_to_number(tokens, index)
        else Token("word", token.start, token.end, text=token.text)
        for index, token in enumerate(tokens)
    ]
    return tuple(name_delivered(name_implied(named, lexicon), lexicon))


def _leads_to_number(tokens: list[Token], index: int) -> bool:
    """ "T 38.5, P 110", "T spiked to 39": a letter is a name only if its number follows."""
    for token in tokens[index + 1 : index + 5]:
        if token.kind in ("number", "span") or (token.kind == "level" and not token.text[:1].isalpha()):
            return True
        if token.kind not in (
            *("trend", "extreme", "copula", "approximately", "compare", "filler", "colon"),
            *("negation", "stay", "level", "time"),
        ):
            return False
    return False


def _without_unit(found: re.Match[str], lexicon: Lexicon) -> str:
    """ "HR (bpm): 92": the unit says nothing."""
    known = any(fold_unit(found["unit"]) in units for units in lexicon.units.values())
    return " " * len(found.group()) if known else found.group()


def _blank(text: str, patterns: list[re.Pattern[str]]) -> str:
    for pattern in patterns:
        text = pattern.sub(lambda found: BLANK * len(found.group()), text)
    return text


def _take(
    text: str, patterns: Iterable[tuple[Search, Callable[[re.Match[str]], T]]]
) -> tuple[str, list[tuple[tuple[int, int], T]]]:
    """The text without what the patterns find, and what they found with its span; the first pattern takes first."""
    made: list[tuple[tuple[int, int], T]] = []
    regions: dict[re.Pattern[str] | None, list[tuple[int, int]]] = {}
    for search, make in patterns:
        # What is taken can only take places away: the regions of the first such pattern hold for the others.
        if search.near not in regions:
            regions[search.near] = search.regions(text)
        if not regions[search.near]:
            continue
        found_here = [
            found
            for start, end in regions[search.near]
            for found in search.pattern.finditer(text, start, end)
            if found.group()
        ]
        if not found_here:
            continue
        pieces, done = [], 0
        for found in found_here:
            made.append((found.span(), make(found)))
            pieces += [text[done : found.start()], BLANK * (found.end() - found.start())]
            done = found.end()
        text = "".join([*pieces, text[done:]])
    return text, made


def _take_numbers(text: str, tokens: list[Token], lexicon: Lexicon, patterns: Patterns) -> str:
    """Numbers, "120/80", "60 to 80", "the low 120s"; each with the unit behind it.

    "2 liters" is foreign, "2 bpm per hour" a rate that is not read.
    """
    numbers: list[Token] = []
    pieces = list(text)

    def take(kind: str, start: int, end: int, quantities: tuple[Quantity, ...], joined: str = "") -> None:
        unit = lexicon.unit_pattern.match(text, end)
        other = patterns.foreign.match(text, end)
        if other is not None and other.end() > max(end, unit.end() if unit is not None else end):
            kind, end = "foreign", other.end()
        elif unit is not None:
            end = unit.end()
            folded = fold_unit(unit["unit"])
            quantities = tuple(Quantity(one.low, one.high, one.decimals, folded) for one in quantities)
        points = _POINTS.match(text, end)
        end = points.end() if points is not None and kind == "number" else end  # "10 points lower"
        rate = patterns.rate.match(text, end)
        if rate is not None and kind != "foreign":
            tokens.append(Token("time", start, rate.end(), Meaning("time", when=UNREAD)))
            pieces[start : rate.end()] = BLANK * (rate.end() - start)
            return
        numbers.append(Token(kind, start, end, text=text[start:end], numbers=quantities, joined=joined))
        pieces[start:end] = BLANK * (end - start)

    for found in _IN_WORDS.finditer(text):  # "four kilograms"
        if lexicon.unit_pattern.match(text, found.end()) is not None:
            value = read_number(found.group())
            take("number", *found.span(), (Quantity(value, value, 0),))
    for found in _DECADE.finditer("".join(pieces)):
        take("number", *found.span(), (_decade(found),))
    for found in _TENS.finditer("".join(pieces)):
        low = 10.0 * (2 + _TENS_WORDS.index(found["a"].lower()))
        take("number", *found.span(), (_tens(low, found["part"]),))
    for found in _PAIR.finditer("".join(pieces)):
        both = tuple(Quantity(float(found[name]), float(found[name]), 0) for name in ("a", "b"))
        take("pair", *found.span(), both)
    for found in _PLAIN.finditer("".join(pieces)):
        signed = _PLUS.search(text, max(0, found.start() - 2), found.start())  # "+2.9 kg"
        take("number", signed.end() - 1 if signed else found.start(), found.end(), (_quantity(found.group()),))
    numbers.sort(key=lambda token: token.start)
    joined = _joined(numbers, text)
    for token in joined:
        if token.kind == "span":
            pieces[token.start : token.end] = BLANK * (token.end - token.start)
    tokens += joined
    return "".join(pieces)


_BETWEEN = re.compile(
    r"\s?(?:-|–|—|−)\s?|\s(?:to|till|until|and|through)\s(?:about |approximately |around |near |~)?", re.IGNORECASE
)
_PLUS = re.compile(r"(?:^|(?<=[\s:(]))\+\Z")
_DASH = re.compile(r"\s?[-–—−]\s?")
_LEAD = re.compile(
    r"\b(?P<word>from|between)\s(?P<about>about |approximately |around |near |roughly |~)?$", re.IGNORECASE
)
_ABOUT_WORD = re.compile(r"about|approx|around|near|roughly|~", re.IGNORECASE)


def _joined(numbers: list[Token], text: str) -> list[Token]:
    """Two numbers with "to", "and" or a dash between them become one span where they belong together."""
    result: list[Token] = []
    for token in numbers:
        before = result[-1] if result else None
        if before is not None and token.kind == "number" and _goes_on(result, text[before.end : token.start]):
            # "38.4 - 39.6 - 36.9": a row of values, not a range
            if before.kind == "span":
                result[-1:] = _apart(before)
            result += [Token("arrow", token.start, token.start, Meaning("arrow")), token]
            continue
        if before is not None and before.kind == "number" and token.kind in ("number", "foreign"):
            gap = text[before.end : token.start]
            lead = _LEAD.search(text[max(0, before.start - 30) : before.start])
            word = lead["word"].lower() if lead else ""
            fits = _BETWEEN.fullmatch(gap)
            if fits and token.kind == "foreign" and "and" not in gap.lower():
                result[-1] = Token("foreign", before.start, token.end)  # "2-3 liters"
                continue
            if token.kind == "foreign":
                result.append(token)
                continue
            if fits and ("till" in gap or "until" in gap) and word != "from":
                result.append(token)
                continue
            if fits and ("and" not in gap.lower() or word == "between"):
                about = bool(_ABOUT_WORD.search(gap)) or bool(lead and lead["about"])
                unit = token.numbers[0].unit or before.numbers[0].unit
                both = tuple(
                    Quantity(part.low, part.high, part.decimals, part.unit or unit, about)
                    for part in (*before.numbers, *token.numbers)
                )
                start = before.start - (len(lead.group()) if lead else 0)
                joined = word or ("to" if "to" in gap.lower() else "-")
                result[-1] = Token("span", start, token.end, text=text[start : token.end], numbers=both, joined=joined)
                continue
        result.append(token)
    return result


def _goes_on(before: list[Token], gap: str) -> bool:
    """Whether a dash goes on with a row of values that has two at least."""
    row = before[-1].kind == "span" and before[-1].joined == "-"
    row = row or (len(before) > 1 and before[-1].kind == "number" and before[-2].kind == "arrow")
    return row and _DASH.fullmatch(gap) is not None


def _apart(span: Token) -> list[Token]:
    """The numbers of a span with an arrow between them."""
    first, last = span.numbers
    middle = span.start + 1
    return [
        replace(span, kind="number", end=middle, numbers=(first,), joined=""),
        Token("arrow", middle, middle, Meaning("arrow")),
        replace(span, kind="number", start=middle, numbers=(last,), joined=""),
    ]


def _decade(found: re.Match[str]) -> Quantity:
    return _tens(float(found["a"]), found["part"])


def _tens(low: float, part: str | None) -> Quantity:
    part = (part or "").lower()
    if low >= _HUNDREDS and not low % 100:
        third = {"l": (0.0, 39.9), "m": (30.0, 69.9), "h": (60.0, 99.9), "u": (60.0, 99.9)}.get(part[:1], (0.0, 99.9))
        return Quantity(low + third[0], low + third[1], -1)  # "a glucose in the 200s"
    third = {"l": (0.0, 3.9), "m": (3.0, 6.9), "h": (6.0, 9.9), "u": (6.0, 9.9)}.get(part[:1], (0.0, 9.9))
    return Quantity(low + third[0], low + third[1], -1)


def _quantity(text: str) -> Quantity:
    if _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    _, _, fraction = text.partition(".")
    value = float(text.replace(",", ""))
    return Quantity(value, value, len(fraction))


def _ends_sentence(text: str, start: int, end: int, abbreviations: frozenset[str]) -> bool:
    """Whether a mark at `start` ends a sentence: not inside "7.25", "e.g." or "approx. 30"."""
    if end < len(text) and not text[end].isspace() and text[end] != BLANK:
        return False
    word = _LAST_WORD.search(text[max(0, start - 12) : start])
    if word is not None and _EXTREME_BEHIND.search(text[max(0, start - 12) : start]) and _NEXT_NAME.match(text, end):
        return True
    return text[start] != "." or word is None or not (len(word.group()) == 1 or word.group().lower() in abbreviations)


def _pieces(text: str, taken: bytearray, lexicon: Lexicon, masked: set[int]) -> list[Token]:
    """Punctuation marks, and the words that no phrase contains."""
    tokens: list[Token] = []
    for found in _PIECE.finditer(text):
        start, end = found.span()
        if taken[start]:
            continue
        piece = found.group()
        if piece in _SYMBOLS:
            tokens.append(Token("compare", start, end, Meaning("compare", _SYMBOLS[piece])))
        elif piece == "=":
            tokens.append(Token("copula", start, end, Meaning("copula", "="), text="="))
        elif piece in "~≈±":
            tokens.append(Token("approximately", start, end))
        elif piece[0] == BLANK:
            tokens.append(Token("blank", start, end, text="mask" if start in masked else ""))
        elif piece == "?" and _ANSWER.match(text, end):
            tokens.append(Token("colon", start, end))  # "Fever? None."
        elif piece[0] in ".!?":
            if _ends_sentence(text, start, end, lexicon.abbreviations):
                tokens.append(Token("stop", start, end, text="?" if piece == "?" else ""))
        elif piece == "\n":
            tokens.append(Token("stop", start, end))
        elif piece == ";":
            tokens.append(Token("break", start, end))
        elif piece == ":":
            tokens.append(Token("colon", start, end))
        elif piece in ("—", " - ", "–", ",", "|"):
            tokens.append(Token("comma", start, end, text=piece.strip(" ,|")))
        elif piece == "/":
            tokens.append(Token("conjunction", start, end, Meaning("conjunction", "/")))
        elif piece not in "()":
            kind = "soft" if piece.lower().endswith(("ly", "ing", "ed")) else "word"
            group = lexicon.plain.get(piece.lower()) or lexicon.plain.get(fold_word(piece))
            kind = "soft" if group == "witnessing" else kind  # "we never saw a saturation below 90"
            known = None if group is None else Meaning("plain", _PLAIN_GROUPS.get(group, ""))
            tokens.append(Token(kind, start, end, known, text=piece))
    return tokens
