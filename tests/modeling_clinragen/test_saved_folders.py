"""A folder that a credentialed model is saved to is its owner's alone and says where the model comes from."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_provenance import CLOSED, OPEN

from dataset_builder.storage.files import read_json, write_json
from dataset_builder.storage.governance import carry_provenance, is_credentialed, read_provenance
from modeling_clinragen.language_model_clinragen import load_language_model
from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration
from modeling_clinragen.processing_clinragen import ClinRaGenProcessor
from modeling_clinragen.provenance_clinragen import credentialed_folder, recorded_folder, recorded_in
from modeling_clinragen.registration import register_auto_classes

Model = ClinRaGenForConditionalGeneration
LEARNED = carry_provenance([CLOSED], "train note", {"seed": 1})


@pytest.fixture(autouse=True)
def _loose_umask() -> Iterator[None]:
    register_auto_classes()
    old = os.umask(0)
    yield
    os.umask(old)


def open_to_others(folder: Path) -> list[str]:
    return [path.name for path in (folder, *folder.rglob("*")) if stat.S_IMODE(path.stat().st_mode) & 0o077]


def saved(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    return folder


def merged(model: Any, folder: Path) -> Path:
    model.merge_adapters()
    return saved(model, folder)


def adapter(model: Any, folder: Path) -> Path:
    model.save_adapter(folder)
    return folder


@pytest.fixture
def learned(make_model: Any, tmp_path: Path) -> Callable[..., Any]:
    """A model around a backbone in a folder, trained on what `provenance` says; None where nothing says it."""

    def build(provenance: Any, *, credentialed: bool) -> Any:
        base = make_model(lora=False, credentialed=False)
        base.language_model.save_pretrained(tmp_path / "base")
        own = {"lab_config": base.config.lab_config.to_dict(), "lab_patch_steps": 4, "num_prototypes": 6}
        own |= {"lora": {"r": 2, "lora_alpha": 4, "lora_dropout": 0.0, "target_modules": ["q"]}}
        model = Model.from_backbone(tmp_path / "base", credentialed=credentialed, knowledge_fusion="none", **own)
        model.set_provenance(provenance)
        return model

    return build


@pytest.mark.parametrize("save", [saved, merged, adapter])
def test_what_a_credentialed_model_is_saved_to_is_closed_and_recorded(
    save: Callable[[Any, Path], Path], learned: Any, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir(mode=0o755)
    folder = save(learned(LEARNED, credentialed=True), tmp_path / "there")
    assert open_to_others(folder) == []
    assert read_provenance(folder) == LEARNED
    load = Model.from_adapter if save is adapter else Model.from_pretrained
    again = load(folder)
    assert (again.provenance, again.config.credentialed) == (LEARNED, True)
    again.save_pretrained(tmp_path / "again")
    assert open_to_others(tmp_path / "again") == []
    assert read_provenance(tmp_path / "again") == LEARNED


def test_an_open_model_is_saved_as_usual_with_its_provenance(learned: Any, tmp_path: Path) -> None:
    known = saved(learned(OPEN, credentialed=False), tmp_path / "known")
    assert open_to_others(known)
    assert read_provenance(known) == OPEN
    assert Model.from_pretrained(known).config.credentialed is False
    unknown = saved(learned(None, credentialed=False), tmp_path / "unknown")
    assert recorded_in(unknown) is None


def test_what_nothing_is_recorded_of_is_closed(learned: Any, tmp_path: Path) -> None:
    folder = saved(learned(None, credentialed=True), tmp_path / "model")
    assert open_to_others(folder) == []
    assert is_credentialed(read_provenance(folder))
    # More was learned than the record says: the record gives way.
    softer = learned(OPEN, credentialed=True)
    assert is_credentialed(read_provenance(saved(softer, tmp_path / "softer")))


def test_the_language_model_inside_stays_marked_wherever_it_is_saved(
    learned: Any, make_model: Any, tmp_path: Path
) -> None:
    again = Model.from_pretrained(saved(learned(LEARNED, credentialed=True), tmp_path / "model"))
    again.merge_adapters()
    again.language_model.save_pretrained(tmp_path / "inside")
    assert load_language_model(tmp_path / "inside").config.credentialed is True
    own = {"lab_config": again.config.lab_config.to_dict(), "lab_patch_steps": 4, "knowledge_fusion": "none"}
    for backbone in (again.language_model, tmp_path / "inside"):
        assert Model.from_backbone(backbone, credentialed=False, **own).config.credentialed is True
    # A plain language model whose folder says so, too.
    make_model(credentialed=False).language_model.save_pretrained(tmp_path / "plain")
    assert Model.from_backbone(tmp_path / "plain", credentialed=False, **own).config.credentialed is False
    write_json(tmp_path / "plain" / "provenance.json", CLOSED)
    assert Model.from_backbone(tmp_path / "plain", credentialed=False, **own).config.credentialed is True


def test_a_processor_is_as_private_as_what_its_tokenizer_was_made_from(make_processor: Any, tmp_path: Path) -> None:
    for name, provenance in (("closed", LEARNED), ("open", OPEN)):
        processor = make_processor()
        processor.provenance = provenance
        folder = saved(processor, tmp_path / name)
        assert (open_to_others(folder) == []) == (name == "closed")
        assert read_provenance(folder) == provenance
        assert "provenance" not in read_json(folder / "processor_config.json")
        assert ClinRaGenProcessor.from_pretrained(folder).provenance == provenance
    # One of unknown origin: private, except in a folder that says it is open.
    assert open_to_others(saved(make_processor(), tmp_path / "unknown")) == []
    assert recorded_in(tmp_path / "unknown") is None
    assert open_to_others(saved(make_processor(), tmp_path / "open"))
    assert read_provenance(tmp_path / "open") == OPEN


def test_a_record_is_never_softened(make_processor: Any, make_model: Any, tmp_path: Path) -> None:
    processor = make_processor()
    processor.provenance = LEARNED
    saved(processor, tmp_path)
    model = make_model(credentialed=False)
    model.set_provenance(OPEN)
    saved(model, tmp_path)
    assert read_provenance(tmp_path) == LEARNED
    assert Model.from_pretrained(tmp_path).config.credentialed is True


@pytest.mark.parametrize("content", ["", "[]", "{", "null", '{"credentialed": "no"}', "\udcff"])
def test_a_damaged_record_counts_as_credentialed(content: str, tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"credentialed": False})
    assert not credentialed_folder(tmp_path)
    (tmp_path / "provenance.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    assert credentialed_folder(tmp_path)


def test_a_folder_is_private_before_its_first_byte(tmp_path: Path) -> None:
    with recorded_folder(tmp_path / "new" / "model", LEARNED, private=True):
        assert open_to_others(tmp_path / "new" / "model") == []
        (tmp_path / "new" / "model" / "weights").write_text("1")
    assert open_to_others(tmp_path / "new" / "model") == []
