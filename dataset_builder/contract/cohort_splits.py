"""A cohort in memory: its splits with their vocabulary and provenance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datasets import Dataset, DatasetDict

from dataset_builder.storage.governance import is_credentialed, require_publishable
from modeling_clinragen.hub_guard_clinragen import refuse_hub_writes
from modeling_clinragen.vocabulary_clinragen import DEFAULT_RANGE_SET, Vocabulary


class CohortSplits(DatasetDict):
    """The splits of a cohort folder with its provenance and vocabulary.

    What `map` and the like return is a plain `DatasetDict`. A process that has loaded a credentialed cohort writes
    nothing to the Hub any more, whichever of these is to be pushed (see `refuse_hub_writes`).
    """

    def __init__(self, splits: Mapping[str, Dataset], provenance: Mapping[str, Any], vocabulary: Vocabulary) -> None:
        super().__init__(splits)
        self.provenance = dict(provenance)
        self.vocabulary = vocabulary
        if is_credentialed(self.provenance):
            refuse_hub_writes()

    @property
    def range_set(self) -> str:
        """Name of the range set that the cohort was described, or last taught, with."""
        return range_set_of(self.provenance)

    def push_to_hub(self, repo_id: str, *args: Any, **kwargs: Any) -> Any:
        """As `DatasetDict.push_to_hub`. Raises `GovernanceError` for a cohort from credentialed data."""
        require_publishable(self.provenance, f"the Hub repository {repo_id}")
        return super().push_to_hub(repo_id, *args, **kwargs)


def range_set_of(provenance: Mapping[str, Any]) -> str:
    """Name of the range set that a cohort, or something made of it, was described or taught with.

    The last step that recorded one counts, else the settings of the build, else the default one.
    """
    steps = provenance.get("steps")
    for record in [*reversed(steps if isinstance(steps, list) else []), provenance.get("settings")]:
        if isinstance(record, Mapping) and isinstance(record.get("range_set"), str):
            return str(record["range_set"])
    return DEFAULT_RANGE_SET
