"""Probabilities of fitted baselines, kept in a folder for the next evaluation of the same cohort."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.contract.arrays import label_matrix, series_column
from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.contract.schema import SPLITS
from dataset_builder.storage.files import PRIVATE_FILE, atomic_file, fingerprint, private_folder
from modeling_clinragen.vocabulary_clinragen import RangeSet

logger = logging.getLogger(__name__)

FACTS = "baseline"
"""The entry of a file's metadata that says what it was computed from, and has a digest of its arrays."""


@dataclass(frozen=True, eq=False)
class Probabilities:
    """The results of one fitted baseline.

    Args:
        validation, test: Its probabilities, `(examples, diseases)`.
        trees: Number of trees of each disease, `(diseases,)`.
        columns: Number of its inputs, `(1,)`.
    """

    validation: np.ndarray
    test: np.ndarray
    trees: np.ndarray
    columns: np.ndarray


class KeptProbabilities:
    """A folder with one file for each baseline: arrays in safetensors, with what they were computed from.

    Like what they were computed from, they are about patients: the folder is its owner's alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def read(self, name: str, stamp: Mapping[str, Any]) -> Probabilities | None:
        """The probabilities that were kept under this name with exactly this stamp, else None.

        A file that cannot be read, or whose content is not what was written, is logged and counts as none.
        """
        from safetensors import SafetensorError, safe_open

        path = self._path(name)
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="np") as kept:
                facts = json.loads((kept.metadata() or {})[FACTS])
                if facts["stamp"] != stamp:
                    return None
                arrays = {name: kept.get_tensor(name) for name in kept.keys()}  # noqa: SIM118 (not a dict)
            whole = facts["content"] == digest_of(arrays)
        except (SafetensorError, OSError, ValueError, KeyError, TypeError):
            whole = False
        if not whole:
            logger.warning("%s: is damaged; the baseline is fitted again", path)
            return None
        return Probabilities(**arrays)

    def write(self, name: str, stamp: Mapping[str, Any], probabilities: Probabilities) -> None:
        """Keep probabilities under a name, in place of those that were kept under it before."""
        from safetensors.numpy import save_file

        arrays = {key: np.ascontiguousarray(value) for key, value in vars(probabilities).items()}
        facts = {"stamp": stamp, "content": digest_of(arrays)}
        private_folder(self.folder)
        with atomic_file(self._path(name)) as beside:
            # One entry: safetensors keeps no order of several, and equal content shall be equal bytes.
            save_file(arrays, beside, metadata={FACTS: json.dumps(facts, sort_keys=True)})
            beside.chmod(PRIVATE_FILE)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"


def cohort_digest(cohort: CohortSplits, range_set: RangeSet) -> str:
    """Digest of all that a baseline reads of a cohort: subjects, notes, series, labels, their order, and the ranges.

    Rationales do not count, so that a cohort that was taught anew keeps its baselines.
    """
    vocabulary = cohort.vocabulary
    keys = [[disease.key for disease in vocabulary.diseases], list(vocabulary.variable_keys)]
    digest = hashlib.sha256(fingerprint(keys, asdict(range_set)).encode())
    for name in SPLITS:
        split = cohort[name]
        _add(digest, [name.encode(), np.array(split["subject_id"], dtype=np.int64), label_matrix(split)])
        _add(digest, [note.encode() for note in split["note"]])
        for series in series_column(split):
            _add(digest, [series["hours"], series["values"]])
    return digest.hexdigest()


def _add(digest: Any, parts: Sequence[bytes | np.ndarray]) -> None:
    for part in parts:
        content = part if isinstance(part, bytes) else part.tobytes()
        # With its length: "ab", "c" is not "a", "bc".
        digest.update(len(content).to_bytes(8, "little") + content)


def digest_of(arrays: Mapping[str, np.ndarray]) -> str:
    """Digest of arrays by name: their types, shapes and content."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        _add(digest, [name.encode(), str((array.dtype.str, array.shape)).encode(), array])
    return digest.hexdigest()
