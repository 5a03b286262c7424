"""What decides a stage's output counts, and nothing else: models, tables in a database, settings of a phase."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clinragen.llm.providers import LLMConfig
from clinragen.pipeline import phase_settings, train
from clinragen.pipeline.build import BuildConfig
from clinragen.pipeline.digests import HASHES, HashCache, settings_content
from clinragen.pipeline.knowledge import KnowledgeConfig
from clinragen.pipeline.phase_settings import deciding_phase_settings
from clinragen.pipeline.rationales import RationalesConfig
from clinragen.pipeline.stage import Stage, decisive_settings
from clinragen.pipeline.stages import RATIONALES, TRAIN
from clinragen.pipeline.tables import Tables
from clinragen.pipeline.train import TrainConfig
from dataset_builder.cohort import build
from dataset_builder.contract.definitions import shipped_definitions
from dataset_builder.sources import postgres_catalog
from dataset_builder.sources.locate import LocatedSource
from dataset_builder.sources.spec import load_source
from dataset_builder.storage.code_fingerprint import code_fingerprint, import_closure
from modeling_clinragen.errors import InputDataError, SettingsError
from trainers.phase_config import PhaseConfig
from trainers.phases import phase_named


def model_folder(path: Path, weights: str = "one") -> Path:
    path.mkdir(parents=True)
    (path / "model.safetensors").write_text(weights)
    (path / "tokenizer.json").write_text('{"a": 1}')
    (path / "mergekit.yml").write_text("a: 1\na: 2\n")  # no YAML of ours: it is bytes
    (path / ".DS_Store").write_text("")
    return path


def settings(config: Any) -> dict[str, Any]:
    return decisive_settings(config, HashCache())


# --- models in folders


def test_a_backbone_counts_by_its_files_and_may_not_be_overwritten(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "flan")
    (tmp_path / "model.yaml").write_text("backbone: flan\n")
    (tmp_path / "note.yaml").write_text("max_steps: 4\n")
    config = TrainConfig(phase="note", config=tmp_path / "note.yaml", model=tmp_path / "model.yaml")
    before = settings(config)
    assert settings(config) == before
    (folder / ".DS_Store").write_text("changed")
    assert settings(config) == before
    (folder / "model.safetensors").write_text("two")
    assert settings(config) != before
    for output in (folder, folder / "new", tmp_path):
        with pytest.raises(InputDataError, match="choose another output"):
            Stage(TRAIN, config, {}, output).run()


@pytest.mark.parametrize("kind", [RationalesConfig, KnowledgeConfig])
def test_a_language_model_in_this_process_counts_by_its_files(tmp_path: Path, kind: type) -> None:
    folder = model_folder(tmp_path / "teacher")
    (tmp_path / "corpus").mkdir()
    more: Mapping[str, Any] = {"teacher": "llm"} if kind is RationalesConfig else {}
    if kind is KnowledgeConfig:
        more = {"sources": (str(tmp_path / "corpus"),), "extract": ("llm",)}

    def config(of: Path, **llm: Any) -> Any:
        return kind(**more, llm=LLMConfig(provider="transformers", model_name=str(of), **llm))

    before = settings(config(folder))
    assert settings(config(folder, batch_size=3)) == before
    moved = folder.rename(model_folder(tmp_path / "other" / "x").parent / "teacher")
    assert settings(config(moved)) == before
    (moved / "model.safetensors").write_text("two")
    assert settings(config(moved)) != before
    if kind is RationalesConfig:
        with pytest.raises(InputDataError, match="choose another output"):
            Stage(RATIONALES, config(moved), {}, moved / "new").run()


# --- the settings of a phase


def phase_content(tmp_path: Path, text: str, *overrides: str) -> Any:
    (tmp_path / "phase.yaml").write_text(text)
    return deciding_phase_settings(tmp_path / "phase.yaml", overrides)


def test_what_changes_nothing_does_not_count(tmp_path: Path) -> None:
    before = phase_content(tmp_path, "max_steps: 4\n")
    for line in ("report_to: none", "save_steps: 2", "save_total_limit: 1", "disable_tqdm: true", "log_level: info"):
        assert phase_content(tmp_path, f"max_steps: 4\n{line}\n") == before
    assert phase_content(tmp_path, "max_steps: 4\ndataloader_num_workers: 2\n") == before
    # The curve has a point for each of these steps.
    assert phase_content(tmp_path, "max_steps: 4\nlogging_steps: 2\n") != before
    best = "max_steps: 4\nload_best_model_at_end: true\n"
    assert phase_content(tmp_path, f"{best}save_steps: 2\n") != phase_content(tmp_path, f"{best}save_steps: 3\n")


def test_the_settings_without_effect_exist(tmp_path: Path) -> None:
    known = set(PhaseConfig.__dataclass_fields__)
    assert set(phase_settings.SAVING) <= known
    assert known >= phase_settings.WITHOUT_EFFECT - {"logging_dir"}


def test_overrides_count_by_what_they_say(tmp_path: Path) -> None:
    four = phase_content(tmp_path, "max_steps: 4\nlearning_rate: 1.0e-3\n")
    for overrides in (("--max_steps", "4"), ("--max-steps=4",), ("--max_steps=4", "--learning_rate", "1e-3")):
        assert phase_content(tmp_path, "max_steps: 9\nlearning_rate: 0.001\n", *overrides) == four
    assert phase_content(tmp_path, "max_steps: 4\nlearning_rate: 1.0e-3\n", "--report_to", "wandb") == four
    assert phase_content(tmp_path, "max_steps: 4\nlearning_rate: 1.0e-3\n", "--train_backbone") != four
    # Shortened names are the parser's to resolve: as written, in their order.
    short = [phase_content(tmp_path, "{}\n", *order) for order in (("--max_st=4", "--max_steps=5"),)]
    assert short[0] != phase_content(tmp_path, "{}\n", "--max_steps=5", "--max_st=4")


def test_a_trainer_named_by_text_counts_with_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "note.yaml").write_text("max_steps: 4\n")
    config = TrainConfig(phase="note", config=tmp_path / "note.yaml")
    assert "trainer" not in settings(config)
    own = replace(phase_named("note"), trainer="clinragen.cli.display:Display")
    monkeypatch.setattr(train, "phase_named", lambda name: own)
    assert settings(config)["trainer"] == code_fingerprint("clinragen.cli.display")
    # A module of the user's own counts by its file.
    (tmp_path / "my_trainer.py").write_text("class Own: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(train, "phase_named", lambda name: replace(own, trainer="my_trainer:Own"))
    before = settings(config)
    (tmp_path / "my_trainer.py").write_text("class Own: pass\n")
    assert settings(config) != before
    monkeypatch.setattr(train, "phase_named", lambda name: replace(own, trainer="no.such:Own"))
    with pytest.raises(SettingsError, match=r"'no\.such' is not installed"):
        settings(config)


def test_training_does_not_depend_on_how_knowledge_is_written(tmp_path: Path) -> None:
    for stage in ("train", "evaluate"):
        closure = import_closure(f"clinragen.pipeline.{stage}")
        assert "clinragen.knowledge.reader" in closure
        assert not closure & {"clinragen.knowledge.writer", "clinragen.knowledge.coverage_plot"}


# --- files and caches


def test_a_json_file_counts_by_what_json_says(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    path.write_text('{"train": [1],\t"test": []}')  # YAML refuses a tabulator here
    before = settings_content(path, HashCache())
    path.write_text('{"test": [], "train": [1]}')
    assert settings_content(path, HashCache()) == before


@pytest.mark.parametrize("content", ["[]", '{"a": 1}', '{"a": [1, 2, 3, 4]}', '{"a": [1, 2, 3, "x", "y"]}', "{"])
def test_a_malformed_cache_counts_as_empty(tmp_path: Path, content: str) -> None:
    (tmp_path / HASHES).write_text(content)
    (tmp_path / "file").write_text("one")
    cache = HashCache.beside(tmp_path)
    assert cache.digest(tmp_path / "file") == HashCache().digest(tmp_path / "file")
    assert len(cache.content()) == 1
    (tmp_path / HASHES).write_text(json.dumps(cache.content()))
    assert HashCache.beside(tmp_path).digest(tmp_path / "file") == cache.digest(tmp_path / "file")


# --- tables in a database


def test_which_database_counts_and_its_counters_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    source = load_source("mimic-iv", shipped_definitions())

    def located(name: str, root: str, config: Any) -> LocatedSource:
        done.append("states")
        return LocatedSource(source, root, {}, "unknown", source.releases[-1], {"patients": "17"})

    monkeypatch.setattr(build, "locate_for", located)
    monkeypatch.setattr(postgres_catalog, "wait_for_counters", lambda url: done.append("waited"))
    monkeypatch.setenv("PGPORT", "5433")
    config = BuildConfig(source="mimic-iv", note_policy="full", engine="postgres")

    def digest(url: str) -> Any:
        return Tables(url, config).input_digest(HashCache(), ("*",))

    before = digest("postgresql://reader@host/mimic")
    assert done == ["waited", "states"]
    assert "reader" not in json.dumps(before)
    assert digest("postgresql://other@host:5433/mimic") == before
    for other in ("reader@elsewhere/mimic", "reader@host/copy", "reader@host:5432/mimic"):
        assert digest(f"postgresql://{other}") != before
