"""A pretrained backbone that cannot do what is asked of it is refused in one line, before its weights are loaded."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_examples import tiny_splits
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from modeling_clinragen.errors import SettingsError
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.build_model import build_model, check_size
from trainers.memory import free_memory, in_words, machine_memory
from trainers.model_config import ModelConfig
from trainers.model_size import require_free_memory

SMALL: dict[str, Any] = {
    "lab_width": 8,
    "lab_layers": 1,
    "lab_heads": 2,
    "lora_r": 2,
    "lora_targets": "all-linear",
    "max_source_tokens": 64,
    "max_target_tokens": 32,
    "lab_max_steps": 64,
}
WEIGHTS = "model.safetensors"


@pytest.fixture
def backbone(tiny_tokenizer: Any, tmp_path: Path) -> Callable[..., Path]:
    """A tiny Llama's folder; without its weights unless they are asked for."""

    def write(tokenizer: Any = tiny_tokenizer, *, weights: bool = False, **sizes: Any) -> Path:
        folder = tmp_path / "backbone"
        shape = {"vocab_size": len(tiny_tokenizer), "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1}
        shape |= {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 256, **sizes}
        LlamaForCausalLM(LlamaConfig(**shape)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        if not weights:
            (folder / WEIGHTS).unlink()
        return folder

    return write


def build(folder: Path, vocabulary: Vocabulary, **changes: Any) -> Any:
    return build_model(ModelConfig(backbone=str(folder), **{**SMALL, **changes}), tiny_splits(vocabulary, 3), [], 0)


def refuses(folder: Path, vocabulary: Vocabulary, fault: str, **changes: Any) -> None:
    with pytest.raises(SettingsError, match=fault) as caught:
        build(folder, vocabulary, **changes)
    assert "\n" not in str(caught.value)


def test_a_backbone_without_weights_is_the_last_thing_that_is_found(
    backbone: Callable[..., Path], vocabulary: Vocabulary
) -> None:
    # So what the tests below refuse is refused before any weights are looked for.
    refuses(backbone(), vocabulary, "no language model could be loaded")


def test_a_tokenizer_without_an_end_is_refused(
    backbone: Callable[..., Path], tiny_tokenizer: Any, vocabulary: Vocabulary
) -> None:
    endless = PreTrainedTokenizerFast(tokenizer_object=tiny_tokenizer.backend_tokenizer, pad_token="<pad>")
    refuses(backbone(endless), vocabulary, "names no end token.*add eos_token to its tokenizer_config.json")


def test_a_tokenizer_with_more_tokens_than_embeddings_is_refused(
    backbone: Callable[..., Path], tiny_tokenizer: Any, vocabulary: Vocabulary
) -> None:
    tokens = len(tiny_tokenizer)
    fault = f"has {tokens} tokens but the language model has embeddings of {tokens - 1}; put"
    refuses(backbone(vocab_size=tokens - 1), vocabulary, fault)


def words(*, lower: bool) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words, most of which it does not know, or which makes them lower case."""
    known = {"<unk>": 0, "</s>": 1, "###": 2, "Disease": 3, "Diagnosed:": 4, "Rationale:": 5, "disease": 6}
    made = Tokenizer(models.WordLevel(known, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if lower:
        made.normalizer = normalizers.Lowercase()
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", eos_token="</s>", pad_token="</s>")


@pytest.mark.parametrize(
    ("lower", "fault"),
    [
        (False, "cannot write the disease 'Acute and unspecified renal failure'"),
        (True, "cannot write the disease 'Acute and unspecified renal failure'"),
    ],
)
def test_a_tokenizer_that_changes_the_diseases_is_refused(
    lower: bool, fault: str, backbone: Callable[..., Path], vocabulary: Vocabulary
) -> None:
    refuses(
        backbone(words(lower=lower)), vocabulary, f"{fault}.*choose a backbone whose tokenizer keeps every character"
    )


def test_a_backbone_with_too_few_positions_is_refused(backbone: Callable[..., Path], vocabulary: Vocabulary) -> None:
    folder = backbone()
    # 64 of the note, 8 patches, 11 summary tokens, 32 of the target.
    fits = {"max_source_tokens": 256 - 8 - 11 - 32, "lab_summary": True}
    refuses(folder, vocabulary, "no language model could be loaded", **fits)
    more = {**fits, "max_source_tokens": fits["max_source_tokens"] + 1}
    fault = "needs 257 positions .*206, 19 for the labs, max_target_tokens 32.*llama has 256; lower max_s.* to 205"
    refuses(folder, vocabulary, fault, **more)
    with pytest.raises(SettingsError, match=fault):
        check_size(ModelConfig(backbone=str(folder), **{**SMALL, **more}), vocabulary)


def test_unknown_layers_are_named_together(backbone: Callable[..., Path], vocabulary: Vocabulary) -> None:
    fault = "name 'q', 'wo', but no layer of this llama has these names; its linear layers are .*down_proj, .*v_proj"
    refuses(backbone(), vocabulary, fault, lora_targets=["q_proj", "q", "wo"])


def test_a_backbone_that_is_larger_than_the_memory_is_refused(
    backbone: Callable[..., Path], vocabulary: Vocabulary
) -> None:
    folder = backbone()
    config = json.loads((folder / "config.json").read_text())
    config["intermediate_size"] = machine_memory() // (4 * 3 * 16) + 1
    (folder / "config.json").write_text(json.dumps(config))
    refuses(folder, vocabulary, "need .* of memory, and this machine has .*language model: lower the sizes")


def test_what_is_loaded_twice_needs_twice_the_free_memory() -> None:
    assert 0 < free_memory() <= machine_memory()
    sizes = {"language_model": 700, "lab_encoder": 200}
    require_free_memory(sizes, 900, pretrained=False)
    require_free_memory(sizes, 1600)
    with pytest.raises(
        SettingsError, match=r"takes 2 kB of memory \(its weights are 900 bytes\), and 2 kB are free; choose a smaller"
    ):
        require_free_memory(sizes, 1599)


def system(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_free_memory_is_what_machine_and_container_leave(tmp_path: Path) -> None:
    proc = {
        "proc__meminfo": "MemTotal: 900 kB\nMemAvailable:  500 kB\n",
        "proc__self__cgroup": "4:memory:/x\n0::/job/step\n",
    }
    root = system(tmp_path, **proc)
    assert free_memory(root) == 500 * 1024
    group = "sys__fs__cgroup__job"
    limits = {f"{group}__memory.max": "400000\n", f"{group}__memory.current": "300000\n"}
    system(root, **limits, **{f"{group}__memory.stat": "anon 9\ninactive_file 50000\n"})
    assert free_memory(root) == 400_000 - 300_000 + 50_000
    system(root, **{f"{group}__step__memory.max": "70000\n", f"{group}__step__memory.current": "90000\n"})
    assert free_memory(root) == 0
    system(root, **{f"{group}__step__memory.max": "max\n", f"{group}__memory.max": "max\n"})
    assert free_memory(root) == 500 * 1024
    assert free_memory(tmp_path / "nowhere") == machine_memory()


@pytest.mark.parametrize(("number", "text"), [(999, "999 bytes"), (16_000_000_000, "16 GB"), (2_400_000, "2 MB")])
def test_bytes_in_words(number: int, text: str) -> None:
    assert in_words(number) == text


def test_a_chat_template_is_not_used_and_a_line_says_so(
    backbone: Callable[..., Path], tiny_tokenizer: Any, vocabulary: Vocabulary, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="trainers"):
        _, plain = build(backbone(weights=True), vocabulary)
    assert "chat template" not in caplog.text
    folder = backbone(weights=True)
    (folder / "chat_template.jinja").write_text("{% for m in messages %}<|user|>{{ m['content'] }}{% endfor %}")
    with caplog.at_level(logging.INFO, logger="trainers"):
        _, processor = build(folder, vocabulary)
    assert processor.tokenizer.chat_template
    assert "chat template is not used" in caplog.text
    prompt = {"note": "Dyspnea and fever.", "series": None}
    assert processor(**prompt)["input_ids"].tolist() == plain(**prompt)["input_ids"].tolist()


def test_all_linear_is_a_setting_and_another_word_is_not() -> None:
    assert ModelConfig(backbone="x", lora_targets="all-linear").lora_targets == "all-linear"
    with pytest.raises(SettingsError, match="lora_targets: expected a list of texts or all-linear, got 'q'"):
        ModelConfig(backbone="x", lora_targets="q")  # type: ignore[arg-type]
