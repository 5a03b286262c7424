"""PyTorch's dynamic int8 quantization of the linear layers."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from model_inputs import NOTES, TARGETS, randomise, three_stays
from torch import nn
from torch.ao.nn.quantized.dynamic import Linear
from torch.ao.quantization import quantize_dynamic

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.ao.quantization is deprecated")


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("kind", ["t5", "bart", "qwen3"])
def test_int8_changes_little_and_generates(
    kind: str, merged: bool, make_model: Any, make_processor: Any, make_series: Any
) -> None:
    model = randomise(make_model(kind), "lora_B")
    if merged:
        model.merge_adapters()
    batch = dict(make_processor()(NOTES, three_stays(make_series), TARGETS))
    small = quantize_dynamic(copy.deepcopy(model), {nn.Linear}, dtype=torch.qint8)
    kinds = {type(module) for module in small.modules()}
    assert Linear in kinds
    assert nn.Linear not in kinds
    with torch.no_grad():
        expected, found = model(**batch), small(**batch)
    assert found.loss.item() == pytest.approx(expected.loss.item(), rel=0.02)
    valid = batch["labels"] != -100
    if model.config.is_encoder_decoder:
        difference = (found.logits - expected.logits)[valid]
        assert difference.std() < 0.1 * expected.logits[valid].std()
    del batch["labels"]
    assert small.generate(**batch, max_length=8, num_beams=2).shape[0] == len(NOTES)
