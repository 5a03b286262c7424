"""A stage runs again when, and only when, something that decides its output has changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import ROOT
from tiny_corpus import write_vocabulary
from yaml_files import change

from clinragen.pipeline import digests, stage
from clinragen.pipeline.build import BuildConfig
from clinragen.pipeline.digests import HashCache, folder_digests
from clinragen.pipeline.plan import plan_stages
from clinragen.pipeline.recipe import Recipe, load_recipe
from clinragen.pipeline.stage import Stage, decisive_settings
from clinragen.pipeline.stages import STAGES
from dataset_builder.storage import code_fingerprint

PACKAGES = code_fingerprint.PACKAGES
TRAINED = ("train backbone", "train note", "train lab", "train multimodal")


@pytest.fixture(scope="module")
def recipe(tiny_recipe: Path) -> Recipe:
    return load_recipe(tiny_recipe)


@pytest.fixture
def copied(tiny_run: Path, tmp_path: Path) -> Path:
    """The run, at another place."""
    return shutil.copytree(tiny_run, tmp_path / "elsewhere" / "run")


def stages(recipe: Recipe, output: Path, seed: int = 0) -> list[Stage]:
    return plan_stages(recipe, Path("recipe.yaml"), output, seed, None)


def outdated(recipe: Recipe, output: Path, seed: int = 0) -> set[str]:
    """The stages that would run, as the folders are now: what they make may outdate later ones."""
    return {one.name for one in stages(recipe, output, seed) if not one.finished()}


# --- settings


@pytest.mark.parametrize(
    ("section", "changed", "expected"),
    [
        ("evaluate", {"batch_size": 7}, set()),
        ("build", {"engine": "spark"}, set()),
        ("evaluate", {"num_beams": 2}, {"evaluate"}),
        ("evaluate", {"notices": ("Not for sale.",)}, {"evaluate"}),
        ("synthesize", {"patients": 61}, {"synthesize"}),
        ("build", {"window": "first-24h"}, {"build"}),
        ("build", {"split_fractions": (0.6, 0.2, 0.2)}, {"build"}),
        ("knowledge", {"per_topic": 3}, {"knowledge"}),
        ("rationales", {"range_set": "paper"}, {"rationales"}),
    ],
)
def test_a_deciding_setting_reruns_its_stage_and_another_nothing(
    recipe: Recipe, tiny_run: Path, section: str, changed: dict[str, Any], expected: set[str]
) -> None:
    other = replace(recipe, **{section: replace(getattr(recipe, section), **changed)})
    assert outdated(other, tiny_run) == expected


def test_the_seed_reruns_every_stage_that_draws(recipe: Recipe, tiny_run: Path) -> None:
    # That the others follow is shown where a run is repeated with another seed.
    assert outdated(recipe, tiny_run, seed=1) == {"synthesize", "build", "rationales", *TRAINED}


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("phase.yaml", "max_steps: 4", "# four\nmax_steps:   4", set()),
        ("phase.yaml", "max_steps: 4", "max_steps: 5", set(TRAINED)),
        ("note.yaml", "max_steps: 4", "max_steps: 5", {"train note"}),
        ("model.yaml", "lora_r: 2", "# small\nlora_r: 2", set()),
        ("model.yaml", "lora_r: 2", "lora_r: 4", {"train backbone"}),
        ("t5.json", '"d_ff": 48', '"d_ff":   48', set()),
        ("t5.json", '"d_ff": 48', '"d_ff": 64', {"train backbone"}),
    ],
)
def test_a_file_of_the_user_s_counts_by_what_it_says(
    tiny_recipe: Path, tiny_run: Path, tmp_path: Path, file: str, old: str, new: str, expected: set[str]
) -> None:
    folder = shutil.copytree(tiny_recipe.parent, tmp_path / "recipe")
    shutil.copy(folder / "phase.yaml", folder / "note.yaml")
    change(folder / "recipe.yaml", "train", "note", value="note.yaml")
    assert outdated(load_recipe(folder / "recipe.yaml"), tiny_run) == set()
    before = (folder / file).read_text()
    assert old in before
    (folder / file).write_text(before.replace(old, new))
    if file == "phase.yaml":
        shutil.copy(folder / file, folder / "note.yaml")
    assert outdated(load_recipe(folder / "recipe.yaml"), tiny_run) == expected


def test_a_vocabulary_folder_counts_by_what_its_files_say(tmp_path: Path) -> None:
    folder = write_vocabulary(tmp_path / "one")

    def settings(of: Path) -> dict[str, Any]:
        config = BuildConfig(source="mimic-iv", note_policy="full", vocabulary=of)
        return decisive_settings(config, HashCache())

    before = settings(folder)
    path = folder / "variables" / "heart_rate.yaml"
    path.write_text("# of the heart\n" + path.read_text())
    assert settings(folder.rename(tmp_path / "two")) == before
    path = tmp_path / "two" / "variables" / "heart_rate.yaml"
    path.write_text(path.read_text().replace("fill: 86", "fill: 87"))
    assert settings(tmp_path / "two") != before


# --- code


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project's packages."""
    folder = tmp_path_factory.mktemp("code")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def fingerprints(code: Path) -> dict[str, str]:
    """The code fingerprint of every stage, by a process that imports the packages from `code`."""
    script = (
        "import json, clinragen\n"
        "from clinragen.pipeline.stages import STAGES\n"
        "from dataset_builder.storage.code_fingerprint import code_fingerprint\n"
        "found = {kind.name: code_fingerprint(kind.module) for kind in STAGES}\n"
        "print(json.dumps({'from': clinragen.__file__, 'found': found}))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-1500:]
    content = json.loads(done.stdout)
    assert Path(content["from"]).is_relative_to(code)
    found: dict[str, str] = content["found"]
    return found


@pytest.fixture(scope="module")
def unchanged(code: Path) -> dict[str, str]:
    return fingerprints(code)


def test_the_fingerprint_does_not_depend_on_where_the_code_lies(unchanged: dict[str, str]) -> None:
    assert unchanged == fingerprints(ROOT)
    assert len(set(unchanged.values())) == len(STAGES)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("clinragen/teachers/resources/rationale_prompt.yaml", {"rationales"}),
        ("clinragen/evaluation/scores/micro.py", {"evaluate"}),
        ("clinragen/evaluation/report.py", {"evaluate"}),
        ("clinragen/claims/parser.py", {"rationales", "evaluate"}),
        ("dataset_builder/synthetic/hospital.py", {"synthesize"}),
        ("dataset_builder/cohort/measurements.py", {"build"}),
        ("clinragen/retrieval/pubmed.py", {"knowledge"}),
        ("trainers/model_card.py", {"publish"}),
        ("trainers/model_card.md", {"publish"}),
        ("clinragen/knowledge/coverage_plot.py", {"knowledge"}),
        ("trainers/data.py", {"train", "evaluate", "publish"}),
        ("clinragen/cli/main.py", set()),
        ("clinragen/demo/page.py", set()),
        ("clinragen/pipeline/plan.py", set()),
    ],
)
def test_a_change_of_code_or_data_files_touches_the_stages_that_use_them(
    code: Path, unchanged: dict[str, str], file: str, expected: set[str]
) -> None:
    path = code / file
    before = path.read_bytes()
    path.write_bytes(before + b"\n")
    try:
        after = fingerprints(code)
    finally:
        path.write_bytes(before)
    assert {name for name in after if after[name] != unchanged[name]} == expected


