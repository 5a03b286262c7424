"""From items to statements: which variable each level, number, trend, count and time belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from clinragen.claims.lexer import Item
from clinragen.claims.predicates import Group, Part, statements_of
from clinragen.claims.types import Statement, Subject

# What may stand before the name that it describes ("persistently low heart rate").
_BEFORE = frozenset(
    (
        *("level", "trend", "extreme", "negation", "hedge", "time", "quantifier", "approximately", "filler", "stay"),
        *("copula", "reading", "past", "hypothetical", "measured", "soft"),
    )
)
# Of what may stand before a name, these never follow one instead.
_NEVER_BEFORE = frozenset(("number", "span", "pair", "compare", "unmeasured"))
_QUALIFIERS = frozenset(("time", "quantifier", "hedge", "negation", "stay"))
_PREDICATES = frozenset(("level", "trend", "extreme", "compare", "number", "span", "pair", "measured", "unmeasured"))
# These only describe what they stand beside: behind another noun they are about that noun.
_BOUND = frozenset(("level", "compare", "number", "span", "pair", "measured", "unmeasured"))


_PREPOSITIONS = frozenset(("to", "by", "from", "of", "at", "in"))


@dataclass
class _State:
    group: Group | None = None
    leads: list[Item] = field(default_factory=list)  # "In the first 24 hours, ...": holds for the whole clause
    before: list[Item] = field(default_factory=list)  # what describes the next name
    last: tuple[Subject, ...] = ()
    linked: bool = False  # the words so far tie what comes next to the group
    closed: bool = False  # something else is being talked about
    implicit: bool = False  # "it falls", "but falls later": the last subjects are meant
    interpreting: bool = False
    scope: str = "now"
    significant: str = ""  # the kind of the last item that is not a filler
    preposition: str = ""


class StatementReader:
    """Reads the items of one text from left to right, in linear time."""

    def __init__(self, items: list[Item]) -> None:
        self._items = items
        self._names_ahead = _names_ahead(items)
        self._state = _State()
        self._groups: list[Group] = []

    def read(self) -> list[Statement]:
        """The statements in the order of their groups."""
        for number, item in enumerate(self._items):
            self._take(number, item)
        self._close()
        return [statement for group in self._groups for statement in statements_of(group)]

    def _take(self, number: int, item: Item) -> None:
        state = self._state
        kind = item.kind
        if kind in ("name", "condition"):
            self._name(item)
        elif kind in ("stop", "break", "colon"):
            self._end_clause(number, item)
            return
        elif kind in ("comma", "conjunction"):
            self._conjunction(item)
        elif kind == "interpretation":
            self._interpretation()
        elif kind in ("past", "hypothetical"):
            state.scope = kind
        elif kind == "pronoun":
            self._pronoun()
        elif kind in ("word", "soft", "blank"):
            self._word(kind)
        elif kind == "copula":
            if state.group is not None and not state.closed:
                state.group.copula = True
                state.linked = True
                state.group.parts.append(Part(item, "", "copula"))
        elif kind == "same":
            self._same(item)
        elif kind == "reading" and state.group is not None and state.significant == "name":
            state.group.readings = True
        elif kind in _PREDICATES or kind in _QUALIFIERS or kind == "approximately":
            self._describe(number, item)
        if kind == "filler":
            if item.text.lower() in _PREPOSITIONS:
                state.preposition = item.text.lower()
        elif kind != "approximately":
            state.preposition = ""
            if kind not in ("reading", "soft"):
                state.significant = kind

    def _name(self, item: Item) -> None:
        state = self._state
        entry = item.entry
        if entry is None or not entry.subjects:
            return
        group = state.group
        if group is not None and not state.before and self._joins(group, item):
            group.add(item)
        else:
            before = [part for part in state.before if part.kind != "same"]
            same = len(before) < len(state.before)
            self._close()
            group = Group([*state.leads], before, scope=state.scope, same=same, interpreting=state.interpreting)
            group.add(item)
            state.group = group
        state.before = []
        state.linked, state.closed, state.implicit = True, False, False

    def _same(self, item: Item) -> None:
        """ "..., as is the respiratory rate" repeats what was said, "A as well as B are high" only lists names."""
        group = self._state.group
        if group is not None and not group.parts and not group.conditions and item.text.lower() == "as well as":
            group.conjunction = "and"
        else:
            self._state.before.append(item)

    def _joins(self, group: Group, item: Item) -> bool:
        """Whether this name goes on the list of names that the group begins with."""
        if group.parts or self._state.closed or not group.subjects or group.inherited:
            return False
        if group.conditions != (item.kind == "condition"):
            return False
        conjunction = group.conjunction
        if conjunction == "" and self._state.significant in ("name", "condition"):
            return True  # "heart rate (HR)"
        if conjunction == "and" and group.conditions and group.plainly_negated:
            return False  # "not hypotensive and tachycardic"
        return conjunction in (",", "and", "or", "nor", "/")

    def _describe(self, number: int, item: Item) -> None:
        """A predicate or a qualifier: of the name to come, of the group so far, or of something else."""
        state = self._state
        # "Heart rate high ..." goes on about the heart rate, "..., low blood pressure" begins something new.
        fresh = state.linked and state.significant in ("name", "condition", "copula", "stay")
        if self._names_ahead[number] and item.kind not in _NEVER_BEFORE and not fresh:
            state.before.append(item)
            return
        if state.group is None and not self._inherit(item):
            if item.kind in _QUALIFIERS:
                state.leads.append(item)
            return
        group = state.group
        if group is None or state.closed:
            return
        following = self._items[number + 1].kind if number + 1 < len(self._items) else ""
        foreign = following == "word" and state.significant not in ("copula", "stay")
        led_back = item.kind == "level" and bool(group.parts) and state.significant == "comma"
        if item.kind in _BOUND and not state.linked and not led_back:
            return
        if item.kind in ("level", "trend", "extreme") and foreign:
            return  # "rising lactate"
        group.parts.append(Part(item, state.preposition, item.kind))
        group.end = max(group.end, item.end)
        if item.kind in _PREDICATES:
            state.linked = True

    def _inherit(self, item: Item) -> bool:
        """Go on about the last subjects ("it falls", "but falls later"), if that is what the words do."""
        state = self._state
        if not (state.implicit and state.last and item.kind in _PREDICATES):
            return False
        group = Group([*state.leads], [], scope=state.scope)
        group.subjects = [(subject, None) for subject in state.last]
        group.inherited = True
        group.start = item.start
        state.group, state.linked, state.closed = group, True, False
        return True

    def _conjunction(self, item: Item) -> None:
        state = self._state
        word = "," if item.kind == "comma" else (item.entry.word.lower() if item.entry is not None else "and")
        if state.group is not None:
            if not state.group.parts:
                state.group.conjunction = (
                    word if word != "," or not state.group.conjunction else state.group.conjunction
                )
            state.group.parts_boundary(item)
            if word == "with":
                state.linked = False
        if item.kind == "comma" and state.scope == "past":
            state.scope = "now"
        if state.before and state.group is None:
            # "Initially, heart rate was high": what stood before a comma leads the clause.
            state.leads += [part for part in state.before if part.kind in _QUALIFIERS and part.kind != "negation"]
        state.before = []

    def _interpretation(self) -> None:
        state = self._state
        if state.group is not None:
            self._close()
        state.before = []
        state.interpreting = True
        state.implicit = False

    def _pronoun(self) -> None:
        state = self._state
        if state.group is None and state.last:
            state.implicit = True
        elif state.group is not None and not state.closed:
            state.linked = True

    def _word(self, kind: str) -> None:
        state = self._state
        if kind == "soft":
            return
        state.implicit = False
        state.before = [part for part in state.before if part.kind == "negation" and state.significant == "negation"]
        if state.group is not None:
            if state.significant in ("comma", "conjunction") and kind == "word":
                state.closed = True
            state.linked = False

    def _end_clause(self, number: int, item: Item) -> None:
        state = self._state
        following = self._items[number + 1] if number + 1 < len(self._items) else None
        if item.kind == "colon":
            if following is not None and following.kind in ("number", "pair", "span", "approximately", "level"):
                return
            if state.group is not None and (state.group.parts or state.group.conditions):
                self._interpretation()
                return
        told = [*state.leads, *(state.group.before if state.group is not None else [])]
        self._close()
        # "In the first day X rose while Y fell": the span of time holds on, a point of time does not.
        spans = ("window", "final") if item.kind == "break" else ()
        leads = [lead for lead in told if lead.entry and lead.entry.when and lead.entry.when.kind in spans]
        self._state = _State(leads=leads, last=state.last)
        self._state.implicit = item.kind == "break"
        self._state.significant = item.kind

    def _close(self) -> None:
        group = self._state.group
        if group is None:
            return
        if group.same and not group.parts and self._groups:
            group.parts = [replace(part) for part in self._groups[-1].parts]
        subjects = tuple(subject for subject, _ in group.subjects)
        if not (group.interpreting and not group.stands_alone(self._state.last)):
            self._groups.append(group)
        self._state.last = subjects
        self._state.group = None
        self._state.linked = self._state.closed = False


def _names_ahead(items: list[Item]) -> list[bool]:
    """For each item, whether a name follows it with nothing between but what may describe a name."""
    ahead = [False] * len(items)
    for number in range(len(items) - 2, -1, -1):
        following = items[number + 1].kind
        ahead[number] = following in ("name", "condition") or (following in _BEFORE and ahead[number + 1])
    return ahead


def read_statements(items: list[Item]) -> list[Statement]:
    """The statements about variables in a row of items."""
    return StatementReader(items).read()
