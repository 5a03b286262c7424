"""Gradient boosting learns what the regression cannot, repeats itself exactly, and is fitted once for each cohort."""

from __future__ import annotations

import json
import logging
import stat
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from datasets import Dataset
from safetensors import safe_open

from clinragen.evaluation.baselines.boosting import BoostedTrees
from clinragen.evaluation.baselines.boosting_inputs import BoostingReader
from clinragen.evaluation.baselines.boosting_settings import BOOSTING
from clinragen.evaluation.baselines.fit import BOOSTED, BaselineAnswers, fit_baselines
from clinragen.evaluation.systems import BASELINES
from dataset_builder.contract.arrays import label_matrix
from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.contract.definitions import shipped_definitions
from dataset_builder.contract.schema import example_features
from dataset_builder.storage.progress import Progress
from modeling_clinragen.errors import InputDataError, SettingsError
from trainers.thresholds import micro_f1

VOCABULARY = shipped_definitions().vocabulary
RANGES = VOCABULARY.range_set("clinical")
SIZES = {"train": 300, "validation": 100, "test": 150}
WORD_ALONE, VALUE_ALONE, EITHER, NOBODY, EVERYBODY = range(5)
Row = dict[str, Any]


def make_row(number: int, rng: np.random.Generator) -> Row:
    """A patient with a word or not, and a high heart rate or not; who has exactly one of the two has `EITHER`."""
    word, high = rng.random(2) < (0.5, 0.3)
    fills = np.array([variable.fill for variable in VOCABULARY.variables])
    values = fills * rng.normal(1.0, 0.02, size=(4, len(fills)))
    values[:, VOCABULARY.variable_keys.index("heart_rate")] *= 1.4 if high else 1.0
    labels = [0] * len(VOCABULARY.diseases)
    labels[WORD_ALONE], labels[VALUE_ALONE], labels[EITHER] = int(word), int(high), int(word != high)
    labels[EVERYBODY] = 1
    fillers = " ".join(f"filler{one}" for one in rng.integers(0, 30, 12))
    return {
        **dict.fromkeys(("source", "note_policy", "lab_summary", "rationale_note", "rationale_lab"), ""),
        **dict.fromkeys(("subject_id", "hadm_id", "stay_id"), number),
        "example_id": str(number),
        "note": f"{fillers} {'dyspnea on exertion' if word else 'comfortable at rest'}",
        "lab_hours": [0.0, 1.0, 2.0, 3.0],
        "lab_values": values.tolist(),
        "lab_observed": np.ones(values.shape, dtype=bool).tolist(),
        "labels": labels,
        "diagnoses": [],
        "prediction_time": 24.0,
    }


def make_cohort(change: Callable[[str, list[Row]], None] | None = None) -> CohortSplits:
    """The same patients at every call; `change` may alter the rows of a split."""
    rng, splits, number = np.random.default_rng(0), {}, 0
    for name, size in SIZES.items():
        rows = [make_row(number + one, rng) for one in range(size)]
        number += size
        if change is not None:
            change(name, rows)
        splits[name] = Dataset.from_list(rows, features=example_features(VOCABULARY))
    return CohortSplits(splits, {}, VOCABULARY)


@pytest.fixture(scope="module")
def fitted() -> dict[str, BaselineAnswers]:
    return fit_baselines(make_cohort(), RANGES, "light")


def f1_of(answers: BaselineAnswers, disease: int) -> float:
    return micro_f1(label_matrix(make_cohort()["test"])[:, [disease]], answers.predictions[:, [disease]])


def same(one: dict[str, BaselineAnswers], other: dict[str, BaselineAnswers]) -> bool:
    return all(
        np.array_equal(one[name].probabilities, other[name].probabilities)
        and np.array_equal(one[name].predictions, other[name].predictions)
        and one[name].choices == other[name].choices
        for name in {**one, **other}
    )


def test_every_baseline_of_the_evaluation_is_fitted(fitted: dict[str, BaselineAnswers]) -> None:
    # Two of them are there only where they are asked for.
    assert list(fitted) == [baseline.name for baseline in BASELINES if baseline.name not in ("gru", "zero_shot")]
    read = {"both": (True, True), "note": (True, False), "labs": (False, True)}
    listed = {baseline.name: (baseline.reads_note, baseline.reads_labs) for baseline in BASELINES}
    assert {name: read[inputs] for name, inputs in BOOSTED.items()}.items() <= listed.items()


