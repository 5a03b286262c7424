"""The kinds of scores: of decisions, of probabilities and of rationales; `scores/` has their files and the lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from clinragen.claims.check import Checking
from clinragen.evaluation.bootstrap import Bootstrap, Decisions
from clinragen.evaluation.checked import CheckedRationale, Given, check_text
from clinragen.evaluation.ranking import Ranked
from clinragen.evaluation.token_encoder import TokenEncoder
from dataset_builder.contract.truth import HospitalTruth
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.sentences_clinragen import sentence_spans

Entries = Mapping[str, Any]
"""What the scores of rationales put into metrics.json for one system."""
Column = tuple[str, Callable[[Entries], str]]
"""Of a table: its title, and the cell made from all entries of a system."""


@dataclass(frozen=True)
class DiagnosisScore:
    """A score of 0/1 decisions. It appears with its interval in metrics.json and in the report, for every system, and
    so does the full model's difference to every other system.

    Args:
        name: Key in metrics.json, such as "micro_f1".
        title: Column in the report, such as "micro F1".
        compute: From the decisions to one value per resample, `(resamples + 1,)`; the first is that of the split.
        in_terminal: Whether the table in the terminal shows it, too.
    """

    name: str
    title: str
    compute: Callable[[Decisions], np.ndarray]
    in_terminal: bool = False


@dataclass(frozen=True)
class RankingScore:
    """A score of probabilities, for the systems that give them. It appears where a `DiagnosisScore` does.

    Args:
        name: Key in metrics.json, such as "micro_auroc".
        title: Column in the report, such as "micro AUROC".
        compute: From the probabilities to one value per resample, `(resamples + 1,)`; the first is that of the split,
            NaN is undefined.
    """

    name: str
    title: str
    compute: Callable[[Ranked], np.ndarray]


@dataclass(frozen=True)
class Verified:
    """One rationale as the model wrote it and as it is shown after its sentences were checked.

    Args:
        raw, shown: The two texts; None where the output could not be parsed. They are equal where nothing is checked.
        sentences: How many sentences it has as written.
        withheld: How many of them are not shown, and nothing in their place.
        rewritten: How many of them were written again.
        asked: How many sentences were added because evidence was missing.
    """

    raw: str | None
    shown: str | None
    sentences: int = 0
    withheld: int = 0
    rewritten: int = 0
    asked: int = 0

    @classmethod
    def unchecked(cls, text: str | None) -> Verified:
        """A rationale that is shown as it was written."""
        return cls(text, text, len(sentence_spans(text or "")))


@dataclass(frozen=True, kw_only=True, eq=False)
class WrittenRationales:
    """The rationales that one system generated for a split, with all that they are judged by.

    Args:
        answers: One rationale per example, as written and as shown.
        listed: Keys of the diseases that each answer lists.
        references: The teacher's rationale for what the system reads; "" where there is none.
        examples: Rows of the data contract (`dataset_builder.contract.schema`).
        checking: Vocabulary, normal ranges, knowledge and what else claims are checked with.
        bootstrap: Resamples of the split's subjects.
        reads_note, reads_labs: What the system is shown of an example. A claim is judged by that alone.
        truth: Of the synthetic hospital, where the patients come from one.
        token_encoder: Whose embeddings BERTScore is computed with, where it is.

    Raises:
        InputDataError: The lists differ in length or are empty.
    """

    answers: Sequence[Verified]
    listed: Sequence[frozenset[str]]
    references: Sequence[str]
    examples: Any
    checking: Checking
    bootstrap: Bootstrap
    reads_note: bool = True
    reads_labs: bool = True
    truth: HospitalTruth | None = None
    token_encoder: TokenEncoder | None = None

    def __post_init__(self) -> None:
        require_one_each(self.answers, self.references)
        require_one_each(self.listed, self.references)
        if len(self.examples) != len(self.references):
            raise InputDataError(
                f"{len(self.references)} rationales for {len(self.examples)} examples; give one for every example"
            )

    @property
    def shown(self) -> list[str | None]:
        """The rationales as shown; None where the output could not be parsed."""
        return [answer.shown for answer in self.answers]

    @cached_property
    def given(self) -> tuple[Given, ...]:
        """Each patient as the system was shown it."""
        return tuple(Given(row, self.checking, note=self.reads_note, labs=self.reads_labs) for row in self.examples)

    @cached_property
    def checked_raw(self) -> tuple[CheckedRationale, ...]:
        """Every rationale as written, sentence by sentence with its claims."""
        return self._checked([answer.raw for answer in self.answers])

    @cached_property
    def checked_shown(self) -> tuple[CheckedRationale, ...]:
        """Every rationale as shown, sentence by sentence with its claims."""
        texts = self.shown
        return self.checked_raw if texts == [answer.raw for answer in self.answers] else self._checked(texts)

    def by_text(self, score: Callable[[Sequence[CheckedRationale]], Any]) -> dict[str, Any]:
        """A score of the rationales as written ("raw") and as shown ("shown")."""
        raw = score(self.checked_raw)
        return {"raw": raw, "shown": raw if self.checked_shown is self.checked_raw else score(self.checked_shown)}

    def _checked(self, texts: Iterable[str | None]) -> tuple[CheckedRationale, ...]:
        return tuple(check_text(text, given) for text, given in zip(texts, self.given, strict=True))


def no_parts(*_: Any) -> list[str]:
    """Nothing to add to a report."""
    return []


@dataclass(frozen=True)
class RationaleScore:
    """A score of generated rationales.

    Args:
        compute: From the rationales to its entries in metrics.json (`rationale.<system>`).
        columns: Columns of the report's table of generated texts.
        explain: Sentences below that table, made from the entries of all systems.
        section: Further parts of the report, made from the entries by the system's readable name.
        terminal: Lines of the terminal's table of rationales.
        verdict: Sentences of the verdict, made from the full model's entries.
        of_teacher: Whether the teacher's own rationales are scored as well, to compare with.
    """

    compute: Callable[[WrittenRationales], Mapping[str, Any]]
    columns: tuple[Column, ...] = ()
    explain: Callable[[Sequence[Entries]], str] = lambda systems: ""
    section: Callable[[Mapping[str, Entries]], list[str]] = no_parts
    terminal: tuple[Column, ...] = ()
    verdict: Callable[[Entries], list[str]] = no_parts
    of_teacher: bool = False


def require_one_each(generated: Sequence[Any], references: Sequence[str]) -> None:
    """Raise `InputDataError` unless there is one rationale and one reference for every example."""
    if len(generated) != len(references) or not references:
        raise InputDataError(
            f"{len(generated)} rationales for {len(references)} references; give one of each for every example"
        )
