"""Reads one whole rationale for the second reading (second_reading.py): every claim, and how the sentences agree.

Written from docs/claims.md without sight of the project's claim checker, and it imports nothing of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from second_reading_grammar import ABSENCE_FORMS, NOTE_FORMS, Claim, Grammar, Statement, split_sentences
from second_reading_note import AFFIRMED, HISTORY, UNKNOWN, Note, fold, stands_in
from second_reading_series import series_claims, shows_no_sign

from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.truth import TrueEvidence

IDENTICAL, QUOTED, QUOTED_FOR_SAME = "identical sentence", "quoted twice", "quoted twice for the same disease"
STATED, STATED_SAME, NOTHING_NEW = "variable and level stated twice", "same series statement", "nothing new"
REPEATS: Mapping[str, str] = {
    IDENTICAL: "sentences that stand twice in a rationale",
    QUOTED: "words that two quotations of a rationale have",
    QUOTED_FOR_SAME: "words with a disease that they are quoted for twice",
    STATED: "a variable with a level, trend or swing that two sentences state, for whatever diseases",
    STATED_SAME: "sentences with the same variable, level, share, hours and extreme as one before",
    NOTHING_NEW: "sentences whose every pair of evidence and disease was in the ones before",
}
"""Every kind of repetition."""


@dataclass(frozen=True)
class PatientData:
    """The data of one patient that a rationale speaks of.

    Args:
        note: The note.
        series: The series.
        range_set: Name of the range set by which its readings are low, normal or high.
        has: Names of the diseases that the patient is coded for.
        truth: By disease key, the evidence of the diseases that are present; None where nobody knows.
    """

    note: Note
    series: LabSeries
    range_set: str
    has: frozenset[str]
    truth: Mapping[str, TrueEvidence] | None


@dataclass(frozen=True)
class Tie:
    """Evidence given for a disease, which the reader does not judge.

    Args:
        by_quotation: Whether the evidence is a quotation, not a statement about the series.
        lacking: Whether the patient is not coded for the disease.
        by_truth: Whether the truth knows the quotation as a phrase of this disease; None without quotation or truth.
    """

    by_quotation: bool
    lacking: bool
    by_truth: bool | None


@dataclass(frozen=True)
class ReadSentence:
    """One sentence as it was read; `statement` is None, and the rest empty, where it has no known form."""

    text: str
    statement: Statement | None
    claims: tuple[Claim, ...] = ()
    faults: tuple[str, ...] = ()
    ties: tuple[Tie, ...] = ()


class Reader:
    """Reads rationales about the patients of one cohort.

    Args:
        grammar: The forms with the cohort's names.
        history_counts: Names of the diseases that a past mention counts for.
    """

    def __init__(self, grammar: Grammar, history_counts: Collection[str]) -> None:
        self._grammar = grammar
        self._history_counts = frozenset(history_counts)

    def read(self, text: str, listed: Sequence[str], patient: PatientData) -> list[ReadSentence]:
        """The sentences of a rationale with the claims in them; `listed` are the names of its diagnoses."""
        return [self._read_sentence(sentence, listed, patient) for sentence in split_sentences(text)]

    def _read_sentence(self, text: str, listed: Sequence[str], patient: PatientData) -> ReadSentence:
        statement = self._grammar.read(text)
        if statement is None:
            return ReadSentence(text, None)
        claims = [Claim("disease listed", disease in listed) for disease in statement.diseases]
        if statement.form == "undiagnosed" or "untied" in statement.words:
            claims.append(Claim("none listed", not listed))
        for words in statement.quotations:
            claims += self._of_quotation(words, statement.diseases, patient.note)
        if statement.form in ABSENCE_FORMS:
            claims += _of_absence(statement, patient)
        elif statement.variables:
            claims += series_claims(statement, patient.series, patient.range_set)
        return ReadSentence(
            text, statement, tuple(claims), tuple(self._grammar.faults(statement)), tuple(_ties(statement, patient))
        )

    def _of_quotation(self, words: str, diseases: Sequence[str], note: Note) -> list[Claim]:
        places = note.places(words)
        claims = [Claim("quotation in the note", any(place.whole for place in places))]
        if places:
            states = {place.state for place in places}
            lasting = bool(diseases) and self._history_counts.issuperset(diseases)
            true = AFFIRMED in states or (HISTORY in states and lasting)
            claims.append(Claim("quotation affirmed", None if not true and states == {UNKNOWN} else true))
        return claims


def _of_absence(statement: Statement, patient: PatientData) -> Iterator[Claim]:
    vocabulary = patient.series.vocabulary
    for disease in vocabulary.disease_names if "any" in statement.words else statement.diseases:
        key = vocabulary.key_of_disease[disease]
        if statement.form == "absent in series":
            yield Claim("absence in the series", shows_no_sign(key, patient.series, patient.range_set))
        elif patient.truth is None:
            yield Claim("absence in the note", None)
        else:
            phrases = patient.truth[key].phrases if key in patient.truth else ()
            yield Claim("absence in the note", not any(fold(one).lower() in patient.note.folded for one in phrases))


def _ties(statement: Statement, patient: PatientData) -> Iterator[Tie]:
    if statement.form in ABSENCE_FORMS:
        return
    for disease in statement.diseases:
        lacking = disease not in patient.has
        for words in statement.quotations:
            yield Tie(True, lacking, _by_truth(words, disease, patient))
        if not statement.quotations:
            yield Tie(False, lacking, None)


def _by_truth(words: str, disease: str, patient: PatientData) -> bool | None:
    if patient.truth is None:
        return None
    key = patient.series.vocabulary.key_of_disease[disease]
    phrases = patient.truth[key].phrases if key in patient.truth else ()
    quoted = fold(words).lower()
    return any(stands_in(quoted, one.lower()) or stands_in(one.lower(), quoted) for one in phrases)


@dataclass(frozen=True)
class Agreement:
    """How the sentences of one rationale agree with its diagnoses and with each other.

    Args:
        never_named: Listed diseases that no sentence names.
        only_absent: Listed diseases that are named only where something does not point to them.
        disagreeing: Diseases that one sentence gives the note for and another one denies it, and so of the series.
        repeats: By kind of repetition (`REPEATS`), how often.
    """

    never_named: int
    only_absent: int
    disagreeing: int
    repeats: Mapping[str, int]


def agreement(sentences: Sequence[ReadSentence], listed: Sequence[str]) -> Agreement:
    """Compare the sentences of one rationale with its diagnoses and with each other."""
    statements = [sentence.statement for sentence in sentences if sentence.statement is not None]
    by_form: dict[str, set[str]] = {"note": set(), "series": set(), "absent in note": set(), "absent in series": set()}
    argued: set[str] = set()
    for statement in statements:
        if statement.form in ABSENCE_FORMS:
            by_form[statement.form].update(statement.diseases)
            continue
        argued.update(statement.diseases)
        if statement.form != "undiagnosed":
            by_form["note" if statement.form == "quotation" else "series"].update(statement.diseases)
    named = argued | by_form["absent in note"] | by_form["absent in series"]
    return Agreement(
        never_named=len(set(listed) - named),
        only_absent=len(set(listed) & (named - argued)),
        disagreeing=sum(len(by_form[kind] & by_form[f"absent in {kind}"]) for kind in ("note", "series")),
        repeats=_repeats(sentences, statements),
    )


def _repeats(sentences: Sequence[ReadSentence], statements: Sequence[Statement]) -> dict[str, int]:
    quoted, quoted_for, stated = Counter[str](), Counter[tuple[str, str]](), Counter[Hashable]()
    for statement in statements:
        if statement.form == "quotation":
            words = [fold(one).lower() for one in statement.quotations]
            quoted.update(words)
            quoted_for.update((one, disease) for one in words for disease in set(statement.diseases))
        elif statement.form not in ABSENCE_FORMS and statement.variables:
            says = statement.words.get("level") or statement.words.get("move") or statement.form
            stated[statement.variables, says.lower()] += 1
    return {
        IDENTICAL: _twice(Counter(sentence.text for sentence in sentences)),
        QUOTED: _twice(quoted),
        QUOTED_FOR_SAME: _twice(quoted_for),
        STATED: _twice(stated),
        STATED_SAME: _same_series(statements),
        NOTHING_NEW: _nothing_new(statements),
    }


def _twice(counts: Counter[Hashable] | Counter[str] | Counter[tuple[str, str]]) -> int:
    return sum(count > 1 for count in counts.values())


def _same_series(statements: Sequence[Statement]) -> int:
    seen = Counter[Hashable](
        (one.variable, *(one.words.get(name) for name in ("level", "share", "start", "stop", "number")))
        for one in statements
        if one.form in ("level", "counted", "extreme only")
    )
    return sum(count - 1 for count in seen.values())


def _nothing_new(statements: Sequence[Statement]) -> int:
    seen: set[tuple[str, str]] = set()
    found = 0
    for statement in statements:
        if statement.form in ABSENCE_FORMS:
            evidence = [statement.form]
        elif statement.form in NOTE_FORMS:
            evidence = [fold(one).lower() for one in statement.quotations]
        else:
            # All levels of a variable are one piece of evidence, its trend and its swing are others.
            evidence = [statement.variable if statement.level else f"{statement.variable}, {statement.form}"]
        pairs = {(one, disease) for one in evidence for disease in statement.diseases}
        found += bool(pairs) and pairs <= seen
        seen |= pairs
    return found
