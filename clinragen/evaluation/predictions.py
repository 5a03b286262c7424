"""The saved answers of an evaluation: all that its scores are computed from besides the cohort, and no model.

`predictions.json` has texts and lists of diseases, `predictions.safetensors` probabilities and thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from clinragen.evaluation.baselines.kept import digest_of
from clinragen.evaluation.score_types import Verified
from clinragen.evaluation.systems import MAIN, in_order
from dataset_builder.contract.arrays import label_matrix
from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.storage.files import PRIVATE_FILE, atomic_file, read_json, write_json
from modeling_clinragen.errors import InputDataError
from trainers.phases import PHASES

FORMAT = 1
PREDICTIONS = "predictions.json"
ARRAYS = "predictions.safetensors"
SPLITS = ("test", "validation")
"""The splits of which probabilities are saved: the one that is scored, and the one that temperatures are fitted on."""
LABELS = "validation_labels"
THRESHOLDS = "thresholds"
COUNTS = ("sentences", "withheld", "rewritten", "asked")
"""The numbers of sentences of a rationale, by the fields of `Verified`."""
AGAIN = "run `clinragen evaluate` again"

Lists = Sequence[tuple[str, ...]]
"""The names of diseases that a system lists, for every example."""


@dataclass(frozen=True, kw_only=True)
class SystemPredictions:
    """One model's answers about the test split.

    Args:
        reads_note, reads_labs: What it was shown.
        rationales: Columns of the teacher's rationales that its own are compared with.
        texts: Freely written, one for each explained example.
        verified: The rationales as written and as shown, one for each explained example.
        notes_cut: How much of the notes was read (the fields of `Cut`); None for a system that reads no note.
    """

    reads_note: bool
    reads_labs: bool
    rationales: tuple[str, ...]
    texts: Sequence[str]
    verified: Sequence[Verified]
    notes_cut: Mapping[str, int] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """The answers of all systems.

    Args:
        example_id: The examples of the test split, in its order.
        diseases: Keys of the diseases, the columns of all arrays.
        rows: Which of the examples were explained.
        systems: The models' texts, "full" among them.
        diagnoses: The lists of all systems: the models', those of `OTHER_LISTS` where there is one, the baselines'.
        baselines: What each baseline chose on the validation split, JSON-able.
        probabilities: By split ("test", "validation"), then by system, `(examples, diseases)`, of those that give any.
        thresholds: By system, the probability from which on a disease is listed: `(1, diseases)`, or `(modalities,
            diseases)` for a model with a disease head, whose patients may be given by both, the note or the series.
        validation_id, validation_labels: The examples of the validation split, and their labels.
        curves: The trainer's `log_history` by phase.
        raw: Whether the models wrote freely only.
        notices: Sentences of the recipe that every output must carry.
        truth: Whether omissions were counted against the truth of a synthetic hospital.
    """

    example_id: Sequence[str]
    diseases: Sequence[str]
    rows: Sequence[int]
    systems: Mapping[str, SystemPredictions]
    diagnoses: Mapping[str, Lists]
    baselines: Mapping[str, Mapping[str, Any]]
    probabilities: Mapping[str, Mapping[str, np.ndarray]]
    thresholds: Mapping[str, np.ndarray]
    validation_id: Sequence[str]
    validation_labels: np.ndarray
    curves: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    raw: bool = False
    notices: Sequence[str] = ()
    truth: bool = False

    def require_cohort(self, cohort: CohortSplits, where: str = "the predictions") -> None:
        """Raise `InputDataError` unless the predictions are about the cohort's examples and diseases, in its order."""
        keys = [disease.key for disease in cohort.vocabulary.diseases]
        if list(self.diseases) != keys:
            odd = ", ".join(sorted(set(self.diseases) ^ set(keys)))
            how = f"only one of the two has {odd}" if odd else "they are in another order"
            raise InputDataError(f"{where}: are about other diseases than the cohort's ({how}); give their own cohort")
        for split, given in (("test", self.example_id), ("validation", self.validation_id)):
            _require_examples(given, cohort[split]["example_id"][:], split, where)
        if not np.array_equal(self.validation_labels, label_matrix(cohort["validation"])):
            raise InputDataError(
                f"{where}: the labels of the validation split are no longer those that thresholds were chosen by; "
                f"give the cohort that was evaluated, or {AGAIN}"
            )


