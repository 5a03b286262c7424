"""The part of the examples, rows of the data contract, that baselines read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, get_args

import numpy as np

from modeling_clinragen.errors import InputDataError, SettingsError

Examples = Iterable[Mapping[str, Any]]
Inputs = Literal["both", "note", "labs"]
"""The modalities that a baseline reads."""
COLUMNS = ("subject_id", "note", "lab_hours", "lab_values", "lab_observed", "labels")
"""The columns of the data contract that a baseline needs, the subjects for its thresholds."""


def check_inputs(inputs: str) -> None:
    """Raise `SettingsError` unless `inputs` is one of `Inputs`."""
    if inputs not in get_args(Inputs):
        raise SettingsError(f"unknown baseline features '{inputs}'; choose one of both, note, labs")


def notes_of(examples: Examples) -> list[str]:
    """The note of every example."""
    return [example["note"] for example in examples]


def labels_of(examples: Examples) -> np.ndarray:
    """Labels, int8 `(examples, diseases)`."""
    return np.array([example["labels"] for example in examples], dtype=np.int8)


def require_words(notes: Iterable[str], analyse: Callable[[str], list[str]]) -> None:
    """Raise `InputDataError` where a vectoriser's analyser finds no word in any of the training notes."""
    if not any(analyse(note) for note in notes):
        raise InputDataError("the training notes hold no words; use features='labs' or build with notes")
