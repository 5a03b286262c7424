"""A patient as a model is shown it, the pieces of evidence in it, and the patient without or with some of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from clinragen.text.context import load_context_rules, read_context
from modeling_clinragen.note_clinragen import has_words

SENTENCE, VARIABLE = "sentence", "variable"


@dataclass(frozen=True, order=True)
class Unit:
    """A piece of evidence: a sentence of the note or a variable of the series, by its number."""

    kind: str
    number: int


@dataclass(frozen=True, eq=False)
class Shown:
    """One patient as a model is shown it.

    Args:
        note: The cleaned note; "" where there is none.
        hours: `(steps,)` since ICU admission.
        values: `(steps, variables)`, NaN where nothing was measured.
    """

    note: str
    hours: np.ndarray
    values: np.ndarray

    @cached_property
    def measured(self) -> np.ndarray:
        """Which variables have a reading, `(variables,)`."""
        return ~np.isnan(self.values).all(axis=0)

    @property
    def given(self) -> tuple[str | None, dict[str, np.ndarray] | None]:
        """Note and series as the processor takes them; None for what there is nothing of."""
        series = {"hours": self.hours, "values": self.values} if self.measured.any() else None
        return (self.note if has_words(self.note) else None), series

    @property
    def empty(self) -> bool:
        """Whether there is neither a word nor a reading."""
        return self.given == (None, None)

    def with_variables(self, columns: Iterable[int], *, kept: bool) -> Shown:
        """Without (or with only) the readings of some variables; every hour stays, also one without a reading."""
        chosen = np.isin(np.arange(self.values.shape[1]), list(columns))
        values = self.values.copy()
        values[:, ~chosen if kept else chosen] = np.nan
        return replace(self, values=values)

    def without_spans(self, spans: Iterable[tuple[int, int]]) -> Shown:
        """Without some parts of the note; every other character stays."""
        parts, place = [], 0
        for start, end in sorted(spans):
            parts.append(self.note[place : max(place, start)])
            place = max(place, end)
        return replace(self, note="".join([*parts, self.note[place:]]))


def note_sentences(note: str) -> tuple[tuple[int, int], ...]:
    """The sentences of a note, as (start, end) characters: those of the rules of context, where they have a word."""
    if not note:
        return ()
    context = read_context(note, load_context_rules())
    found, place = [], 0
    while place < len(note):
        end = max(place + 1, context.sentence(place)[1])
        if has_words(note[place:end]):
            found.append((place, end))
        place = end
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Case:
    """One example of the test split, which is asked about.

    Args:
        number: Its place among the cases.
        subject: Whose stay it is.
        stay: Its admission and its stay.
        shown: What the model is shown of it: of a longer note the part that it reads.
        labels: Which diseases it has, bool `(diseases,)`.
        sentences: The sentences of `shown.note`.
        cited: The evidence that the shown rationale cites for a disease, in order, each with the number of the
            disease; None where there is no rationale.
    """

    number: int
    subject: int
    stay: tuple[int, int]
    shown: Shown
    labels: np.ndarray
    sentences: tuple[tuple[int, int], ...] = field(default=())
    cited: tuple[tuple[Unit, int], ...] | None = None

    @property
    def units(self) -> list[Unit]:
        """Every sentence of the note and every variable that was measured."""
        sentences = [Unit(SENTENCE, number) for number in range(len(self.sentences))]
        return sentences + [Unit(VARIABLE, int(column)) for column in np.flatnonzero(self.shown.measured)]

    def cited_units(self, kind: str | None = None) -> list[Unit]:
        """The evidence that the rationale cites, each once, in its order; of one kind where it is given."""
        found = dict.fromkeys(unit for unit, _ in self.cited or ())
        return [unit for unit in found if kind in (None, unit.kind)]

    def spans(self, units: Collection[Unit]) -> list[tuple[int, int]]:
        """The sentences among some units, as characters of the note."""
        return [self.sentences[unit.number] for unit in sorted(units) if unit.kind == SENTENCE]

    def without(self, units: Collection[Unit]) -> Shown:
        """The patient without some pieces of evidence; everything else stays bit for bit."""
        columns = [unit.number for unit in units if unit.kind == VARIABLE]
        return self.shown.without_spans(self.spans(units)).with_variables(columns, kept=False)

    def only(self, units: Collection[Unit]) -> Shown:
        """The patient reduced to some pieces of evidence; sentences stand on lines of their own."""
        columns = [unit.number for unit in units if unit.kind == VARIABLE]
        note = "\n".join(self.shown.note[slice(*span)].strip() for span in self.spans(units))
        return replace(self.shown.with_variables(columns, kept=True), note=note)

    def sentences_of(self, spans: Sequence[tuple[int, int]]) -> list[Unit]:
        """The sentences that some places of the note lie in."""
        return [
            Unit(SENTENCE, number)
            for number, (start, end) in enumerate(self.sentences)
            if any(low < end and start < high for low, high in spans)
        ]


@dataclass(frozen=True, eq=False)
class Group:
    """All cases that are asked about.

    Args:
        cases: The cases, in order.
        seed: Of everything that is drawn.
    """

    cases: Sequence[Case]
    seed: int = 0

    def draw(self, case: Case, *salt: int) -> np.random.Generator:
        """Random numbers of one case; they do not depend on the other cases."""
        return np.random.default_rng([self.seed, *map(abs, case.stay), *salt])

    @cached_property
    def subjects(self) -> np.ndarray:
        """Of every case, `(cases,)`."""
        return np.array([case.subject for case in self.cases])

    @cached_property
    def labels(self) -> np.ndarray:
        """Of every case, bool `(cases, diseases)`."""
        return np.array([case.labels for case in self.cases])
