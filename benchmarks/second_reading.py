"""Reads the rationales that an evaluation shows a second time, by a program that knows nothing of the claim checker.

    python benchmarks/second_reading.py [RUN] [--evaluation FOLDER] [--output FILE]

RUN is the folder of `clinragen quickstart` (default runs/quickstart). Models show only what the claim checker
supports, so the checker cannot say how often it is mistaken itself. The second reader was written from docs/claims.md
alone, imports nothing of `clinragen`, and decides each claim of the shown rationales from note, hours and values; a
sentence of a form that it does not know is counted as unread. It takes words strictly: "some readings" are at least
two, a number without its unit has the wrong one. Whether a finding is a sign of a disease it does not judge: such ties
are counted, how many are to diseases that the patient is not coded for, and for a synthetic hospital how many of the
quotations are phrases that the truth gives for the disease. Counts by system, false claims with 95 % intervals
(Wilson), go with versions, commit and machine to benchmarks/results/second_reading.json. Of a synthetic cohort the ids
of the stays with false claims and the number of the sentence are listed; the file has no text of a patient.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from machine import commit
from second_reading_grammar import KINDS, Claim, Grammar
from second_reading_note import Note
from second_reading_rationale import REPEATS, PatientData, Reader, ReadSentence, agreement

from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.contract.definitions import read_definitions
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.schema import load_examples
from dataset_builder.contract.truth import TRUTH, HospitalTruth, read_truth
from dataset_builder.storage.files import read_json, write_json

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "second_reading.json"
NORMAL_QUANTILE = 1.959964  # of 95 %


def main() -> None:
    """Read, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", default=Path("runs/quickstart"))
    parser.add_argument("--evaluation", type=Path, help="folder of predictions.json (default RUN/evaluation)")
    parser.add_argument("--output", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    evaluation = chosen.evaluation or chosen.run / "evaluation"
    cohort = load_examples(chosen.run / "rationales")
    tables = chosen.run / "hospital" / "tables"
    truth = read_truth(tables) if (tables / TRUTH).is_file() else None
    reader = Reader(Grammar(cohort.vocabulary), _lasting(chosen.run / "rationales"))
    predictions = read_json(evaluation / "predictions.json")
    result = {
        "what": "second reading of the shown rationales, independent of the claim checker",
        "provenance": {key: cohort.provenance.get(key) for key in ("source", "version", "synthetic")},
        "kinds": dict(KINDS),
        "repeats": dict(REPEATS),
        "systems": read_systems(predictions, cohort, truth, reader),
        "command": "python benchmarks/second_reading.py RUN",
        "versions": {name: version(name) for name in ("numpy", "clinragen")},
        "commit": commit(),
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
    }
    write_json(chosen.output, result)
    print(json.dumps(result["systems"], indent=2))


def read_systems(
    predictions: Mapping[str, Any], cohort: CohortSplits, truth: HospitalTruth | None, reader: Reader
) -> dict[str, Any]:
    """The figures of every system in the content of a predictions.json that shows rationales."""
    patients = dict(_patients(predictions["example_id"], cohort, truth))
    systems = {}
    for system, texts in predictions["shown"].items():
        read: dict[str, tuple[list[str], list[ReadSentence]]] = {}
        for example, text, listed in zip(
            predictions["example_id"], texts, predictions["diagnoses"][system], strict=True
        ):
            if text is not None:
                read[example] = (listed, reader.read(text, listed, patients[example]))
        systems[system] = figures(read, listing=cohort.provenance.get("synthetic") is True)
    return systems


def figures(read: Mapping[str, tuple[Sequence[str], Sequence[ReadSentence]]], listing: bool) -> dict[str, Any]:
    """Counts over the rationales of one system.

    Args:
        read: By example id, the listed diagnoses and the sentences as they were read.
        listing: Whether to list the ids of the examples with a false claim.
    """
    sentences = [sentence for _, found in read.values() for sentence in found]
    statements = [sentence.statement for sentence in sentences if sentence.statement is not None]
    claims = [claim for sentence in sentences for claim in sentence.claims]
    compared = [agreement(found, listed) for listed, found in read.values()]
    ties = [tie for sentence in sentences for tie in sentence.ties]
    result: dict[str, Any] = {
        "rationales": len(read),
        "empty": sum(not found for _, found in read.values()),
        "empty_with_listed_diseases": sum(not found and bool(listed) for listed, found in read.values()),
        "sentences": len(sentences),
        "unread": sum(sentence.statement is None for sentence in sentences),
        "quotations": sum(len(statement.quotations) for statement in statements),
        "series_statements": sum(bool(statement.variables) for statement in statements),
        "claims": _rate(claims),
        "claims_by_kind": {kind: _rate(same) for kind in KINDS if (same := [c for c in claims if c.kind == kind])},
        "true_but_doubtful": dict(Counter(claim.doubt for claim in claims if claim.doubt).most_common()),
        "ties": {
            "quotations": sum(tie.by_quotation for tie in ties),
            "series": sum(not tie.by_quotation for tie in ties),
            "disease_not_coded": sum(tie.lacking for tie in ties),
            "quotations_known_to_the_truth": sum(tie.by_truth is True for tie in ties),
            "quotations_unknown_to_the_truth": sum(tie.by_truth is False for tie in ties),
        },
        "malformed": {
            "sentences": sum(bool(sentence.faults) for sentence in sentences),
            "rationales": sum(any(sentence.faults for sentence in found) for _, found in read.values()),
            "by_kind": dict(Counter(fault for sentence in sentences for fault in sentence.faults).most_common()),
        },
        "listed_diseases": {
            "all": sum(len(listed) for listed, _ in read.values()),
            "never_named": sum(one.never_named for one in compared),
            "rationales_with_never_named": sum(bool(one.never_named) for one in compared),
            "named_only_as_absent": sum(one.only_absent for one in compared),
            "argued_and_denied": sum(one.disagreeing for one in compared),
        },
        "repeated": {
            kind: {
                "count": sum(one.repeats[kind] for one in compared),
                "rationales": sum(bool(one.repeats[kind]) for one in compared),
            }
            for kind in REPEATS
        },
    }
    if listing:
        result["false_in"] = _false_in(read)
    return result


def _false_in(read: Mapping[str, tuple[Sequence[str], Sequence[ReadSentence]]]) -> list[dict[str, Any]]:
    return [
        {"example_id": example, "sentence": number, "kind": claim.kind}
        for example, (_, found) in read.items()
        for number, sentence in enumerate(found, start=1)
        for claim in sentence.claims
        if claim.true is False
    ]


def _rate(claims: Sequence[Claim]) -> dict[str, Any]:
    """How many there are, how many of them are not decided or false, and the rate among those that are decided."""
    decided = sum(claim.true is not None for claim in claims)
    false = sum(claim.true is False for claim in claims)
    return {
        "claims": len(claims),
        "undecided": len(claims) - decided,
        "false": false,
        "false_rate": false / decided if decided else None,
        "interval_95": wilson(false, decided),
    }


def wilson(hits: int, trials: int) -> list[float] | None:
    """Wilson's 95 % interval of a rate; None where there are no trials."""
    if not trials:
        return None
    square = NORMAL_QUANTILE**2
    rate = hits / trials
    middle = (rate + square / (2 * trials)) / (1 + square / trials)
    half = math.sqrt(rate * (1 - rate) / trials + square / (4 * trials**2)) * NORMAL_QUANTILE / (1 + square / trials)
    # At either end of the scale the bound is exact, but for rounding.
    return [middle - half if hits else 0.0, middle + half if hits < trials else 1.0]


def _patients(
    wanted: Sequence[str], cohort: CohortSplits, truth: HospitalTruth | None
) -> Iterator[tuple[str, PatientData]]:
    ids = frozenset(wanted)
    for split in cohort.values():
        held = [place for place, example in enumerate(split["example_id"]) if example in ids]
        for row in split.select(held):
            data = PatientData(
                note=Note(row["note"]),
                series=LabSeries.from_example(cohort.vocabulary, row),
                range_set=cohort.range_set,
                has=frozenset(row["diagnoses"]),
                truth=None if truth is None else truth.of(row["hadm_id"], row["stay_id"]),
            )
            yield row["example_id"], data


def _lasting(folder: Path) -> list[str]:
    """Names of the diseases that a past mention counts for."""
    definitions = read_definitions(folder)
    names = definitions.vocabulary.name_of_disease
    return [names[key] for key, entry in definitions.diseases.items() if entry.get("history_counts")]


if __name__ == "__main__":
    main()
