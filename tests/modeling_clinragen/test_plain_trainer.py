"""Our models in transformers' own Trainer, for users who do not use our trainers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from model_inputs import NOTES, TARGETS, three_stays
from peft import LoraConfig, get_peft_model
from transformers import DataCollatorForSeq2Seq, Seq2SeqTrainer, Seq2SeqTrainingArguments

from modeling_clinragen.errors import ModelInputError

KINDS = ["t5", "qwen3"]


@pytest.fixture
def make_trainer(make_processor: Any, make_series: Any, tmp_path: Path) -> Callable[..., Seq2SeqTrainer]:
    """Build a trainer over three patients in one batch."""
    processor = make_processor()
    patients = list(zip(NOTES, three_stays(make_series), TARGETS, strict=True))

    def build(model: Any, **settings: Any) -> Seq2SeqTrainer:
        args = Seq2SeqTrainingArguments(
            output_dir=str(tmp_path),
            per_device_train_batch_size=len(patients),
            max_steps=1,
            logging_steps=1,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            remove_unused_columns=False,
            disable_tqdm=True,
            **settings,
        )
        return Seq2SeqTrainer(
            model,
            args,
            data_collator=lambda rows: dict(processor(*map(list, zip(*rows, strict=True)))),
            train_dataset=patients,
            eval_dataset=patients,
            processing_class=processor,
        )

    return build


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_that_it_shows_is_the_mean_over_all_target_tokens(
    kind: str, make_model: Any, make_trainer: Any
) -> None:
    model = make_model(kind, knowledge_dropout=0.0)
    trainer = make_trainer(model)
    expected = model(**trainer.data_collator(trainer.train_dataset)).loss.item()
    assert trainer.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-4)
    trainer.train()
    assert trainer.state.log_history[0]["loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_it_evaluates_by_generating(kind: str, make_model: Any, make_trainer: Any) -> None:
    model = make_model(kind)
    trainer = make_trainer(model, predict_with_generate=True, generation_max_length=12)
    predicted = trainer.predict(trainer.eval_dataset)
    batch = trainer.data_collator(trainer.eval_dataset)
    loss = model(**batch).loss.item()
    del batch["labels"]
    made = model.generate(**batch, max_length=12)
    assert torch.equal(torch.tensor(predicted.predictions)[:, : made.shape[1]], made)
    assert predicted.metrics["test_loss"] == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_length_that_it_generates_is_its_own_not_the_saved_one(
    kind: str, make_model: Any, make_trainer: Any
) -> None:
    model = make_model(kind)
    model.generation_config.max_new_tokens = 30
    model.generation_config.eos_token_id = model.language_model.generation_config.eos_token_id = None
    trainer = make_trainer(model, predict_with_generate=True, generation_max_length=12)
    predicted = trainer.predict(trainer.eval_dataset).predictions
    # The Trainer pads to the saved length.
    assert (predicted[:, 12:] == model.generation_config.pad_token_id).all()
    batch = trainer.data_collator(trainer.eval_dataset)
    assert torch.equal(torch.tensor(predicted)[:, :12], model.generate(**batch, max_length=12))


@pytest.mark.parametrize("kind", KINDS)
def test_label_smoothing_without_the_decoders_inputs_is_refused_in_plain_words(
    kind: str, make_model: Any, make_trainer: Any
) -> None:
    trainer = make_trainer(make_model(kind), label_smoothing_factor=0.1)
    with pytest.raises(ModelInputError, match=r"label_smoothing_factor takes the labels out.*set .* to 0"):
        trainer.train()


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_label_smoothing_works_where_batches_have_the_decoders_inputs(
    kind: str, make_model: Any, make_trainer: Any
) -> None:
    model = make_model(kind, knowledge_dropout=0.0)
    trainer = make_trainer(model, label_smoothing_factor=0.1)
    plain = trainer.data_collator

    def with_decoder_inputs(rows: Any) -> dict[str, torch.Tensor]:
        batch = plain(rows)
        return batch | {"decoder_input_ids": model.prepare_decoder_input_ids_from_labels(labels=batch["labels"])}

    trainer.data_collator = with_decoder_inputs
    batch = with_decoder_inputs(trainer.train_dataset)
    logits, labels = model(**batch).logits, batch["labels"]
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), label_smoothing=0.1).item()
    assert trainer.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-4)
    trainer.train()
    assert trainer.state.log_history[-2]["loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_collator_of_sequences_finds_what_the_kind_of_model_has(
    kind: str, make_model: Any, make_processor: Any
) -> None:
    model, processor = make_model(kind), make_processor()
    rows = [{"input_ids": [5, 6, 7], "labels": [8, 9, 1]}, {"input_ids": [5, 6], "labels": [8, 1]}]
    batch = DataCollatorForSeq2Seq(processor.tokenizer, model=model)(rows)
    assert ("decoder_input_ids" in batch) == model.config.is_encoder_decoder
    without = {name: value for name, value in batch.items() if name != "decoder_input_ids"}
    assert torch.equal(model(**batch).loss, model(**without).loss)


def test_adapters_of_peft_learn_in_it(make_model: Any, make_trainer: Any) -> None:
    model = get_peft_model(
        make_model("t5", lora=False, knowledge_dropout=0.0),
        LoraConfig(r=2, lora_dropout=0.0, target_modules=["q", "v"], task_type="SEQ_2_SEQ_LM"),
    )
    trainer = make_trainer(model, predict_with_generate=True, generation_max_length=12)
    batch = trainer.data_collator(trainer.train_dataset)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    expected = model(**batch).loss.item()
    trainer.train()
    assert trainer.state.log_history[0]["loss"] == pytest.approx(expected, rel=1e-4)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all("lora_" in name for name in changed)
    assert trainer.predict(trainer.eval_dataset).predictions.shape[0] == len(NOTES)


def test_targets_that_do_not_fit_are_refused(make_model: Any, make_trainer: Any) -> None:
    encoder_decoder, decoder = make_model("t5"), make_model("qwen3")
    batch = make_trainer(encoder_decoder).data_collator(list(zip(NOTES, [None] * 3, TARGETS, strict=True)))
    labels = batch.pop("labels")
    moved = encoder_decoder.prepare_decoder_input_ids_from_labels(labels=labels)
    with pytest.raises(ModelInputError, match="decoder-only"):
        decoder(**batch, labels=labels, decoder_input_ids=moved)
    for wrong in (
        {"labels": labels, "decoder_input_ids": moved[:, 1:]},
        {"labels": labels[1:]},
        {"decoder_input_ids": moved[0]},
        {"labels": labels, "target_weights": torch.ones(3, 2)},
    ):
        with pytest.raises(ModelInputError, match="have the shape"):
            encoder_decoder(**batch, **wrong)
    with pytest.raises(ModelInputError, match="needs labels"):
        encoder_decoder(**batch, decoder_input_ids=moved, target_weights=torch.ones(labels.shape))
