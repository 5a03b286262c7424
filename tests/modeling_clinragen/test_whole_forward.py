"""The whole forward pass against a second one, written in NumPy from the state dict alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from model_inputs import NOTES, TARGETS, in_layout, randomise, three_stays
from numpy_clinragen import NumpyClinRaGen


@pytest.mark.parametrize("layout", ["patches", "paper"])
@pytest.mark.parametrize("fusion", ["attention", "gated", "tokens", "none"])
@pytest.mark.parametrize("own_head", [False, True])
def test_loss_of_a_batch_is_that_of_the_patients_computed_by_hand(
    own_head: bool, fusion: str, layout: str, make_model: Any, make_processor: Any, make_series: Any
) -> None:
    model, processor = in_layout(
        layout, make_model, make_processor, knowledge_fusion=fusion, tie_word_embeddings=not own_head
    )
    # Biases, norms and adapters are initialised without effect: they need other values to be tested.
    randomise(model, "lora_", "bias", "norm", *(["lm_head"] if own_head else []))
    # As in Flan-T5: a separate head, to which the decoder's output goes unscaled.
    model.language_model.config.scale_decoder_outputs = not own_head
    batch = processor(NOTES, three_stays(make_series), TARGETS)
    loss = model.double()(**batch).loss
    reference = NumpyClinRaGen(
        {name: value.detach().double().numpy() for name, value in model.state_dict().items()},
        text={"heads": 4, "lora_scale": 8 / 4, "scaled": not own_head},
        lab={"heads": 2, "patch_steps": 4, "layout": layout},
        knowledge={"heads": 2, "fusion": fusion},
    )
    losses = []
    for row in range(len(NOTES)):
        tokens = batch["input_ids"][row][batch["attention_mask"][row] > 0].tolist()
        features = batch["lab_features"][row][batch["lab_mask"][row]].double().numpy()
        labels = [label for label in batch["labels"][row].tolist() if label != -100]
        losses.append(reference.loss_per_token(tokens, features, labels))
    # Some single precision remains: T5 computes its norms in it, and the loss is computed in it.
    assert float(loss.detach()) == pytest.approx(np.concatenate(losses).mean(), rel=1e-6)
