"""All baselines of a cohort: fitted, or taken from an earlier evaluation of the same cohort."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from clinragen.evaluation.baselines.boosting import SEED, BoostedTrees
from clinragen.evaluation.baselines.boosting_inputs import BoostingColumns, BoostingReader
from clinragen.evaluation.baselines.boosting_settings import BOOSTED, BOOSTING
from clinragen.evaluation.baselines.examples import COLUMNS
from clinragen.evaluation.baselines.gru import RecurrentBaseline
from clinragen.evaluation.baselines.kept import KeptProbabilities, Probabilities, cohort_digest
from clinragen.evaluation.baselines.logistic import C_GRIDS, LogisticBaseline
from clinragen.evaluation.baselines.prevalence import PrevalenceGuess
from dataset_builder.contract.arrays import label_matrix, series_column
from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.contract.schema import SPLITS
from dataset_builder.storage.code_fingerprint import code_fingerprint
from dataset_builder.storage.progress import Progress, Report, no_report
from modeling_clinragen.errors import InputDataError, SettingsError
from modeling_clinragen.vocabulary_clinragen import RangeSet
from trainers.thresholds import choose_thresholds

BOOSTING_CODE = "clinragen.evaluation.baselines.boosting"


@dataclass(frozen=True, eq=False)
class BaselineAnswers:
    """A baseline's answers about the test split.

    Args:
        predictions: 0/1 decisions `(examples, diseases)`.
        probabilities: `(examples, diseases)`; None for one that gives none.
        choices: What was chosen on the validation split, JSON-able.
        validation: Probabilities of the validation split, `(examples, diseases)`; None where there are none.
        thresholds: The probabilities from which on diseases are given, `(diseases,)`; None where none are used.
    """

    predictions: np.ndarray
    probabilities: np.ndarray | None
    choices: Mapping[str, Any]
    validation: np.ndarray | None = None
    thresholds: np.ndarray | None = None


def fit_baselines(
    cohort: CohortSplits,
    range_set: RangeSet,
    setting: str = "full",
    *,
    gru: bool = False,
    kept: Path | None = None,
    report: Report = no_report,
) -> dict[str, BaselineAnswers]:
    """Let every baseline answer about the test split.

    Args:
        cohort: Splits of the data contract. Labels of the test split are not read.
        range_set: The normal ranges, for the shares of measurements below and above them.
        setting: How much work the baselines do: "full" or "light".
        gru: Whether a recurrent network on the series is one of them.
        kept: Folder with the probabilities of gradient boosting from an earlier call, or for a later one. They are
            used where cohort, setting, code and libraries are the same.
        report: Called before each baseline, and with the number of boosted models that are fitted.

    Returns:
        Answers by system: "gradient_boosting", "gradient_boosting_note" and "gradient_boosting_labs" (which read one
        modality), "gru" where it is asked for, "logistic_regression" and "prevalence".

    Raises:
        SettingsError: The setting is unknown, or LightGBM cannot be loaded.
        InputDataError: The training or the validation split is empty, or the training notes hold no words.
    """
    if setting not in BOOSTING:
        raise SettingsError(f"unknown setting of the baselines '{setting}'; choose one of {', '.join(BOOSTING)}")
    for name in ("train", "validation"):
        if not len(cohort[name]):
            raise InputDataError(f"the baselines need {name} examples; enlarge the cohort")
    work = _Work(cohort, range_set, setting, None if kept is None else KeptProbabilities(kept), report)
    report(Progress(0, None, "baselines", "gradient boosting"))
    found = {name: work.boosted(name) for name in BOOSTED}
    if gru:
        report(Progress(0, None, "baselines", "GRU"))
        found["gru"] = work.recurrent()
    report(Progress(0, None, "baselines", "logistic regression"))
    found["logistic_regression"] = work.regression()
    found["prevalence"] = work.prevalence()
    return found


@dataclass(frozen=True, eq=False)
class _Work:
    """The baselines of one cohort, with the inputs that they share."""

    cohort: CohortSplits
    range_set: RangeSet
    setting: str
    kept: KeptProbabilities | None
    report: Report

    @cached_property
    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """The examples of every split, decoded once."""
        return {name: self.cohort[name].select_columns(list(COLUMNS)).to_list() for name in SPLITS}

    @cached_property
    def columns(self) -> dict[str, BoostingColumns]:
        """The inputs of gradient boosting of every split, read once for its three systems."""
        reader = BoostingReader(self.cohort.vocabulary, self.range_set, BOOSTING[self.setting])
        train = reader.fit(self.rows["train"])
        return {"train": train, **{name: reader.read(self.rows[name]) for name in ("validation", "test")}}

    @cached_property
    def stamp(self) -> dict[str, Any]:
        """All that decides the probabilities of gradient boosting, JSON-able."""
        return {
            "cohort": cohort_digest(self.cohort, self.range_set),
            "setting": {**asdict(BOOSTING[self.setting]), "seed": SEED},
            "lightgbm": version("lightgbm"),
            "code": code_fingerprint(BOOSTING_CODE),
        }

    def boosted(self, name: str) -> BaselineAnswers:
        probabilities = self.kept.read(name, self.stamp) if self.kept is not None else None
        if probabilities is None:
            probabilities = self._boost(name)
            if self.kept is not None:
                self.kept.write(name, self.stamp, probabilities)
        choices = {
            "features": BOOSTED[name],
            "setting": self.setting,
            "columns": int(probabilities.columns[0]),
            "trees": probabilities.trees.tolist(),
        }
        return self._decided(probabilities.validation, probabilities.test, choices)

    def recurrent(self) -> BaselineAnswers:
        parts = {name: (series_column(self.cohort[name]), label_matrix(self.cohort[name])) for name in SPLITS}
        model = RecurrentBaseline().fit(parts["train"], parts["validation"], report=self.report)
        validation, test = (model.probabilities(parts[name][0]) for name in ("validation", "test"))
        return self._decided(validation, test, {"epochs": model.epochs})

    def _decided(self, validation: np.ndarray, test: np.ndarray, choices: Mapping[str, Any]) -> BaselineAnswers:
        """Decisions of a baseline from its probabilities, with thresholds from the validation split."""
        held_out = self.cohort["validation"]
        thresholds, kind, reached = choose_thresholds(label_matrix(held_out), validation, held_out["subject_id"][:])
        chosen = {**choices, "thresholds": kind, "validation_micro_f1": reached}
        return BaselineAnswers((test >= thresholds).astype(np.int8), test, chosen, validation, thresholds)

    def regression(self) -> BaselineAnswers:
        model = LogisticBaseline(self.cohort.vocabulary, self.range_set, c_grid=C_GRIDS[self.setting])
        model.fit(self.rows["train"], self.rows["validation"])
        test, validation = model.probabilities(self.rows["test"]), model.probabilities(self.rows["validation"])
        return BaselineAnswers(model.decide(test), test, model.choices, validation, model.thresholds)

    def prevalence(self) -> BaselineAnswers:
        guess, examples = PrevalenceGuess().fit(label_matrix(self.cohort["train"])), len(self.cohort["test"])
        given = int(guess.given.sum())
        validation = guess.probabilities(len(self.cohort["validation"]))
        return BaselineAnswers(
            guess.predict(examples), guess.probabilities(examples), {"diseases_given": given}, validation
        )

    def _boost(self, name: str) -> Probabilities:
        inputs = {split: columns.of(BOOSTED[name]) for split, columns in self.columns.items()}
        before = list(BOOSTED).index(name)

        def done(progress: Progress) -> None:
            total = progress.total or 0
            number = before * total + progress.done
            self.report(Progress(number, len(BOOSTED) * total, "models", "gradient boosting"))

        trees = BoostedTrees(BOOSTING[self.setting]).fit(
            (inputs["train"], label_matrix(self.cohort["train"])),
            (inputs["validation"], label_matrix(self.cohort["validation"])),
            report=done,
        )
        return Probabilities(
            trees.probabilities(inputs["validation"]),
            trees.probabilities(inputs["test"]),
            trees.trees,
            np.array([inputs["train"].shape[1]]),
        )
