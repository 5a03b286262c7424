"""Diagnoses with rationales in which every sentence holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import torch

from clinragen.claims.check import Checking
from clinragen.claims.sentences import Patient, SentenceChecker
from clinragen.verification.config import VerifyConfig
from clinragen.verification.facts import facts_of, measured
from clinragen.verification.missing import Gap, gaps
from clinragen.verification.result import VerifiedRationale
from clinragen.verification.review import Review
from clinragen.verification.writer import Ask, Next, Request, Writer
from dataset_builder.storage.progress import Progress, Report, no_report
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.processing_clinragen import RATIONALE_MARK
from modeling_clinragen.targets_clinragen import Row

Seen = Callable[[VerifiedRationale], None]
"""Called with one patient's result so far, whenever a sentence has been accepted or withheld."""


def generate_verified(
    model: Any,
    processor: Any,
    patients: Sequence[Patient],
    checking: Checking,
    config: VerifyConfig | None = None,
    *,
    report: Report = no_report,
) -> list[VerifiedRationale]:
    """Diagnose patients and explain the diagnoses with sentences that the patients' data support; see `Verifier`.

    Args:
        model, processor: A ClinRaGen model and its processor.
        patients: What each one's rationale may draw on and is checked against. Without a note or without measurements
            the model is shown none.
        checking: What rationales are checked by.
        config: How to write and check.
        report: Called with the number of patients finished.

    Returns:
        One result per patient, in order.

    Raises:
        SettingsError: The model's vocabulary is not the checking's, or its layout has the list of diseases last.
    """
    return Verifier(model, processor, checking, config).generate(patients, report)


class Verifier:
    """Writes rationales in which every sentence holds.

    The model writes under the constraint of each patient's data (`modeling_clinragen.grounded_clinragen`), so that
    quotations are the note's words and numbers those of the series. Then sentence by sentence: one that the checker
    does not support is written again from the accepted text, a bounded number of times, else withheld. At last the
    model is asked for sentences about evidence of the listed diseases that it left out.

    Args:
        model, processor: A ClinRaGen model and its processor.
        checking: What rationales are checked by.
        config: How to write and check.

    Raises:
        SettingsError: The model's vocabulary is not the checking's, or its layout has the list of diseases last.
    """

    def __init__(self, model: Any, processor: Any, checking: Checking, config: VerifyConfig | None = None) -> None:
        vocabulary = processor.require_vocabulary(model.config)
        vocabulary.require_same(checking.vocabulary, "the model", "the checking of claims")
        if processor.layout != "diagnosis-first":
            raise SettingsError(
                f"verified generation needs the layout diagnosis-first, this processor's is {processor.layout}; "
                "use raw output (`--raw`)"
            )
        self._config = config if config is not None else VerifyConfig()
        self._processor = processor
        self._checking = checking
        self._writer = Writer(model.eval(), processor, self._config)
        # The writer holds what it has read of one batch.
        self._one_batch = Lock()

    @torch.inference_mode()
    def generate(
        self, patients: Sequence[Patient], report: Report = no_report, *, seen: Seen | None = None
    ) -> list[VerifiedRationale]:
        """One result per patient, in order. It may be called from several threads, which wait for one another.

        Args:
            patients: As for `generate_verified`.
            report: Called with the number of patients finished.
            seen: Called with what is certain so far: nothing where the writing begins, then the accepted sentences,
                which stay, in their order. What it raises ends the writing.
        """
        order = sorted(range(len(patients)), key=lambda row: size_of(patients[row]))
        results: dict[int, VerifiedRationale] = {}
        for start in range(0, len(order), self._config.batch_size):
            rows = order[start : start + self._config.batch_size]
            with self._one_batch:
                results.update(zip(rows, self._batch([patients[row] for row in rows], seen), strict=True))
            report(Progress(len(results), len(order), "patients"))
        return [results[row] for row in range(len(patients))]

    def _batch(self, patients: Sequence[Patient], seen: Seen | None) -> list[VerifiedRationale]:
        writer = self._writer
        if seen is not None:
            seen(VerifiedRationale((), (), (), ""))
        cases = [
            _Case(place, patient, self._checking, self._processor, writer, self._config, seen)
            for place, patient in enumerate(patients)
        ]
        drafts = writer.drafts(
            [case.grounding for case in cases],
            [case.reading for case in cases],
            lambda place, text: cases[place].goes_on(text),
        )
        for case, draft in zip(cases, drafts, strict=True):
            case.read(draft)
        readable = [case for case in cases if case.problem is None]
        _rewrite(readable, writer, self._config)
        if self._config.complete:
            _complete(readable, writer, self._config)
        return [case.result() for case in cases]


def size_of(patient: Patient) -> tuple[int, int]:
    """The size that patients are ordered by before they are put into batches.

    Similar lengths together: less padding, and short answers need not wait for long ones.
    """
    return len(patient.note or ""), len(patient.series.hours)


