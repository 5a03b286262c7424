"""Gradient-boosted trees, one LightGBM model a disease."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from clinragen.evaluation.baselines.boosting_inputs import at_most_a_share
from clinragen.evaluation.baselines.boosting_settings import BoostingSetting
from dataset_builder.storage.progress import Progress, Report, no_report
from modeling_clinragen.errors import InputDataError, SettingsError

LEAVES = 15
LEAST_IN_LEAF = 20
PATIENCE = 30
"""A disease gets no further trees once so many have not lowered the validation loss."""
THREADS = 1
"""A fixed number, because sums in another order differ in the last digit. Matrices this small gain little by a second
thread, and lose ten times as much where another process keeps its core busy.
"""
SEED = 0


class BoostedTrees:
    """One model of boosted trees for each disease; the validation split decides how many trees it has.

    The same inputs give the same models. A disease that all or none of the training examples have gets that constant.

    Args:
        setting: Number and learning rate of the trees, and bins.

    Attributes:
        trees: After `fit`, the number of trees of each disease, `(diseases,)`.
    """

    def __init__(self, setting: BoostingSetting) -> None:
        self.setting = setting
        self.trees = np.zeros(0, dtype=np.int64)
        self._models: list[Any] = []

    def fit(
        self,
        train: tuple[Any, np.ndarray],
        validation: tuple[Any, np.ndarray],
        *,
        report: Report = no_report,
    ) -> BoostedTrees:
        """Fit on training examples, with as many trees as suit the validation examples.

        Args:
            train, validation: Inputs, sparse `(examples, columns)`, and labels `(examples, diseases)`.
            report: Called with the number of diseases done.

        Raises:
            InputDataError: One of the two has no example.
            SettingsError: LightGBM cannot be loaded.
        """
        if not len(train[1]) or not len(validation[1]):
            raise InputDataError("gradient boosting needs training and validation examples; enlarge the cohort")
        lightgbm = _lightgbm()
        parameters = self._parameters(len(train[1]))
        # Binned once: the bins of the columns do not depend on the labels.
        data = lightgbm.Dataset(train[0], params=parameters)
        held_out = lightgbm.Dataset(validation[0], reference=data, params=parameters)
        self._models, trees = [], []
        labels, wanted = np.asarray(train[1], dtype=float), np.asarray(validation[1], dtype=float)
        for disease in range(labels.shape[1]):
            target = labels[:, disease]
            if target.min() == target.max():
                model = float(target[0])
            else:
                data.set_label(target)
                held_out.set_label(wanted[:, disease])
                model = lightgbm.train(
                    parameters,
                    data,
                    self.setting.trees,
                    valid_sets=[held_out],
                    callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
                )
            self._models.append(model)
            trees.append(0 if isinstance(model, float) else model.best_iteration)
            report(Progress(disease + 1, labels.shape[1], "diseases"))
        self.trees = np.array(trees, dtype=np.int64)
        return self

    def probabilities(self, inputs: Any) -> np.ndarray:
        """Probabilities `(examples, diseases)` of inputs `(examples, columns)`.

        Raises `SettingsError` before `fit`.
        """
        if not self._models:
            raise SettingsError("gradient boosting is not fitted; call fit first")
        return np.stack(
            [
                np.full(inputs.shape[0], model)
                if isinstance(model, float)
                else model.predict(inputs, num_threads=THREADS)
                for model in self._models
            ],
            axis=1,
        )

    def _parameters(self, examples: int) -> dict[str, Any]:
        return {
            "objective": "binary",
            "num_leaves": LEAVES,
            "min_data_in_leaf": at_most_a_share(LEAST_IN_LEAF, examples),
            "learning_rate": self.setting.learning_rate,
            "max_bin": self.setting.bins,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": THREADS,
            "seed": SEED,
            "verbosity": -1,
        }


def _lightgbm() -> ModuleType:
    # Loading it takes seconds, so that only whoever fits trees does.
    try:
        import lightgbm
    except OSError as error:
        raise SettingsError(
            "LightGBM cannot be loaded, because a system library is missing; install OpenMP (Debian: libgomp1, "
            "macOS: libomp)"
        ) from error
    return lightgbm
