"""Reads one sentence of a rationale by the forms that rationales have, for the second reading (second_reading.py).

Written from docs/claims.md without sight of the project's claim checker, and it imports nothing of it: it knows the
names of the vocabulary and the forms below, and calls every other sentence unread.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from modeling_clinragen.vocabulary_clinragen import Vocabulary

KINDS: Mapping[str, str] = {
    "disease listed": "the disease that a sentence names is one of the listed diagnoses",
    "none listed": "no disease is listed, as the sentence says",
    "quotation in the note": "the quoted words stand in the note, in whole words",
    "quotation affirmed": "the note affirms them of the patient now, or as history of a disease that lasts",
    "direction": "at least two readings, or a fifth, are high or low as stated",
    "implied direction": "the same for 'is lowest near', which states no level",
    "share": "so many of the readings are",
    "share in time": "so many of the readings from one hour to another are",
    "onset": "the level begins within an hour of the one named, and few readings before have it",
    "end": "the level ends within an hour of the one named, and few readings after have it",
    "count": "the level occurs once or twice",
    "hour": "it occurs at the hour named",
    "extreme": "the number is the highest or lowest reading within half of the variable's step",
    "direction of the extreme": "a high level comes with the highest reading, a low one with the lowest",
    "unit": "the number has the variable's unit",
    "value": "first and last reading of a change, or both ends of a swing, are the numbers named",
    "course": "the series rises or falls as stated, or goes to and fro",
    "normality": "no reading lies outside the range",
    "measurement": "there is no reading of the variable",
    "absence in the note": "no phrase that the synthetic truth gives for the disease stands in the note",
    "absence in the series": "no sign of the disease, by the reader's own table, is in the series",
}
"""Every kind of claim, and when it is true."""

NUMBER = r"-?\d+(?:\.\d+)?"
QUOTATION = r'"[^"]*"'
QUOTATIONS = rf"(?P<quotations>{QUOTATION}(?:(?:, and |, | and | or |){QUOTATION})*)"
VERB = (
    r"(?:supports?|points? to|fits?|suggests?|indicates?|is (?:a sign of|in keeping with|consistent with)|"
    r"are (?:signs of|in keeping with|consistent with)|(?:is|are) evidence (?:of|for)|speaks? for)"
)
LEVEL = r"(?P<level>high|low|normal|raised|elevated|reduced)"
SHARE = r"(?:in (?P<share>half of the readings|a few readings|every reading|\w+ readings?))"
TIME = (
    rf"(?: from hours? (?P<start>{NUMBER})(?P<start_percent>%)?)?"
    rf"(?: until hours? (?P<stop>{NUMBER})(?P<stop_percent>%)?)?"
)
LEAD = (
    r"(?:which fits|in keeping with|which supports|which points to|pointing to|which is in keeping with|"
    r"consistent with|as in)"
)
HIGHEST = frozenset({"peaking near", "up to about", "peaking at", "highest near"})
LOWEST = frozenset({"lowest near", "down to about"})
EXTREME = "|".join(sorted(HIGHEST | LOWEST))
LEVELS = {"raised": "high", "elevated": "high", "reduced": "low"}
NOTE_FORMS = frozenset({"quotation", "undiagnosed", "fragment", "joined"})
ABSENCE_FORMS = frozenset({"absent in note", "absent in series"})


@dataclass(frozen=True)
class Statement:
    """A sentence by its form.

    Args:
        form: Its form, one of those in `Grammar`.
        text: The sentence.
        diseases: Names of the diseases in it, in its order.
        quotations: The quoted words without the marks.
        variables: Keys of the variables.
        words: By name, the other words that fill the form: level, share, start, stop, extreme, number, unit, ...
    """

    form: str
    text: str
    diseases: tuple[str, ...] = ()
    quotations: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)

    @property
    def variable(self) -> str:
        """Key of the only variable; "" where there is none, or several."""
        return self.variables[0] if len(self.variables) == 1 else ""

    @property
    def level(self) -> str:
        """ "high", "low" or "normal", also where only an extreme implies it; "" for the other forms."""
        if "level" in self.words:
            word = self.words["level"].lower()
            return LEVELS.get(word, word)
        if self.form == "extreme only":
            return "high" if self.is_highest else "low"
        return ""

    @property
    def is_highest(self) -> bool:
        """Whether the extreme that is stated is the highest reading."""
        return self.words.get("extreme", "").lower() in HIGHEST

    def number(self, name: str) -> float | None:
        """One of the numbers, or None where the sentence does not have it."""
        return float(self.words[name]) if name in self.words else None


@dataclass(frozen=True)
class Claim:
    """One thing in a sentence that can be false.

    Args:
        kind: One of `KINDS`.
        true: None where the data at hand do not decide.
        doubt: For a true claim, why another reader may not have put it so; "" as a rule.
    """

    kind: str
    true: bool | None
    doubt: str = ""


def split_sentences(text: str) -> list[str]:
    """The sentences of a rationale; a full stop within a quotation or a number does not end one."""
    sentences, start, quoted = [], 0, False
    for place, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif character == "\n":
            sentences.append(text[start:place])
            start = place + 1
        elif character in ".!?" and (place + 1 == len(text) or text[place + 1].isspace()):
            sentences.append(text[start : place + 1])
            start = place + 1
    sentences.append(text[start:])
    return [sentence.strip() for sentence in sentences if sentence.strip()]


def _one_of(names: Iterable[str]) -> str:
    return "(?:" + "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)) + ")"


class Grammar:
    """The forms of sentences, with the names of one vocabulary.

    Args:
        vocabulary: Names and units of the variables, and names of the diseases.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._key_of = {
            name.lower(): variable.key
            for variable in vocabulary.variables
            for name in (variable.name, variable.short, *variable.aliases)
        }
        units = {unit for variable in vocabulary.variables for unit in (variable.unit, variable.text_unit)} - {""}
        self._disease = _one_of(vocabulary.disease_names)
        self._variable = _one_of(self._key_of)
        self._forms = tuple(
            (name, re.compile(rf"^{pattern}\.$", flags))
            for name, pattern, flags in _patterns(self._disease, self._variable, _one_of(units))
        )

    def read(self, sentence: str) -> Statement | None:
        """What a sentence states, or None where it has none of the forms."""
        for form, pattern in self._forms:
            found = pattern.match(sentence)
            if found:
                words = {name: text for name, text in found.groupdict().items() if text is not None}
                named = [words.pop(name) for name in ("diseases", "diseases_of", "diseases_fit") if name in words]
                return Statement(
                    form=form,
                    text=sentence,
                    diseases=tuple(re.findall(self._disease, named[0])) if named else (),
                    quotations=tuple(text[1:-1] for text in re.findall(QUOTATION, words.pop("quotations", ""))),
                    variables=tuple(
                        self._key_of[name.lower()]
                        for name in re.findall(self._variable, words.pop("variables", ""), re.IGNORECASE)
                    ),
                    words=words,
                )
        return None

    def faults(self, statement: Statement) -> list[str]:
        """What is wrong with the sentence as English, one entry for each kind of fault."""
        found = [fault for fault in (_fault_of_form(statement),) if fault]
        text, words = statement.text, statement.words
        if len(set(statement.diseases)) < len(statement.diseases):
            found.append("disease named twice")
        if "start_percent" in words or "stop_percent" in words:
            found.append('"hour N%"')
        if re.search(r"(from|until) hours ", text):
            found.append('"hours N"')
        if statement.form in ("quotation", "joined"):
            found += _faults_of_quotations(statement)
        if re.search(r"in (?:every|most|some|a few) readings? (?:up to|down to|lowest|peaking)", text):
            found.append("comma")
        joined = re.search(rf"{self._disease} (and|or) {self._disease}", text)
        if len(statement.diseases) > 1 and not joined:
            found.append("list of diseases without and")
        return found


