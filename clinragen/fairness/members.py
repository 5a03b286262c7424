"""Who belongs to which group: by what the source says of a patient, and by the length of the note."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dataset_builder.contract.groups import KINDS
from modeling_clinragen.errors import InputDataError

NOTE_LENGTH = "note_length"
TERCILES = ("shortest third", "middle third", "longest third")
TITLES = {
    "sex": "Sex",
    "age": "Age in years",
    "race": "Race",
    "insurance": "Insurance",
    "care_unit": "Care unit",
    NOTE_LENGTH: "Length of the note",
}


@dataclass(frozen=True, eq=False)
class Group:
    """One group of examples.

    Args:
        kind: What divides the patients, a key of `TITLES`.
        name: The group's own name.
        members: Whether each example belongs to it, bool `(examples,)`.
        others: Whether it belongs to another group of the kind; who belongs to none is in neither.
    """

    kind: str
    name: str
    members: np.ndarray
    others: np.ndarray


def groups_of(
    example_ids: Sequence[str], said: Mapping[str, Mapping[str, str | None]], notes: Sequence[str]
) -> list[Group]:
    """All groups of a split, kind by kind; a kind of which a source says nothing has none.

    Args:
        example_ids: The examples, in order.
        said: What the source says, by example and kind (see `dataset_builder.contract.groups`).
        notes: Their notes; examples without one have no length.

    Raises:
        InputDataError: The groups are those of other examples.
    """
    lost = sum(name not in said for name in example_ids)
    if lost:
        raise InputDataError(
            f"the file of groups has none for {lost} of {len(example_ids)} examples; build the cohort again"
        )
    by_kind: dict[str, list[str | None]] = {kind: [said[name][kind] for name in example_ids] for kind in KINDS}
    by_kind[NOTE_LENGTH] = _thirds([len(note.split()) for note in notes])
    found = []
    for kind, values in by_kind.items():
        known = np.array([value is not None for value in values])
        names = sorted({value for value in values if value is not None})
        order = [name for name in TERCILES if name in names] if kind == NOTE_LENGTH else names
        for name in order:
            members = np.array([value == name for value in values])
            found.append(Group(kind, name, members, known & ~members))
    return found


def _thirds(lengths: Sequence[int]) -> list[str | None]:
    known = [length for length in lengths if length]
    if not known:
        return [None] * len(lengths)
    low, high = np.quantile(known, [1 / 3, 2 / 3])
    return [TERCILES[int(length > low) + int(length > high)] if length else None for length in lengths]