def test_trees_find_what_a_word_and_a_value_say_only_together(fitted: dict[str, BaselineAnswers]) -> None:
    assert f1_of(fitted["gradient_boosting"], EITHER) > 0.95
    assert f1_of(fitted["logistic_regression"], EITHER) < 0.8
    for alone in ("gradient_boosting_note", "gradient_boosting_labs"):
        assert f1_of(fitted[alone], EITHER) < 0.8


def test_each_input_is_read_by_whom_it_is_given_to(fitted: dict[str, BaselineAnswers]) -> None:
    def swap_notes(name: str, rows: list[Row]) -> None:
        if name == "test":
            notes = [row["note"] for row in rows]
            for row, note in zip(rows, reversed(notes), strict=True):
                row["note"] = note

    swapped = fit_baselines(make_cohort(swap_notes), RANGES, "light")
    unchanged = {name for name in BOOSTED if np.array_equal(swapped[name].probabilities, fitted[name].probabilities)}
    assert unchanged == {"gradient_boosting_labs"}
    assert f1_of(fitted["gradient_boosting_note"], WORD_ALONE) > 0.95
    assert f1_of(fitted["gradient_boosting_labs"], VALUE_ALONE) > 0.95


def test_two_fits_are_equal_and_no_test_label_reaches_them(fitted: dict[str, BaselineAnswers]) -> None:
    def flip(name: str, rows: list[Row]) -> None:
        for row in rows if name == "test" else ():
            row["labels"] = [1 - label for label in row["labels"]]

    assert same(fit_baselines(make_cohort(flip), RANGES, "light"), fitted)


def test_a_disease_that_all_or_none_have_is_constant(fitted: dict[str, BaselineAnswers]) -> None:
    for name in BOOSTED:
        assert set(fitted[name].probabilities[:, NOBODY]) == {0.0}
        assert set(fitted[name].probabilities[:, EVERYBODY]) == {1.0}
        trees = fitted[name].choices["trees"]
        assert trees[NOBODY] == trees[EVERYBODY] == 0
        assert 0 < trees[WORD_ALONE] <= BOOSTING["light"].trees


def test_the_choices_say_what_was_done(fitted: dict[str, BaselineAnswers]) -> None:
    choices = {name: fitted[name].choices for name in BOOSTED}
    assert {name: chosen["features"] for name, chosen in choices.items()} == BOOSTED
    assert {chosen["setting"] for chosen in choices.values()} == {"light"}
    both, note, labs = (chosen["columns"] for chosen in choices.values())
    assert both == note + labs
    more = fit_baselines(make_cohort(), RANGES, "full")["gradient_boosting"].choices
    assert more["setting"] == "full"
    # It has the phrases of three words, too.
    assert more["columns"] > both


def test_fitting_prints_and_logs_nothing(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    def make_useless(name: str, rows: list[Row]) -> None:
        # Columns without information are what LightGBM warns of.
        for row in rows:
            row.update(note="alike", lab_hours=[], lab_values=[], lab_observed=[])

    fit_baselines(make_cohort(make_useless), RANGES, "light")
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if not record.name.startswith("datasets")] == []


