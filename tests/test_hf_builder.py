"""The builder as a `datasets` builder: same rows as the folder, and never a stale cache."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from tiny_mimic import HR, TinyMimic

import clinragen
from dataset_builder.build import build_cohort
from dataset_builder.hf_builder import CohortBuilder
from dataset_builder.schema import load_examples
from modeling_clinragen.errors import InputDataError, SettingsError


def hospital(stays: int = 9) -> TinyMimic:
    made = TinyMimic()
    for number in range(1, stays + 1):
        made.stay(number)
        made.chart(number, 1, HR, 60 + number)
    return made


def test_the_dataset_is_the_folder(tmp_path: Path) -> None:
    root = hospital().write(tmp_path / "tables")
    build_cohort("mimic-iv", root, tmp_path / "out", note_policy="structured")
    expected = load_examples(tmp_path / "out")
    found = clinragen.load_cohort("mimic-iv", root, cache_dir=tmp_path / "cache", note_policy="structured")
    assert {split: found[split].to_list() for split in found} == {
        split: rows.to_list() for split, rows in expected.items() if len(rows)
    }
    assert all(found[split].features == expected[split].features for split in found)
    assert stat.S_IMODE((tmp_path / "cache" / "clinragen").stat().st_mode) == 0o700


def test_streaming_gives_the_same_rows(tmp_path: Path) -> None:
    root = hospital().write(tmp_path / "tables")
    builder = CohortBuilder("mimic-iv", root, tmp_path / "cache", note_policy="structured")
    builder.download_and_prepare()
    straight = builder.as_dataset()
    streamed = builder.as_streaming_dataset()
    for split in straight:
        assert list(streamed[split]) == straight[split].to_list()


def test_changed_tables_and_changed_settings_are_built_anew(tmp_path: Path) -> None:
    root = hospital().write(tmp_path / "tables")

    def load(**settings: str) -> dict[int, list[list[float | None]]]:
        found = clinragen.load_cohort(
            "mimic-iv", root, cache_dir=tmp_path / "cache", note_policy="structured", **settings
        )
        return {row["stay_id"]: row["lab_values"] for split in found.values() for row in split}

    first = load()
    built = sorted((tmp_path / "cache" / "clinragen" / "cohorts").iterdir())
    assert load() == first
    assert sorted((tmp_path / "cache" / "clinragen" / "cohorts").iterdir()) == built
    changed = hospital()
    changed.chart(1, 2, HR, 99)
    changed.write(root)
    assert len(load()[1001]) == len(first[1001]) + 1
    load(grid="hourly")
    assert len(list((tmp_path / "cache" / "clinragen" / "cohorts").iterdir())) == 3


def test_what_cannot_be_built_says_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"'mimic-v' is unknown; choose one of eicu, mimic-iii, mimic-iv"):
        clinragen.load_cohort("mimic-v", tmp_path)
    with pytest.raises(SettingsError, match="no setting 'windows'"):
        clinragen.load_cohort("mimic-iv", tmp_path, note_policy="full", windows="stay")
    with pytest.raises(SettingsError, match="Give their folder as data_dir"):
        CohortBuilder("mimic-iv")
    with pytest.raises(InputDataError, match="holds no table"):
        clinragen.load_cohort("mimic-iv", tmp_path, cache_dir=tmp_path / "cache", note_policy="full")
    assert not (tmp_path / "cache").exists()