class _Case:
    """One patient on the way from draft to result."""

    def __init__(
        self,
        place: int,
        patient: Patient,
        checking: Checking,
        processor: Any,
        writer: Writer,
        config: VerifyConfig,
        seen: Seen | None,
    ) -> None:
        self._place = place
        self._processor = processor
        self._writer = writer
        self._config = config
        self.checker = SentenceChecker(patient, checking)
        self.reading = processor.reading(patient.note, measured(patient))
        self.grounding = writer.grounding(facts_of(patient, self.checker, self.reading.spans))
        self._draft: str | None = None
        # The gaps that have been asked for, each with the draw; and the last one, or None for a refused sentence.
        self._tried: set[tuple[Gap, int | None]] = set()
        self._asked: Gap | None = None
        self._given = ""
        self._seen = seen
        self._told = 0

    def tell(self) -> None:
        """Say what is certain so far, where that is more than before."""
        if self._seen is None or self.problem is not None:
            return
        count = len(self.review.accepted) + len(self.review.withheld)
        if count > self._told:
            self._told = count
            self._seen(self.result())

    def read(self, draft: str) -> None:
        """Take the draft, where it has not been taken yet; one that is not well formed has no sentences."""
        if self._draft is not None:
            return
        parsed = self._processor.parse(draft)
        self._draft, self._parsed, self.problem = draft, parsed, parsed.problem
        if parsed.problem is not None:
            return
        self.checker.list_diagnoses(parsed.diagnoses)
        self.review = Review(self.checker, parsed.rationale)
        # Where the opening and so many accepted sentences have been read to.
        self._opening = draft[: draft.index(RATIONALE_MARK) + len(RATIONALE_MARK)]
        self._row: Row | None = None
        self._sentences = -1
        self.tell()

    def goes_on(self, text: str) -> Next | None:
        """How a text goes on that has come to its end: from what holds of it, with a new sentence."""
        if self._draft is None:
            self.read(text)
            if self.problem is not None:
                return None
        else:
            written = text.removeprefix(self._given)
            if self._asked is None:
                self.review.offer([written])
            else:
                self.review.add([written], self._asked)
            self.tell()
        following = self._following()
        if following is None or text.startswith(following.given):
            return following
        # Text behind a refused sentence does not go on from what holds: it is asked for afterwards.
        if self._asked is not None:
            self._tried.discard((self._asked, following.draw))
        return None

    def _following(self) -> Next | None:
        review, config = self.review, self._config
        # A withheld sentence may uncover another refused one, which has tries of its own.
        while review.refused is not None:
            if review.tries < config.tries * config.candidates:
                return self._next(review.tries)
            review.withhold()
        for draw in (None, *range(config.tries)) if config.complete else ():
            gap = next(iter(self.open_gaps(draw)), None)
            if gap is not None:
                return self._next(draw, gap)
        return None

    def open_gaps(self, draw: int | None) -> list[Gap]:
        """The evidence that is missing and has not been asked for in this way."""
        found = gaps(self.checker, self.review.accepted)
        return [gap for gap in found if (gap, draw) not in self._tried]

    def _next(self, draw: int | None, gap: Gap | None = None) -> Next:
        self._asked = gap
        if gap is not None:
            self._tried.add((gap, draw))
        self._given = f"{self._opening} {self.review.text}".strip()
        return Next(self._given, draw, None if gap is None else Ask(gap.begins, gap.name))

    def request(self, draw: int | None, gap: Gap | None = None) -> Request:
        """A request for one more sentence, about a gap or whatever comes next."""
        if self._sentences < 0:
            self._row, self._sentences = self._writer.opened(self._opening, self.grounding), 0
        for sentence in self.review.accepted[self._sentences :]:
            self._row = self._writer.goes_on(self._row, f" {sentence.text}", self.grounding)
        self._sentences = len(self.review.accepted)
        return Request(self._place, self.grounding, self._row, self._next(draw, gap))

    def result(self) -> VerifiedRationale:
        """The outcome."""
        if self.problem is not None:
            return VerifiedRationale(self._parsed.diagnoses, (), (), self._draft or "", self.problem)
        review = self.review
        return VerifiedRationale(
            self._parsed.diagnoses,
            tuple(review.accepted),
            tuple(review.withheld),
            self._draft or "",
            None,
            review.rewritten,
            review.asked,
        )


def _rewrite(cases: Sequence[_Case], writer: Writer, config: VerifyConfig) -> None:
    """Replace or withhold refused sentences, those of all patients side by side, until none is left."""
    left = [case for case in cases if case.review.refused is not None]
    most = config.tries * config.candidates
    while left:
        for case in left:
            # A withheld sentence may uncover another refused one, which has tries of its own.
            while case.review.refused is not None and case.review.tries >= most:
                case.review.withhold()
        left = [case for case in left if case.review.refused is not None]
        draws = [range(case.review.tries, min(case.review.tries + config.candidates, most)) for case in left]
        requests = [case.request(draw) for case, wanted in zip(left, draws, strict=True) for draw in wanted]
        texts = iter(writer.sentences(requests))
        for case, wanted in zip(left, draws, strict=True):
            case.review.offer([next(texts) for _ in wanted])
            case.tell()
        left = [case for case in left if case.review.refused is not None]


def _complete(cases: Sequence[_Case], writer: Writer, config: VerifyConfig) -> None:
    """Ask for a sentence about each piece of evidence that was left out: the most probable one, then drawn ones."""
    for draw in (None, *range(config.tries)):
        asked = [(case, gap) for case in cases for gap in case.open_gaps(draw)]
        texts = writer.sentences([case.request(draw, gap) for case, gap in asked])
        for (case, gap), text in zip(asked, texts, strict=True):
            # Another one may have filled it by now.
            if not gap.filled(case.review.accepted):
                case.review.add([text], gap)
                case.tell()
