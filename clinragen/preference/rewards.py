"""Verifiable rewards of a rationale: what the patient's data say of it, counted as the evaluation counts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from clinragen.claims.check import CONTRADICTED, SUPPORTED, Checking
from clinragen.evaluation.checked import CheckedRationale, Given, check_text
from clinragen.evaluation.scores.claims import DATA
from clinragen.evaluation.scores.findings import mentioned_findings
from modeling_clinragen.target_layout_clinragen import ParsedOutput, parse_target

KEPT_PATIENTS = 4096
KEPT_TEXTS = 32
"""Of a patient; their checked forms are kept, since several rewards read each."""
SHORTEST, LONGEST = 0.75, 1.25
"""Bounds of a rationale's length, in characters, relative to the teacher's for the same patient."""

Patients = Sequence[Mapping[str, Any]]


class ClinicalRewards:
    """Scores of whole targets (a list of diagnoses and a rationale) about rows of a cohort.

    Each method is a reward function: it takes texts and the row of each, and gives one number for each text. A text
    that cannot be parsed claims nothing and gets the least that there is: 0, or minus infinity by `fewest_false`.

    Args:
        checking: What is checked by.
        layout: Of the texts (`processor.layout`).
        note, labs: What the model reads: claims are judged by that alone.
    """

    def __init__(self, checking: Checking, layout: str, *, note: bool = True, labs: bool = True) -> None:
        self._checking = checking
        self._layout = layout
        self._shown = {"note": note, "labs": labs}
        self._keys = checking.vocabulary.key_of_disease
        self._kept: OrderedDict[str, _Patient] = OrderedDict()

    def nothing_contradicted(self, texts: Sequence[str], patients: Patients) -> list[float]:
        """1 where something is claimed and no claim of any kind is contradicted, else 0."""
        return self._each(texts, patients, _nothing_contradicted)

    def evidence_recall(self, texts: Sequence[str], patients: Patients) -> list[float]:
        """Share of the listed diseases with known evidence in the note, and in the series, whose evidence is cited."""

        def score(one: _Read) -> float:
            cited, known = one.evidence
            return cited / known if known else float(one.checked.text is not None)

        return self._each(texts, patients, score)

    def diagnosis_f1(self, texts: Sequence[str], patients: Patients) -> list[float]:
        """F1 of the listed diagnoses; 1 where there are none to list and none is listed."""

        def score(one: _Read) -> float:
            if one.checked.text is None:
                return 0.0
            listed, true = set(one.parsed.diagnoses), set(one.row["diagnoses"])
            together = len(listed) + len(true)
            return 2 * len(listed & true) / together if together else 1.0

        return self._each(texts, patients, score)

    def length_in_bounds(self, texts: Sequence[str], patients: Patients) -> list[float]:
        """1 where a rationale ends as a sentence does and is about as long as the teacher's, else 0.

        Of a patient without a teacher's rationale only the end counts.
        """

        def score(one: _Read) -> float:
            text = one.parsed.rationale
            wanted = len(self._teacher(one.row))
            fits = not wanted or SHORTEST * wanted <= len(text) <= LONGEST * wanted
            return float(one.checked.text is not None and text.endswith((".", "!", "?")) and fits)

        return self._each(texts, patients, score)

    def fewest_false(self, texts: Sequence[str], patients: Patients) -> list[float]:
        """Minus the number of claims that do not hold: for ranking, where no text is free of contradictions yet.

        A text that cannot be parsed is worse than any other.
        """

        def score(one: _Read) -> float:
            if one.checked.text is None:
                return -float("inf")
            return -float(sum(claim.verdict != SUPPORTED for claim in one.checked.claims))

        return self._each(texts, patients, score)

    def distinct_supported(self, texts: Sequence[str], patients: Patients) -> list[float]:
        """Number of different supported claims about the data; one that is repeated counts once."""

        def score(one: _Read) -> float:
            supported = (claim for claim in one.checked.claims if claim.kind in DATA and claim.verdict == SUPPORTED)
            return float(len({(claim.kind, claim.variable, claim.text.lower()) for claim in supported}))

        return self._each(texts, patients, score)

    def evidence_cited(self, texts: Sequence[str], patients: Patients) -> list[float]:
        """Number of listed diseases, by source, whose evidence is cited."""
        return self._each(texts, patients, lambda one: float(one.evidence[0]))

    def claims(self, texts: Sequence[str], patients: Patients) -> list[float]:
        """Number of claims about the data."""
        return self._count(texts, patients, None)

    def supported(self, texts: Sequence[str], patients: Patients) -> list[float]:
        """Number of supported claims about the data."""
        return self._count(texts, patients, SUPPORTED)

    def contradicted(self, texts: Sequence[str], patients: Patients) -> list[float]:
        """Number of contradicted claims about the data."""
        return self._count(texts, patients, CONTRADICTED)

    def _count(self, texts: Sequence[str], patients: Patients, verdict: str | None) -> list[float]:
        def score(one: _Read) -> float:
            counted = (claim for claim in one.checked.claims if claim.kind in DATA)
            return float(sum(verdict is None or claim.verdict == verdict for claim in counted))

        return self._each(texts, patients, score)

    def _teacher(self, row: Mapping[str, Any]) -> str:
        columns = {"note": "rationale_note", "labs": "rationale_lab"}
        parts = [row.get(column) or "" for shown, column in columns.items() if self._shown[shown]]
        return " ".join(filter(None, parts))

    def _each(self, texts: Sequence[str], patients: Patients, score: Callable[[_Read], float]) -> list[float]:
        return [score(self._read(text, row)) for text, row in zip(texts, patients, strict=True)]

    def _read(self, text: str, row: Mapping[str, Any]) -> _Read:
        """A text as checked; several rewards of the same text read it once."""
        patient = self._patient(row)
        if text not in patient.read:
            if len(patient.read) >= KEPT_TEXTS:
                patient.read.clear()
            parsed = parse_target(self._layout, text)
            checked = check_text(parsed.rationale if parsed.problem is None else None, patient.given)
            listed = frozenset(self._keys[name] for name in parsed.diagnoses if name in self._keys)
            patient.read[text] = _Read(row, parsed, checked, listed)
        return patient.read[text]

    def _patient(self, row: Mapping[str, Any]) -> _Patient:
        key = str(row["example_id"])
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        self._kept[key] = _Patient(Given(row, self._checking, **self._shown))
        if len(self._kept) > KEPT_PATIENTS:
            self._kept.popitem(last=False)
        return self._kept[key]


class _Read:
    """A text, taken apart and checked."""

    def __init__(
        self, row: Mapping[str, Any], parsed: ParsedOutput, checked: CheckedRationale, listed: frozenset[str]
    ) -> None:
        self.row, self.parsed, self.checked = row, parsed, checked
        # Worked out once: how many diseases' evidence is cited, by source, and of how many.
        found = mentioned_findings(checked, listed) if checked.text is not None else {"note": (0, 0), "series": (0, 0)}
        self.evidence = tuple(sum(found[source][place] for source in ("note", "series")) for place in (0, 1))


class _Patient:
    """All that is kept of a patient: the checker, and the texts that it has read."""

    def __init__(self, given: Given) -> None:
        self.given = given
        self.read: dict[str, _Read] = {}


def _nothing_contradicted(one: _Read) -> float:
    claims = one.checked.claims
    return float(bool(claims) and all(claim.verdict != CONTRADICTED for claim in claims))
