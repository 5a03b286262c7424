"""A cohort in memory: its splits, their vocabulary and where they come from, for whatever is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datasets import Dataset, DatasetDict

from dataset_builder.storage.governance import UNRECORDED, require_publishable
from modeling_clinragen.vocabulary_clinragen import Vocabulary


class CohortSplits(DatasetDict):
    """The splits of a cohort folder with its provenance and vocabulary.

    What `map` and the like return is a plain `DatasetDict`.
    """

    def __init__(self, splits: Mapping[str, Dataset], provenance: Mapping[str, Any], vocabulary: Vocabulary) -> None:
        super().__init__(splits)
        self.provenance = dict(provenance)
        self.vocabulary = vocabulary

    def push_to_hub(self, repo_id: str, *args: Any, **kwargs: Any) -> Any:
        """As `DatasetDict.push_to_hub`. Raises `GovernanceError` for a cohort from credentialed data."""
        require_publishable(self.provenance, f"the Hub repository {repo_id}")
        return super().push_to_hub(repo_id, *args, **kwargs)


def provenance_of(cohort: DatasetDict) -> dict[str, Any]:
    """The provenance of splits that `load_examples` read; of any others, that it is not recorded."""
    return dict(cohort.provenance if isinstance(cohort, CohortSplits) else UNRECORDED)