def _patterns(disease: str, variable: str, unit: str) -> list[tuple[str, str, re.RegexFlag]]:
    """Name, pattern up to the full stop, and flags of every form; the first that fits is taken."""

    def diseases(group: str) -> str:
        return rf"(?P<{group}>{disease}(?:(?:, and |, or |, | and | or ){disease})*)"

    one, listed = rf"(?P<variables>{variable})", diseases("diseases")
    number_of = rf"(?P<number>{NUMBER}) ?(?P<unit>{unit})?"
    extreme = rf"(?:,? (?P<extreme>{EXTREME}) {number_of})?"
    tie = (
        rf"(?:,? {LEAD} {listed}"
        rf"|: [a-z][a-z \-]*? in {diseases('diseases_of')}"
        rf"|, which suggests [a-z][a-z \-]*? and fits {diseases('diseases_fit')}"
        r"|(?P<untied>, without one of the diseases))"
    )
    start, stop = (rf"(?P<{name}>{NUMBER})(?: ?{unit})?" for name in ("first", "second"))
    exact, free = re.NOFLAG, re.IGNORECASE
    absent = rf"(?:{listed}|(?P<any>any of the diseases))"
    return [
        ("quotation", rf"(?:In the note, )?{QUOTATIONS}(?: in the note)? {VERB} {listed}", exact),
        ("undiagnosed", rf"No disease is diagnosed, although the note mentions {QUOTATIONS}", exact),
        ("fragment", QUOTATIONS, exact),
        (
            "absent in note",
            rf"(?:Nothing in the note(?: itself)? points to|The note(?: itself)? does not point to) {absent}",
            exact,
        ),
        (
            "absent in series",
            r"(?:No measurement points to|The measurements do not point to|Nothing in the measurements points to) "
            + absent,
            exact,
        ),
        (
            "counted",
            rf"{one} is (?P<level>high|low) (?P<times>once|twice) at hours? (?P<hour>{NUMBER}){extreme}{tie}?",
            free,
        ),
        ("extreme only", rf"{one} is (?P<extreme>lowest near|highest near) {number_of}{tie}?", free),
        ("joined", rf"{one} is (?P<level>high|low)(?: {SHARE})?{TIME} {QUOTATIONS} {VERB} {listed}", free),
        ("unmeasured", rf"{one} is not measured(?P<stray> is)?", free),
        (
            "two extremes",
            rf"{one} is (?P<level>high|low) {SHARE}, up to about (?P<second>{NUMBER}), down to about "
            rf"(?P<first>{NUMBER}) ?\S*{tie}",
            free,
        ),
        ("level", rf"{one} is {LEVEL}(?: {SHARE})?{TIME}{extreme}{tie}?", free),
        ("swing", rf"{one} swings between about {start} and (?:about )?{stop}{tie}?", free),
        ("change", rf"{one} (?P<move>rises|falls) from about {start} to (?:about )?{stop}{tie}?", free),
        ("normal", rf"(?P<variables>{variable}(?:(?:, and |, | and ){variable})*) stays? normal", free),
    ]


def _fault_of_form(statement: Statement) -> str:
    """The fault of a form that no correct sentence has."""
    words = statement.words
    if statement.form == "level" and not {"share", "start", "stop"} & set(words):
        return "level with extreme, no share" if "extreme" in words else "bare level"
    if statement.form == "unmeasured":
        return "stray word" if "stray" in words else ""
    return {
        "fragment": "no verb, no disease",
        "joined": "two statements run together",
        "extreme only": '"is lowest near" without level',
        "two extremes": "peak and lowest of a high level",
    }.get(statement.form, "")


def _faults_of_quotations(statement: Statement) -> list[str]:
    faults = []
    if '""' in statement.text:
        faults.append("quotations run together")
    verb = re.search(r'" (supports|support|points? to|fits|fit|suggests?|indicates?) ', statement.text)
    if verb and (len(statement.quotations) > 1) == verb.group(1).split()[0].endswith("s"):
        faults.append("number of the verb")
    return faults