def write_predictions(folder: Path, predictions: Predictions) -> None:
    """Save the answers in `folder`; equal answers give equal bytes."""
    from safetensors.numpy import save_file

    arrays = {
        f"{split}.{name}": matrix for split in SPLITS for name, matrix in predictions.probabilities[split].items()
    }
    arrays |= {f"{THRESHOLDS}.{name}": matrix for name, matrix in predictions.thresholds.items()}
    arrays = {name: np.ascontiguousarray(matrix, dtype=np.float64) for name, matrix in arrays.items()}
    arrays[LABELS] = np.ascontiguousarray(predictions.validation_labels, dtype=np.int8)
    path = Path(folder) / ARRAYS
    with atomic_file(path) as beside:
        save_file(arrays, beside)
        beside.chmod(PRIVATE_FILE)
    systems, count, rows = predictions.systems, len(predictions.example_id), predictions.rows

    def of_all(texts: Mapping[str, Sequence[str | None]]) -> dict[str, list[str | None]]:
        return {name: _spread(one, rows, count) for name, one in texts.items()}

    write_json(
        Path(folder) / PREDICTIONS,
        {
            "format": FORMAT,
            "arrays": digest_of(arrays),
            "example_id": list(predictions.example_id),
            "validation_id": list(predictions.validation_id),
            "diseases": list(predictions.diseases),
            "rows": list(rows),
            "texts": of_all({name: one.texts for name, one in systems.items()}),
            "written": of_all({name: [text.raw for text in one.verified] for name, one in systems.items()}),
            "shown": of_all({name: [text.shown for text in one.verified] for name, one in systems.items()}),
            "sentences": {
                name: {part: [vars(text)[part] for text in one.verified] for part in COUNTS}
                for name, one in systems.items()
            },
            "diagnoses": {name: [list(names) for names in lists] for name, lists in predictions.diagnoses.items()},
            "systems": {
                name: {
                    "reads_note": one.reads_note,
                    "reads_labs": one.reads_labs,
                    "rationales": list(one.rationales),
                    "notes_cut": one.notes_cut,
                }
                for name, one in systems.items()
            },
            "baselines": {name: dict(choices) for name, choices in predictions.baselines.items()},
            "curves": {phase: list(records) for phase, records in predictions.curves.items()},
            "raw": predictions.raw,
            "notices": list(predictions.notices),
            "truth": predictions.truth,
        },
    )


def read_predictions(folder: Path) -> Predictions:
    """Read saved answers.

    Raises:
        InputDataError: They are missing, damaged, empty, of an earlier version or of something else.
    """
    path = Path(folder) / PREDICTIONS
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("example_id"), list):
        raise InputDataError(
            f"{path}: are not the predictions of an evaluation; give the output of `clinragen evaluate`"
        )
    if "format" not in content:
        raise InputDataError(f"{path}: were saved by an earlier version, without what rescoring needs; {AGAIN}")
    if content["format"] != FORMAT:
        raise InputDataError(f"{path}: have format {content['format']}, this version reads {FORMAT}; {AGAIN}")
    if not content["example_id"]:
        raise InputDataError(f"{path}: has no predictions; {AGAIN}")
    arrays = _read_arrays(path.with_name(ARRAYS))
    damaged = f"{path}: is damaged, or was changed by hand ({{}}); {AGAIN}"
    if digest_of(arrays) != content.get("arrays"):
        raise InputDataError(damaged.format(f"{ARRAYS} beside it is not the one that was saved with it"))
    try:
        found = _parsed(content, arrays)
        fault = _fault(found)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        # Not the error's own text, which may quote a patient's.
        raise InputDataError(damaged.format("an entry is missing or has another form")) from error
    if fault is not None:
        raise InputDataError(damaged.format(fault))
    return found


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not path.is_file():
        raise InputDataError(f"{path}: is missing; copy it from beside the other files of the evaluation, or {AGAIN}")
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise InputDataError(f"{path}: is damaged; {AGAIN}") from error


