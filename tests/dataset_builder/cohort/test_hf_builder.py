"""The builder as a `datasets` builder: same rows as the folder, and never a stale cache."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from tiny_mimic import crowd, make_cohort
from tiny_sources import SOURCES, TinySource

import clinragen
from dataset_builder.cohort.hf_builder import CohortBuilder
from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.contract.schema import load_examples
from dataset_builder.sources.spec import source_names
from modeling_clinragen.errors import InputDataError, SettingsError

by_source = pytest.mark.parametrize("tiny", SOURCES.values(), ids=SOURCES)


def load(tiny: TinySource, root: Path | str, cache: Path, **settings: Any) -> CohortSplits:
    given = {"note_policy": "structured", **settings}
    return clinragen.load_cohort(tiny.hospital.source, root, cache_dir=cache, **given)


@by_source
def test_the_dataset_is_the_folder(tmp_path: Path, tiny: TinySource) -> None:
    root = tiny.crowd(9).write(tmp_path / "tables")
    make_cohort(tiny.hospital.source, root, tmp_path / "out", note_policy="structured")
    expected = load_examples(tmp_path / "out")
    found = load(tiny, root, tmp_path / "cache")
    assert {split: found[split].to_list() for split in found} == {
        split: rows.to_list() for split, rows in expected.items() if len(rows)
    }
    assert all(found[split].features == expected[split].features for split in found)
    assert found.provenance == expected.provenance
    assert stat.S_IMODE((tmp_path / "cache" / "clinragen").stat().st_mode) == 0o700


def test_every_source_is_a_configuration_of_the_one_builder(tmp_path: Path) -> None:
    assert list(CohortBuilder.builder_configs) == source_names()
    assert {"challenge-2012", "eicu", "mimic-iii", "mimic-iv"} <= set(source_names())
    root = crowd(2).write(tmp_path / "tables")
    builder = CohortBuilder("mimic-iv", root, tmp_path / "cache", note_policy="structured")
    assert builder.config.name == "mimic-iv"
    assert builder.config.data_dir == str(root)


def test_streaming_gives_the_same_rows(tmp_path: Path) -> None:
    root = crowd(9, events=1).write(tmp_path / "tables")
    builder = CohortBuilder("mimic-iv", root, tmp_path / "cache", note_policy="structured")
    builder.download_and_prepare()
    straight = builder.as_dataset()
    streamed = builder.as_streaming_dataset()
    for split in straight:
        assert list(streamed[split]) == straight[split].to_list()


@by_source
def test_whatever_is_changed_is_built_anew_and_nothing_else_is(tmp_path: Path, tiny: TinySource) -> None:
    hospital = tiny.crowd(9)
    root, cache = hospital.write(tmp_path / "tables"), tmp_path / "cache"
    built = cache / "clinragen" / "cohorts"

    def rates(**settings: Any) -> list[Any]:
        """The values of the first stay."""
        splits = load(tiny, root, cache, **settings).values()
        return next(row["lab_values"] for split in splits for row in split if row["stay_id"] == 1001)

    first = rates()
    assert rates() == first
    assert [path.name for path in built.iterdir()] == [load(tiny, root, cache).provenance["fingerprint"]]
    hospital.heart_rate(1, 2.5, 99)
    hospital.write(root)
    assert len(rates()) == len(first) + 1
    assert len(rates(window="first-24h")) == len(first) + 1
    assert load(tiny, root, cache).provenance["credentialed"] is True
    # The same tables, now of an open release.
    (root / "LICENSE.txt").write_text("Open Database License")
    assert load(tiny, root, cache).provenance["credentialed"] is False
    assert len(list(built.iterdir())) == 4


def test_what_cannot_be_built_says_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"unknown source 'mimic-v'; choose one of {', '.join(source_names())}"):
        clinragen.load_cohort("mimic-v", tmp_path)
    with pytest.raises(SettingsError, match="cohort: unknown setting 'windows'"):
        clinragen.load_cohort("mimic-iv", tmp_path, note_policy="full", windows="stay")
    with pytest.raises(SettingsError, match="Give their folder as data_dir"):
        CohortBuilder("mimic-iv")
    with pytest.raises(InputDataError, match="has no table"):
        clinragen.load_cohort("mimic-iv", tmp_path, cache_dir=tmp_path / "cache", note_policy="full")
    assert not (tmp_path / "cache").exists()
