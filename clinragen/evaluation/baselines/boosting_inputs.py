"""The inputs of gradient boosting: phrases that stand in the note, and statistics of the series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clinragen.evaluation.baselines.boosting_settings import BoostingSetting
from clinragen.evaluation.baselines.examples import Inputs, notes_of, require_words
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.series_statistics_clinragen import series_statistics
from modeling_clinragen.vocabulary_clinragen import RangeSet, Vocabulary

SMALL_SHARE = 20
"""In a small cohort nothing need occur in more than one of so many examples."""


def at_most_a_share(wanted: int, examples: int) -> int:
    """A least number of examples, lowered where the training split is so small that hardly anything would reach it."""
    return min(wanted, max(1, examples // SMALL_SHARE))


@dataclass(frozen=True, eq=False)
class BoostingColumns:
    """The inputs of some examples.

    Args:
        phrases: Sparse 0/1 `(examples, phrases)`.
        statistics: `(examples, statistics)`, NaN where one is not defined.
    """

    phrases: Any
    statistics: np.ndarray

    def of(self, inputs: Inputs) -> Any:
        """The columns of one kind of inputs, or of both: a sparse matrix in rows, float32."""
        from scipy.sparse import csr_matrix, hstack

        if inputs == "note":
            return self.phrases
        # LightGBM takes what is not stored as 0, and a stored NaN as missing.
        statistics = csr_matrix(self.statistics.astype(np.float32))
        return statistics if inputs == "labs" else hstack([self.phrases, statistics], format="csr")


class BoostingReader:
    """Makes columns of examples; which phrases there are, it learns from the training notes.

    Args:
        vocabulary: The variables of the series.
        range_set: The normal ranges, for the shares of measurements below and above them.
        setting: How long phrases are, and how frequent.
    """

    def __init__(self, vocabulary: Vocabulary, range_set: RangeSet, setting: BoostingSetting) -> None:
        self.vocabulary = vocabulary
        self.range_set = range_set
        self.setting = setting
        self._phrases: Any = None

    def fit(self, train: Sequence[Mapping[str, Any]]) -> BoostingColumns:
        """Learn the phrases of the training rows (of the data contract), and read these.

        Raises:
            InputDataError: The notes hold no words, or have no phrase in common.
        """
        from sklearn.feature_extraction.text import CountVectorizer

        self._phrases = CountVectorizer(
            ngram_range=(1, self.setting.longest_phrase),
            binary=True,
            min_df=at_most_a_share(self.setting.least_notes, len(train)),
            dtype=np.float32,
        )
        notes = notes_of(train)
        require_words(notes, self._phrases.build_analyzer())
        try:
            phrases = self._phrases.fit_transform(notes)
        except ValueError as error:  # "After pruning, no terms remain"
            raise InputDataError(
                f"no phrase stands in {self._phrases.min_df} of the {len(notes)} training notes; build a larger cohort"
            ) from error
        return BoostingColumns(phrases, self._statistics(train))

    def read(self, examples: Sequence[Mapping[str, Any]]) -> BoostingColumns:
        """Read rows of the data contract, after `fit`."""
        return BoostingColumns(self._phrases.transform(notes_of(examples)), self._statistics(examples))

    def _statistics(self, examples: Sequence[Mapping[str, Any]]) -> np.ndarray:
        return series_statistics(examples, self.vocabulary.variable_keys, self.range_set)