def _parsed(content: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Predictions:
    rows = [int(row) for row in content["rows"]]

    def of(prefix: str) -> dict[str, np.ndarray]:
        own = {name.partition(".")[2]: value for name, value in arrays.items() if name.startswith(f"{prefix}.")}
        return dict(in_order(own))

    phases = [phase.name for phase in PHASES if phase.name in content["curves"]]
    return Predictions(
        example_id=[str(name) for name in content["example_id"]],
        diseases=[str(key) for key in content["diseases"]],
        rows=rows,
        systems={name: _system(name, content, rows) for name, _ in in_order(content["systems"])},
        diagnoses={
            name: [tuple(map(str, names)) for names in lists] for name, lists in in_order(content["diagnoses"])
        },
        baselines=dict(in_order(content["baselines"])),
        probabilities={split: of(split) for split in SPLITS},
        thresholds=of(THRESHOLDS),
        validation_id=[str(name) for name in content["validation_id"]],
        validation_labels=arrays[LABELS],
        curves={phase: content["curves"][phase] for phase in phases},
        raw=bool(content["raw"]),
        notices=[str(notice) for notice in content["notices"]],
        truth=bool(content["truth"]),
    )


def _system(name: str, content: Mapping[str, Any], rows: Sequence[int]) -> SystemPredictions:
    facts = content["systems"][name]
    texts, written, shown = ([content[entry][name][row] for row in rows] for entry in ("texts", "written", "shown"))
    counts = [content["sentences"][name][part] for part in COUNTS]
    return SystemPredictions(
        reads_note=bool(facts["reads_note"]),
        reads_labs=bool(facts["reads_labs"]),
        rationales=tuple(map(str, facts["rationales"])),
        texts=texts,
        verified=[Verified(*one) for one in zip(written, shown, *counts, strict=True)],
        notes_cut=facts["notes_cut"],
    )


def _fault(predictions: Predictions) -> str | None:
    """Which part does not fit the others; None where all do."""
    examples, diseases = len(predictions.example_id), len(predictions.diseases)
    if MAIN not in predictions.systems:
        return f"there is no system '{MAIN}'"
    if len(set(predictions.example_id)) != examples:
        return "an example is there twice"
    if missing := {*predictions.systems, *predictions.baselines} - set(predictions.diagnoses):
        return f"no diagnoses of {sorted(missing)[0]}"
    for name, lists in predictions.diagnoses.items():
        if len(lists) != examples:
            return f"{len(lists)} lists of {name} for {examples} examples"
    for split, expected in (("test", examples), ("validation", len(predictions.validation_id))):
        for name, matrix in predictions.probabilities[split].items():
            if matrix.shape != (expected, diseases):
                return f"probabilities {matrix.shape} of {name} for {expected} examples and {diseases} diseases"
            if not ((matrix >= 0) & (matrix <= 1)).all():
                return f"probabilities of {name} outside 0 to 1"
    if predictions.validation_labels.shape != (len(predictions.validation_id), diseases):
        return "labels of other validation examples"
    return None


def _spread(texts: Sequence[str | None], rows: Sequence[int], count: int) -> list[str | None]:
    """The texts by example of the test split; None for an example of which no rationale was wanted."""
    found: list[str | None] = [None] * count
    for row, text in zip(rows, texts, strict=True):
        found[row] = text
    return found


def _require_examples(given: Sequence[str], there: Sequence[str], split: str, where: str) -> None:
    if list(given) == list(there):
        return
    only = len(set(given) - set(there)), len(set(there) - set(given))
    if not any(only):
        raise InputDataError(f"{where}: have the cohort's {split} examples in another order; give their own cohort")
    raise InputDataError(
        f"{where}: are about other {split} examples than the cohort's: {only[0]} of {len(given)} are not in it, and "
        f"{only[1]} of its {len(there)} have none; give their own cohort"
    )
