"""The model: composition, padding, saving, and what a change of the input must change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_inputs import NOTES, TARGETS, randomise, three_stays
from transformers import AutoModel, AutoModelForTextEncoding

from modeling_clinragen.errors import ModelInputError, SettingsError
from modeling_clinragen.modeling_clinragen import (
    MULTIPLE,
    ClinRaGenForConditionalGeneration,
    ClinRaGenModel,
    pack,
)
from modeling_clinragen.registration import register_auto_classes

KINDS = ["t5", "qwen3"]


def test_forward_equals_the_inner_model_on_hand_made_embeddings(
    make_model: Any, make_processor: Any, make_series: Any
) -> None:
    model, processor = make_model("t5"), make_processor()
    inputs = processor(NOTES[0], [make_series(9, 1)], TARGETS[0])
    note = model.get_input_embeddings()(inputs["input_ids"])
    labs, _, _ = model.get_lab_vectors(inputs["lab_features"], inputs["lab_mask"])
    inner = model.language_model(inputs_embeds=torch.cat((note, labs), dim=1), labels=inputs["labels"])
    outer = model(**inputs)
    torch.testing.assert_close(outer.logits, inner.logits)
    torch.testing.assert_close(outer.loss, inner.loss)


@pytest.mark.parametrize("fusion", ["attention", "tokens"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_body_reads_the_same_checkpoint_and_hands_over_what_the_head_needs(
    kind: str, fusion: str, make_model: Any, make_processor: Any, make_series: Any, tmp_path: Path
) -> None:
    whole = randomise(make_model(kind, knowledge_fusion=fusion), "lora_B")
    whole.save_pretrained(tmp_path)
    body, report = ClinRaGenModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    assert body.state_dict().keys() == whole.state_dict().keys()
    inputs = make_processor()(NOTES, three_stays(make_series), TARGETS)
    labels = inputs.pop("labels")
    read = body(**inputs)
    # Patches of four steps: three, one and none; V_k follows them where there is no attention to it.
    positions = inputs["attention_mask"].sum(dim=1) + torch.tensor([3, 1, 0]) + (30 if fusion == "tokens" else 0)
    assert read.attention_mask.sum(dim=1).tolist() == positions.tolist()
    assert read.loss is read.logits is None
    if kind == "t5":
        given = {"encoder_outputs": (read.last_hidden_state,), "attention_mask": read.attention_mask}
        torch.testing.assert_close(
            whole.language_model(**given, labels=labels).logits, whole(**inputs, labels=labels).logits
        )
    else:
        # Decoder-only: context and target in one row, so the context's own positions see nothing of the target.
        for row, length in enumerate(positions):
            hidden = read.last_hidden_state[row, :length]
            logits = whole(**inputs, labels=labels).logits[row, :length]
            torch.testing.assert_close(whole.get_output_embeddings()(hidden), logits)


def test_the_body_saved_by_itself_is_a_whole_checkpoint(make_model: Any, make_processor: Any, tmp_path: Path) -> None:
    register_auto_classes()
    whole = randomise(make_model("t5"), "lora_B")
    whole.save_pretrained(tmp_path / "whole")
    ClinRaGenModel.from_pretrained(tmp_path / "whole").save_pretrained(tmp_path / "body")
    for folder in ("whole", "body"):
        loaded = AutoModel.from_pretrained(tmp_path / folder)
        assert type(loaded) is ClinRaGenForConditionalGeneration
        torch.testing.assert_close(loaded.state_dict(), whole.state_dict())
        assert type(AutoModelForTextEncoding.from_pretrained(tmp_path / folder)) is ClinRaGenModel


def test_the_lab_encoder_equals_patchtst_where_nothing_is_padded(make_model: Any) -> None:
    model = make_model("t5")
    features = torch.randn(2, 64, 11, 4)
    ours, mask = model.lab_encoder(features, torch.ones(2, 64, dtype=torch.bool))
    # PatchTST's own forward takes (batch, time, variables): the four numbers of a step lie side by side in time.
    values = features.permute(0, 1, 3, 2).reshape(2, 256, 11)
    theirs = model.lab_encoder.patchtst(past_values=values).last_hidden_state
    joined = theirs.transpose(1, 2).reshape(2, 16, -1)
    assert bool(mask.all())
    torch.testing.assert_close(ours, model.lab_encoder.projection(joined))


@pytest.mark.parametrize("padding", [7.0, np.nan])
def test_padded_steps_change_nothing_whatever_stands_in_them(padding: float, make_model: Any) -> None:
    encoder = make_model("t5").lab_encoder
    features = torch.randn(1, 10, 11, 4)
    short, _ = encoder(features, torch.ones(1, 10, dtype=torch.bool))
    padded = torch.cat((features, torch.full((1, 20, 11, 4), padding)), dim=1)
    mask = torch.arange(30)[None] < 10
    long, long_mask = encoder(padded, mask)
    assert long_mask.sum() == short.shape[1] == 3
    torch.testing.assert_close(long[:, :3], short)


def test_knowledge_attention_against_numpy(make_model: Any) -> None:
    module = make_model("t5").knowledge_attention
    rng = np.random.default_rng(0)
    labs, knowledge = rng.normal(size=(2, 3, 32)), rng.normal(size=(30, 32))
    weights = {name: value.detach().double().numpy() for name, value in module.named_parameters()}

    def linear(name: str, x: np.ndarray) -> np.ndarray:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    prototypes = weights["prototype_map.weight"] @ knowledge
    query, key, value = linear("q_proj", labs), linear("k_proj", prototypes), linear("v_proj", prototypes)
    heads = []
    for head in range(2):
        part = slice(8 * head, 8 * head + 8)
        scores = query[..., part] @ key[:, part].T / np.sqrt(8)
        share = np.exp(scores - scores.max(-1, keepdims=True))
        share /= share.sum(-1, keepdims=True)
        heads.append(share @ value[:, part])
    expected = linear("out_proj", np.concatenate(heads, axis=-1))
    module = module.double()
    plain, none = module(torch.tensor(labs), torch.tensor(knowledge))
    eager, shares = module(torch.tensor(labs), torch.tensor(knowledge), return_weights=True)
    module.float()
    assert none is None
    np.testing.assert_allclose(plain.detach().numpy(), expected, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(eager.detach().numpy(), expected, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(shares.sum(-1), torch.ones(2, 2, 3, dtype=torch.float64))


@pytest.mark.parametrize("kind", KINDS)
def test_accumulated_halves_equal_one_batch(kind: str, make_model: Any, make_processor: Any, make_series: Any) -> None:
    model, processor = make_model(kind), make_processor()
    model.set_trainable(backbone=True, adapter=True, lab_encoder=True, knowledge_attention=True)
    series = [make_series(9, 1), make_series(3, 2), make_series(17, 3)]
    whole = processor(NOTES, series, TARGETS)
    count = int((whole["labels"] != -100).sum())
    loss = model(**whole).loss
    loss.backward()
    expected = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
    model.zero_grad()
    total = 0.0
    for rows in ([0], [1, 2]):
        inputs = processor([NOTES[row] for row in rows], [series[row] for row in rows], [TARGETS[row] for row in rows])
        part = model(**inputs, num_items_in_batch=count).loss
        part.backward()
        total += float(part.detach())
    assert total == pytest.approx(float(loss.detach()), rel=1e-5)
    for name, value in model.named_parameters():
        if name in expected:
            torch.testing.assert_close(value.grad, expected[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_saving_and_loading_keeps_every_logit(
    kind: str, dtype: torch.dtype, make_model: Any, make_processor: Any, make_series: Any, tmp_path: Path
) -> None:
    model = randomise(make_model(kind), "lora_B").to(dtype)
    inputs = make_processor()(NOTES[0], [make_series(9, 1)], TARGETS[0])
    model.save_pretrained(tmp_path)
    again = ClinRaGenForConditionalGeneration.from_pretrained(tmp_path, dtype=dtype).eval()
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    # The same weights at other addresses may take another kernel: equal up to the last bits.
    tolerance = 1e-5 if dtype is torch.float32 else 0.05
    torch.testing.assert_close(again(**inputs).logits, model(**inputs).logits, rtol=tolerance, atol=tolerance)
    assert torch.equal(again.knowledge_token_ids, model.knowledge_token_ids)


def test_what_learns_is_what_was_asked_for(make_model: Any) -> None:
    model = make_model("t5")
    model.set_trainable(backbone=False, adapter=True, lab_encoder=False, knowledge_attention=True)
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learning
    assert all("lora_" in name or name.startswith("knowledge_attention.") for name in learning)
    model.set_trainable(backbone=False, adapter=False, lab_encoder=True, knowledge_attention=False)
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learning
    assert all(name.startswith("lab_encoder.") for name in learning)
    with pytest.raises(SettingsError, match="no LoRA"):
        make_model("t5", lora=False).set_trainable(
            backbone=False, adapter=True, lab_encoder=True, knowledge_attention=True
        )


@pytest.mark.parametrize("parts", [{"adapter", "knowledge_attention"}, {"lab_encoder"}, {"backbone", "adapter"}])
def test_what_is_frozen_is_frozen_again_after_loading(make_model: Any, tmp_path: Path, parts: set[str]) -> None:
    def learning(model: Any) -> set[str]:
        return {name for name, parameter in model.named_parameters() if parameter.requires_grad}

    model = make_model("t5")
    everything = learning(model)
    model.save_pretrained(tmp_path / "untouched")
    assert learning(ClinRaGenForConditionalGeneration.from_pretrained(tmp_path / "untouched")) >= everything
    choices = ("backbone", "adapter", "lab_encoder", "knowledge_attention")
    model.set_trainable(**{part: part in parts for part in choices})
    model.save_pretrained(tmp_path / "chosen")
    loaded, _ = ClinRaGenForConditionalGeneration.from_pretrained(tmp_path / "chosen", output_loading_info=True)
    assert learning(loaded) == learning(model) != everything
    assert learning(ClinRaGenModel.from_pretrained(tmp_path / "chosen")) == learning(model)
    if "adapter" in parts:
        model.merge_adapters()
        model.save_pretrained(tmp_path / "merged")
        merged = learning(ClinRaGenForConditionalGeneration.from_pretrained(tmp_path / "merged"))
        assert not [name for name in merged if "lora_" in name]


def test_every_trainable_parameter_gets_a_gradient(make_model: Any, make_processor: Any, make_series: Any) -> None:
    model = randomise(make_model("t5", knowledge_fusion="gated"), "lora_B")
    model.set_trainable(backbone=False, adapter=True, lab_encoder=True, knowledge_attention=True)
    model(**make_processor()(NOTES, three_stays(make_series), TARGETS)).loss.backward()
    idle = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.abs().any())
    ]
    # Only a key bias may be idle: a softmax over keys does not see a constant added to all of them.
    assert [name for name in idle if not name.endswith("k_proj.bias")] == []


def test_wrong_inputs_name_both_numbers(make_model: Any, make_processor: Any, make_series: Any) -> None:
    model, processor = make_model("t5"), make_processor()
    good = dict(processor(NOTES[0], [make_series(9, 1)], TARGETS[0]))
    cases = [
        ({"lab_features": good["lab_features"][:, :, :10]}, r"\(1, 9, 10, 4\).*11, 4"),
        ({"lab_mask": good["lab_mask"][:, :5]}, r"\(1, 5\).*\(1, 9\)"),
        ({"attention_mask": good["attention_mask"][:, 1:]}, "attention_mask has the shape"),
        ({"input_ids": good["input_ids"][0], "attention_mask": good["attention_mask"][0]}, "batch, tokens"),
        ({"input_ids": good["input_ids"].repeat(2, 1), "attention_mask": None}, "2 notes but 1 series"),
        ({"lab_features": good["lab_features"].index_fill(1, torch.tensor(2), np.nan)}, "44 of 528 lab_features"),
        ({"target_weights": torch.ones(1, 2)}, r"target_weights have the shape \(1, 2\) but labels \(1, "),
        (
            {"attention_mask": good["attention_mask"] * 0, "lab_mask": good["lab_mask"] & False},
            "1 of 1 examples are empty",
        ),
        ({"labels": good["labels"].repeat(2, 1)}, r"\(2, .*the batch has 1"),
        ({"lab_mask": None}, "lab_mask"),
        ({"labels": None}, "labels"),
        ({"input_ids": None, "attention_mask": None, "lab_features": None, "lab_mask": None}, "input_ids"),
        ({"lab_features": torch.zeros(1, 65, 11, 4), "lab_mask": torch.ones(1, 65)}, "65 steps.*at most 64"),
    ]
    for change, message in cases:
        with pytest.raises(ModelInputError, match=message):
            model(**{**good, **change})


def test_what_the_language_model_has_no_position_for_is_refused(make_model: Any) -> None:
    for kind, target in (("bart", 1), ("opt", 20)):
        model = make_model(kind)
        # 256 positions, of which a series of 40 steps takes 10.
        series = {"lab_features": torch.zeros(1, 40, 11, 4), "lab_mask": torch.ones(1, 40, dtype=torch.bool)}
        labels = torch.full((1, target), 5)
        room = 256 - 10 - (target if kind == "opt" else 0)
        assert torch.isfinite(model(torch.full((1, room), 5), labels=labels, **series).loss)
        with pytest.raises(ModelInputError, match="needs 257 positions but this language model has 256"):
            model(torch.full((1, room + 1), 5), labels=labels, **series)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_without_any_target_token_teaches_nothing(
    kind: str, make_model: Any, make_processor: Any, make_series: Any
) -> None:
    model = make_model(kind).train()
    inputs = make_processor()(NOTES, three_stays(make_series), TARGETS)
    inputs["labels"] = torch.full_like(inputs["labels"], -100)
    loss = model(**inputs).loss
    loss.backward()
    assert loss == 0
    assert not any(value.grad.any() for value in model.parameters() if value.grad is not None)


def test_pack_keeps_order_and_drops_common_padding() -> None:
    values = torch.tensor([[0, 1, 2, 0, 3], [4, 0, 0, 0, 0]])
    values = torch.cat((values, torch.zeros(2, 40, dtype=torch.long)), dim=1)
    mask = values > 0
    right, right_mask = pack(values, mask, padding_side="right")
    left, left_mask = pack(values, mask, padding_side="left")
    rest = [0] * (MULTIPLE - 3)
    assert (right * right_mask).tolist() == [[1, 2, 3, *rest], [4, 0, 0, *rest]]
    assert (left * left_mask).tolist() == [[*rest, 1, 2, 3], [*rest, 0, 0, 4]]


@pytest.mark.parametrize("kind", KINDS)
def test_training_computes_only_the_logits_that_count_and_the_same_loss(
    kind: str, make_model: Any, make_processor: Any, make_series: Any
) -> None:
    model = make_model(kind, knowledge_dropout=0.0)
    inputs = make_processor()(NOTES, three_stays(make_series), TARGETS)
    seen: list[int] = []
    model.get_output_embeddings().register_forward_hook(lambda _, __, out: seen.append(out.shape[:-1].numel()))
    evaluated = model(**inputs)
    evaluated.loss.backward()
    expected = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
    model.zero_grad()
    model.train()
    trained = model(**inputs)
    trained.loss.backward()
    assert trained.logits is None
    assert evaluated.logits is not None
    torch.testing.assert_close(trained.loss, evaluated.loss)
    for name, value in model.named_parameters():
        if name in expected:
            torch.testing.assert_close(value.grad, expected[name], msg=name)
    assert seen[1] <= seen[0]


@pytest.mark.parametrize("kind", KINDS)
def test_scores_of_targets_are_their_likelihoods(
    kind: str, make_model: Any, make_processor: Any, make_series: Any
) -> None:
    model, processor = make_model(kind), make_processor()
    series = three_stays(make_series)
    texts = [["a b c", "cough"], ["x", "no chest pain"], ["y", "heart rate is high"]]
    candidates = torch.full((3, 2, 30), -100)
    for row in range(3):
        for column in range(2):
            ids = processor(NOTES[row], [series[row]], texts[row][column])["labels"][0]
            candidates[row, column, : len(ids)] = ids
    scores = model.score_targets(candidates, **processor(NOTES, series), sequences=4)
    for row in range(3):
        for column in range(2):
            labels = candidates[row, column][None]
            single = model(**processor(NOTES[row], [series[row]]), labels=labels)
            expected = -single.loss * (labels != -100).sum()
            torch.testing.assert_close(scores[row, column], expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(ModelInputError, match="for 2 patients but the batch has 3"):
        model.score_targets(candidates[:2], **processor(NOTES, series))
