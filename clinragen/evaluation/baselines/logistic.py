"""Logistic regression on words and statistics of the series."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from clinragen.evaluation.baselines.examples import (
    Examples,
    Inputs,
    check_inputs,
    labels_of,
    notes_of,
    require_words,
)
from modeling_clinragen.errors import InputDataError, SettingsError
from modeling_clinragen.series_statistics_clinragen import series_statistics
from modeling_clinragen.vocabulary_clinragen import RangeSet, Vocabulary
from trainers.thresholds import choose_thresholds

Predictor = Callable[[Any], np.ndarray]

C_GRIDS = {"full": (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0), "light": (1.0, 10.0, 100.0)}
"""Inverse regularisation strengths to choose from, by setting of the baselines."""
SEED = 0


class LogisticBaseline:
    """One-vs-rest logistic regression on TF-IDF of the note (words and word pairs) and statistics of the series.

    Lab statistics are imputed by the training median, standardised, clipped at 5 standard deviations and divided by
    the square root of their number: rows of both blocks then have about length 1, and one C suits both. C and the
    thresholds are those with the highest validation micro F1. Everything is deterministic. After `fit`, `choices` says
    what was chosen, and `thresholds` `(diseases,)` has the probabilities from which on a disease is given.

    Args:
        vocabulary: The variables of the series.
        range_set: The normal ranges, for the shares of measurements below and above them.
        features: "both", or "note" or "labs" for a single-modality baseline.
        c_grid: Inverse regularisation strengths to choose from.

    Raises:
        SettingsError: The features are unknown, or `c_grid` is empty or has a value that is not above 0.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        range_set: RangeSet,
        features: Inputs = "both",
        *,
        c_grid: Sequence[float] = C_GRIDS["full"],
    ) -> None:
        check_inputs(features)
        if not c_grid or min(c_grid) <= 0:
            raise SettingsError("c_grid needs at least one value, all above 0")
        self.vocabulary = vocabulary
        self.range_set = range_set
        self.features = features
        self.c_grid = tuple(sorted(c_grid))
        self.choices: dict[str, Any] = {}
        self._extractor: Any = None
        self._predictors: list[Predictor] = []
        self.thresholds = np.zeros(0)

    def fit(self, train: Examples, validation: Examples) -> LogisticBaseline:
        """Fit on the training rows (of the data contract) and choose on the validation rows.

        Raises:
            InputDataError: A split is empty, or the training notes hold no words although notes are to be read.
        """
        train, validation = list(train), list(validation)
        if not train or not validation:
            raise InputDataError("the logistic regression needs training and validation examples; enlarge the cohort")
        self._extractor = self._union(train)
        inputs, chosen_on = self._extractor.fit_transform(train), self._extractor.transform(validation)
        labels, wanted = labels_of(train), labels_of(validation)
        subjects = [example["subject_id"] for example in validation]
        best = -1.0
        for c in self.c_grid:
            predictors = [_fit_one(inputs, labels[:, column], c) for column in range(labels.shape[1])]
            probabilities = _probabilities(predictors, chosen_on)
            thresholds, kind, reached = choose_thresholds(wanted, probabilities, subjects)
            if reached > best:
                best = reached
                self._predictors, self.thresholds = predictors, thresholds
                self.choices = {"C": c, "thresholds": kind, "validation_micro_f1": reached}
        self.choices["features"] = self.features
        self.choices["columns"] = int(inputs.shape[1])
        return self

    def predict(self, examples: Examples) -> np.ndarray:
        """0/1 decisions, int8 `(examples, diseases)`. Raises `SettingsError` before `fit`."""
        return self.decide(self.probabilities(examples))

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """0/1 decisions, int8 `(examples, diseases)`, from its probabilities."""
        return (probabilities >= self.thresholds).astype(np.int8)

    def probabilities(self, examples: Examples) -> np.ndarray:
        """Probabilities `(examples, diseases)`. Raises `SettingsError` before `fit`."""
        if not self._predictors:
            raise SettingsError("the logistic regression is not fitted; call fit first")
        return _probabilities(self._predictors, self._extractor.transform(list(examples)))

    def _union(self, train: list[Mapping[str, Any]]) -> Any:
        """The unfitted feature extractor: rows of the contract to a matrix `(examples, columns)`."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline, make_union
        from sklearn.preprocessing import FunctionTransformer, StandardScaler

        blocks = []
        if self.features != "labs":
            words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=3 if len(train) >= 100 else 1)
            require_words(notes_of(train), words.build_analyzer())
            blocks.append(make_pipeline(FunctionTransformer(notes_of), words))
        if self.features != "note":
            numbers = (SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
            columns = {"variables": self.vocabulary.variable_keys, "ranges": self.range_set}
            statistics = FunctionTransformer(series_statistics, kw_args=columns)
            blocks.append(make_pipeline(statistics, *numbers, FunctionTransformer(_clip_to_unit)))
        return make_union(*blocks)


def _clip_to_unit(standardised: np.ndarray) -> np.ndarray:
    return np.clip(standardised, -5, 5) / np.sqrt(standardised.shape[1])


def _fit_one(inputs: Any, target: np.ndarray, c: float) -> Predictor:
    """A function from inputs to the probability of one disease."""
    if target.min() == target.max():
        constant = float(target[0])
        return lambda rows: np.full(rows.shape[0], constant)
    from sklearn.linear_model import LogisticRegression

    # With more columns than rows the dual solver takes a tenth of lbfgs' time. It shuffles, hence the seed.
    # liblinear penalises the intercept, too, which hardly matters beside the loss of a thousand rows at these C.
    model = LogisticRegression(
        C=c,
        solver="liblinear",
        dual=inputs.shape[1] > inputs.shape[0],
        tol=0.01,
        max_iter=1000,
        random_state=SEED,
    ).fit(inputs, target)
    return lambda rows: model.predict_proba(rows)[:, 1]


def _probabilities(predictors: list[Predictor], inputs: Any) -> np.ndarray:
    return np.stack([predictor(inputs) for predictor in predictors], axis=1)