def test_lightgbm_is_loaded_by_whoever_fits_trees_only() -> None:
    code = "import sys, clinragen.evaluation.baselines.fit; print('lightgbm' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_missing_system_library_is_named(tmp_path: Path) -> None:
    (tmp_path / "lightgbm.py").write_text("raise OSError('libgomp.so.1: cannot open shared object file')\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import numpy as np\n"
        "from clinragen.evaluation.baselines.boosting import BoostedTrees\n"
        "from clinragen.evaluation.baselines.boosting_settings import BOOSTING\n"
        "one = (np.zeros((2, 1)), np.array([[0], [1]]))\n"
        "BoostedTrees(BOOSTING['light']).fit(one, one)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "SettingsError: LightGBM cannot be loaded" in done.stderr
    assert "libgomp1" in done.stderr


def test_what_cannot_be_fitted_is_named() -> None:
    def no_words(name: str, rows: list[Row]) -> None:
        for row in rows:
            row["note"] = ""

    def nothing_in_common(name: str, rows: list[Row]) -> None:
        for row in rows:
            row["note"] = f"word{row['subject_id']}"

    with pytest.raises(SettingsError, match="'lighter'; choose one of full, light"):
        fit_baselines(make_cohort(), RANGES, "lighter")
    with pytest.raises(InputDataError, match="hold no words"):
        fit_baselines(make_cohort(no_words), RANGES, "light")
    with pytest.raises(InputDataError, match="no phrase stands in 15 of the 300 training notes"):
        fit_baselines(make_cohort(nothing_in_common), RANGES, "light")
    empty = make_cohort()
    empty["validation"] = empty["validation"].select([])
    with pytest.raises(InputDataError, match="need validation examples"):
        fit_baselines(empty, RANGES, "light")
    with pytest.raises(SettingsError, match="fit first"):
        BoostedTrees(BOOSTING["light"]).probabilities(np.zeros((1, 1)))
    nobody = (np.zeros((0, 1)), np.zeros((0, 1)))
    with pytest.raises(InputDataError, match="needs training and validation"):
        BoostedTrees(BOOSTING["light"]).fit(nobody, nobody)


def test_a_frequent_phrase_is_a_column_and_a_missing_series_is_missing() -> None:
    rows = [make_row(number, np.random.default_rng(number)) for number in range(40)]
    rows[0].update(lab_hours=[], lab_values=[], lab_observed=[])
    columns = BoostingReader(VOCABULARY, RANGES, BOOSTING["full"]).fit(rows)
    assert set(columns.phrases.data.tolist()) == {1.0}
    assert (columns.phrases.sum(axis=0) >= 2).all()
    both = columns.of("both").toarray()
    assert both.shape == (40, columns.phrases.shape[1] + columns.statistics.shape[1])
    assert np.isnan(both[0]).any()
    assert np.array_equal(np.isnan(both[:, columns.phrases.shape[1] :]), np.isnan(columns.statistics))


class Kept:
    """A folder of kept probabilities; a call says whether trees were fitted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers: dict[str, BaselineAnswers] = {}

    def fits(self, cohort: CohortSplits, setting: str = "light", range_set: str = "clinical") -> bool:
        """Let the baselines answer. Returns whether any trees were fitted."""
        reported: list[Progress] = []
        ranges = VOCABULARY.range_set(range_set)
        self.answers = fit_baselines(cohort, ranges, setting, kept=self.folder, report=reported.append)
        return any(progress.unit == "models" for progress in reported)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    kept = Kept(tmp_path / "evaluation.baselines")
    assert kept.fits(make_cohort())
    return kept


def test_what_was_fitted_is_kept_and_used_again(
    kept: Kept, fitted: dict[str, BaselineAnswers], caplog: pytest.LogCaptureFixture
) -> None:
    assert same(kept.answers, fitted)
    assert not kept.fits(make_cohort())
    assert same(kept.answers, fitted)
    assert caplog.text == ""
    assert sorted(path.name for path in kept.folder.iterdir()) == sorted(f"{name}.safetensors" for name in BOOSTED)
    assert stat.S_IMODE(kept.folder.stat().st_mode) == 0o700
    for path in kept.folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with safe_open(path, framework="np") as content:
            facts = json.loads(content.metadata()["baseline"])
        assert facts["stamp"]["lightgbm"] == version("lightgbm")
        assert facts["stamp"]["setting"]["trees"] == BOOSTING["light"].trees


def _note(row: Row) -> None:
    row["note"] += " more"


def _reading(row: Row) -> None:
    row["lab_values"][0][0] += 1.0


def _label(row: Row) -> None:
    row["labels"][EITHER] = 1 - row["labels"][EITHER]


@pytest.mark.parametrize("change", [_note, _reading, _label])
@pytest.mark.parametrize("split", ["train", "test"])
def test_another_cohort_is_fitted_anew(kept: Kept, change: Callable[[Row], None], split: str) -> None:
    def alter(name: str, rows: list[Row]) -> None:
        if name == split:
            change(rows[-1])

    assert kept.fits(make_cohort(alter))
    # The new one has taken the place of the old.
    assert not kept.fits(make_cohort(alter))


def test_other_settings_and_ranges_are_fitted_anew_and_other_rationales_are_not(kept: Kept) -> None:
    def teach(name: str, rows: list[Row]) -> None:
        for row in rows:
            row["rationale_note"] = "Another rationale."

    assert not kept.fits(make_cohort(teach))
    assert kept.fits(make_cohort(), range_set="paper")
    assert kept.fits(make_cohort(), setting="full")


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "other"])
def test_a_damaged_file_costs_one_line_and_a_fit(
    kept: Kept, damage: str, fitted: dict[str, BaselineAnswers], caplog: pytest.LogCaptureFixture
) -> None:
    path = kept.folder / "gradient_boosting_labs.safetensors"
    content = path.read_bytes()
    path.write_bytes(
        {
            "cut": content[: len(content) // 2],
            "flipped": content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
            "emptied": b"",
            "other": b"this is not a file of arrays at all",
        }[damage]
    )
    assert kept.fits(make_cohort())
    assert [record.getMessage() for record in caplog.records] == [f"{path}: is damaged; the baseline is fitted again"]
    assert same(kept.answers, fitted)
    assert path.read_bytes() == content
