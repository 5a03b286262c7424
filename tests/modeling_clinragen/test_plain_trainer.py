"""Our models in transformers' own Trainer, for users who do not use our trainers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from model_inputs import NOTES, TARGETS, three_stays
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments

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
