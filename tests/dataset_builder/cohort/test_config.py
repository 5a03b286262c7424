"""Settings of a cohort: every fault named, files by their content, and nothing heavy imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from own_vocabulary import write_vocabulary

from dataset_builder.cohort.config import FILTERS, CohortConfig
from dataset_builder.storage.config_fields import deciding, make_config
from modeling_clinragen.errors import InputDataError, SettingsError

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_steps", "abc"),
        ("max_steps", 1.5),
        ("max_steps", True),
        ("max_steps", 0),
        ("split_fractions", 0.7),
        ("split_fractions", ("a", "b", "c")),
        ("split_fractions", (0.5, 0.5)),
        ("skip_filters", None),
        ("skip_filters", "adults"),
        ("skip_filters", [5]),
        ("skip_filters", ["adult"]),
        ("window", ["stay"]),
        ("window", "first-7d"),
        ("grid", {}),
        ("range_set", ["clinical"]),
        ("engine", None),
        ("note_policy", None),
        ("note_policy", "everything"),
        ("seed", None),
        ("all_codes", "false"),
        ("vocabulary", 5),
    ],
)
def test_a_setting_of_the_wrong_kind_is_named(name: str, value: object) -> None:
    given = {"note_policy": "full", name: value}
    with pytest.raises(SettingsError, match=f"^recipe.yaml: build: {name}: expected .*, got "):
        make_config(CohortConfig, given, "recipe.yaml: build")
    with pytest.raises(SettingsError, match=f"^{name}: expected .*, got "):
        CohortConfig(**given)  # type: ignore[arg-type]


def test_a_missing_or_unknown_setting_is_named_with_what_there_is() -> None:
    with pytest.raises(SettingsError, match=r"cohort: missing setting 'note_policy'; expected one of .*structured"):
        make_config(CohortConfig, {}, "cohort")
    with pytest.raises(SettingsError, match=r"cohort: unknown setting 'filters'; expected one of .*skip_filters"):
        make_config(CohortConfig, {"note_policy": "full", "filters": []}, "cohort")
    with pytest.raises(SettingsError, match="unknown range set 'mine'; choose one of clinical, paper"):
        CohortConfig(note_policy="full", range_set="mine")


def test_settings_take_lists_and_texts_as_recipes_give_them(tmp_path: Path) -> None:
    given = {"skip_filters": ["coded", "adults"], "split_fractions": [0.5, 0.2, 0.3], "max_steps": None}
    folder = write_vocabulary(tmp_path)
    config = make_config(CohortConfig, {"note_policy": "full", "vocabulary": str(folder), **given}, "cohort")
    assert config.skip_filters == ("adults", "coded")
    assert config.filters == tuple(name for name in FILTERS if name not in ("adults", "coded"))
    assert config.split_fractions == (0.5, 0.2, 0.3)
    assert config.vocabulary == folder
    assert config == CohortConfig(
        note_policy="full",
        vocabulary=folder,
        skip_filters=("adults", "coded"),
        split_fractions=(0.5, 0.2, 0.3),
        max_steps=None,
    )


def test_a_vocabulary_s_own_range_sets_can_be_chosen(tmp_path: Path) -> None:
    folder = write_vocabulary(tmp_path, range_sets={"sport": {"low_inclusive": True}})
    assert CohortConfig(note_policy="full", vocabulary=folder, range_set="sport").range_set == "sport"
    with pytest.raises(InputDataError, match=r"has no vocabulary\.yaml"):
        CohortConfig(note_policy="full", vocabulary=tmp_path / "nowhere")


def test_what_is_recorded_decides_and_files_count_by_content(tmp_path: Path) -> None:
    splits = tmp_path / "splits.csv"
    splits.write_text("subject_id,split\n1,train\n")
    folder = write_vocabulary(tmp_path / "own")
    config = CohortConfig(note_policy="full", vocabulary=folder, split_file=splits)
    before = config.recorded()
    assert "engine" not in before
    assert before == CohortConfig(note_policy="full", vocabulary=folder, split_file=splits, engine="spark").recorded()
    assert before["skip_filters"] == []
    moved = tmp_path / "moved"
    folder.rename(moved)
    assert CohortConfig(note_policy="full", vocabulary=moved, split_file=splits).recorded() == before
    (moved / "diseases" / "gout.yaml").open("a").write("# a word\n")
    after = config_of(moved, splits)
    assert {name for name in before if before[name] != after[name]} == {"vocabulary"}
    splits.write_text("subject_id,split\n1,test\n")
    assert config_of(moved, splits)["split_file"] != after["split_file"]
    # Another seed is another split, and so another cohort.
    assert CohortConfig(note_policy="full", seed=1).recorded() != CohortConfig(note_policy="full").recorded()
    assert deciding(CohortConfig(note_policy="full"))["seed"] == 0


def config_of(vocabulary: Path, splits: Path) -> dict[str, object]:
    return CohortConfig(note_policy="full", vocabulary=vocabulary, split_file=splits).recorded()


def test_the_settings_are_read_without_query_engine_or_model() -> None:
    code = (
        "import sys; import dataset_builder.cohort.config, dataset_builder.storage.http; "
        "print(sorted({'ibis', 'pyarrow', 'torch', 'datasets', 'duckdb', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