def test_installed_versions_count_and_equal_bytes_stop_the_rerun(
    recipe: Recipe, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = code_fingerprint.version
    monkeypatch.setattr(stage, "code_fingerprint", code_fingerprint.code_fingerprint.__wrapped__)
    monkeypatch.setattr(code_fingerprint, "version", lambda name: "99" if name == "bm25s" else installed(name))
    assert outdated(recipe, copied) == {"knowledge"}
    assert [one.name for one in stages(recipe, copied) if one.run()] == ["knowledge"]


# --- inputs and outputs


def test_a_copied_run_is_up_to_date(recipe: Recipe, copied: Path) -> None:
    assert not any(one.run() for one in stages(recipe, copied))


def test_what_was_hashed_before_is_not_read_again(
    recipe: Recipe, tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(digests, "content_digest", read.append)
    assert not outdated(recipe, tiny_run)
    assert not read


def edit(path: Path) -> None:
    """Another value in one row."""
    table = pq.read_table(path)
    column = table.column_names.index("lab_summary")
    values = ["Heart rate is normal.", *table.column(column).to_pylist()[1:]]
    assert values[0] != table.column(column)[0].as_py()
    pq.write_table(table.set_column(column, table.field(column), [pa.array(values, table.field(column).type)]), path)
    assert pq.read_table(path).num_rows == table.num_rows


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def replace_in_place(path: Path) -> None:
    """Other bytes of the same number, at the time of the old ones."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def add_beside(path: Path) -> None:
    path.with_name("old-" + path.name).write_text("")


@pytest.mark.parametrize(
    ("file", "damage", "expected"),
    [
        ("build/data/train.parquet", edit, "build"),
        ("rationales/data/test.parquet", truncate, "rationales"),
        ("rationales/provenance.json", truncate, "rationales"),
        ("train/multimodal/model.safetensors", Path.unlink, "train multimodal"),
        ("evaluation/metrics.json", replace_in_place, "evaluate"),
        # What somebody laid beside the output is not ours: it counts for nothing, and it stays.
        ("knowledge/knowledge.json", add_beside, None),
        ("model/stage.json", truncate, "publish"),
        ("model/stage.hashes.json", truncate, None),
        ("model/stage.hashes.json", Path.unlink, None),
    ],
)
def test_a_damaged_output_is_noticed_and_made_again(
    recipe: Recipe, tiny_run: Path, copied: Path, file: str, damage: Callable[[Path], Any], expected: str | None
) -> None:
    # Everything was hashed at this place: only what tells the new file from the old one can show the damage.
    for one in stages(recipe, copied):
        cache = HashCache.beside(one.folder)
        assert one.finished()
        folder_digests(one.folder, cache)
        (one.folder / digests.HASHES).write_text(json.dumps(cache.content()))
    damage(copied / file)
    ran = [one.name for one in stages(recipe, copied) if one.run()]
    assert ran == ([] if expected is None else [expected])
    whole, made = (folder_digests(folder, HashCache()) for folder in (tiny_run, copied))
    if damage is add_beside:
        made.pop("knowledge/old-knowledge.json")
    for one in (whole, made):
        # Measured seconds are others each time.
        del one["evaluation/cost.json"]
    assert made == whole


def test_another_table_of_the_source_is_noticed(recipe: Recipe, copied: Path) -> None:
    path = next((copied / "hospital" / "tables").rglob("labevents.*"))
    truncate(path)
    # As input of the build and as output of what made it.
    assert outdated(recipe, copied) == {"synthesize", "build"}
