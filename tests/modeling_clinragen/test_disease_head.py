"""The disease head: its probabilities, its loss, and texts that begin with what it finds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_inputs import NOTES, three_stays
from sklearn.metrics import roc_auc_score

from modeling_clinragen.diagnosing_clinragen import write_lists, write_targets
from modeling_clinragen.disease_head_clinragen import ranges
from modeling_clinragen.errors import ModelInputError, SettingsError
from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration

KINDS = ["t5", "bart", "t5gemma", "opt", "qwen3"]


@pytest.fixture
def make_headed(make_model: Callable[..., Any]) -> Callable[..., Any]:
    """A model whose head answers differently for every disease and patient."""

    def build(kind: str = "t5", **settings: Any) -> Any:
        model = make_model(kind, lab_summary=True, disease_head=True, knowledge_dropout=0.0, **settings)
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            model.disease_head.weight.normal_(std=0.2, generator=generator)
            model.disease_head.temperatures.copy_(torch.tensor([1.0, 2.0, 0.5]))
        return model

    return build


def batch_of(processor: Any, make_series: Any) -> Any:
    return processor(NOTES, three_stays(make_series))


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_are_those_of_the_training_pass_whatever_the_batch(
    kind: str, make_headed: Any, make_processor: Any, make_series: Any
) -> None:
    model, processor = make_headed(kind), make_processor()
    inputs, stays = batch_of(processor, make_series), three_stays(make_series)
    found = model.diagnose(**inputs)
    assert found.shape == (3, 25)
    assert found.std() > 0.05
    for row, (note, stay) in enumerate(zip(NOTES, stays, strict=True)):
        assert torch.allclose(model.diagnose(**processor([note], [stay]))[0], found[row], atol=1e-5)
    targets = [processor.target(["Shock"], "The heart rate is high."), processor.target([]), processor.target([])]
    labels = processor(NOTES, stays, targets)["labels"]
    diseases = torch.zeros(3, 25)
    for mode in (model.eval(), model.train()):
        output = mode(**inputs, labels=labels, disease_targets=diseases)
        assert torch.allclose(output.disease_logits.sigmoid(), found, atol=1e-5)
    model.eval()
    assert torch.allclose(model.diagnose(encoded=model.encode(**inputs)), found, atol=1e-5)


@pytest.mark.parametrize("kind", ["t5", "qwen3"])
def test_the_loss_is_that_of_the_text_and_of_the_diseases(
    kind: str, make_headed: Any, make_processor: Any, make_series: Any
) -> None:
    model, processor = make_headed(kind, disease_loss_weight=0.5), make_processor()
    inputs = batch_of(processor, make_series)
    labels = processor(NOTES, target=[processor.target(["Shock"], "It is high."), *[processor.target([])] * 2])[
        "labels"
    ]
    diseases = (torch.arange(75).view(3, 25) % 4 == 0).float()
    text = float(model(**inputs, labels=labels).loss.detach())
    logits = model(**inputs, labels=labels, disease_targets=diseases).disease_logits.detach().double()
    chance = logits.sigmoid()
    own = -(diseases * chance.log() + (1 - diseases) * (1 - chance).log()).sum() / 3
    for mode in (model.eval(), model.train()):
        loss = mode(**inputs, labels=labels, disease_targets=diseases).loss.detach()
        assert float(loss) == pytest.approx(text + 0.5 * float(own), rel=1e-4)


@pytest.mark.parametrize("kind", ["t5", "qwen3"])
def test_an_example_without_a_target_teaches_only_its_diseases(
    kind: str, make_headed: Any, make_processor: Any, make_series: Any
) -> None:
    model, processor = make_headed(kind).train(), make_processor()
    inputs = batch_of(processor, make_series)
    labels = processor(NOTES, target=[processor.target(["Shock"], f"Text {row}.") for row in range(3)])["labels"]
    labels[1] = -100
    diseases = torch.zeros(3, 25)
    whole = model(**inputs, labels=labels, disease_targets=diseases)
    kept = [0, 2]
    part = model(**{name: value[kept] for name, value in inputs.items()}, labels=labels[kept])
    none = torch.nn.functional.softplus(whole.disease_logits.detach()).sum() / 3
    assert float(whole.loss.detach()) == pytest.approx(float(part.loss.detach() + none), rel=1e-4)
    labels[:] = -100
    only = model(**inputs, labels=labels, disease_targets=diseases)
    only.loss.backward()
    assert float(only.loss.detach()) == pytest.approx(float(none), rel=1e-4)
    assert model.disease_head.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", ["t5", "qwen3"])
def test_the_head_learns_to_attend_to_the_given_evidence(
    kind: str, side: str, make_headed: Any, make_processor: Any, make_series: Any
) -> None:
    """The loss is recomputed from the attention of each patient alone, where nothing is padded."""
    model, processor = make_headed(kind, evidence_loss_weight=0.5), make_processor()
    processor.tokenizer.padding_side = side
    stays = three_stays(make_series)
    inputs = processor(NOTES, stays)
    labels = processor(NOTES, target=[processor.target([])] * 3)["labels"]
    diseases, tokens = torch.zeros(3, 25), inputs["input_ids"].shape[1]
    variables = inputs["lab_features"].shape[2]
    evidence = torch.zeros(3, tokens + variables, 25, dtype=torch.bool)
    wanted, first = 0.0, inputs["attention_mask"].argmax(dim=1).tolist()
    for row, (note, stay) in enumerate(zip(NOTES, stays, strict=True)):
        evidence[row, first[row], 3] = True
        evidence[row, first[row] + 1, 3] = True
        # Evidence in a series that is not given counts for nothing.
        evidence[row, tokens + 2, 7] = True
        alone = processor([note], [stay])
        states, mask = model.encode(**alone)
        if not model.config.is_encoder_decoder:
            states, mask = model._encode(states, mask)
        weights = model.disease_head.read(states, mask)[1][0, 0].detach()
        length = int(mask.sum())
        wanted -= float((weights[3, :2].sum() + 1e-4).log())
        if stay is not None and len(stay["hours"]):
            wanted -= float((weights[7, length - variables + 2] + 1e-4).log())
    plain = model(**inputs, labels=labels, disease_targets=diseases)
    taught = model(**inputs, labels=labels, disease_targets=diseases, disease_evidence=evidence)
    assert float((taught.loss - plain.loss).detach()) == pytest.approx(0.5 * wanted / 3, rel=1e-3)
    before = float(taught.loss.detach() - plain.loss.detach())
    optimizer = torch.optim.SGD(model.disease_head.parameters(), lr=0.5)
    for _ in range(5):
        model.zero_grad()
        (
            model(**inputs, labels=labels, disease_targets=diseases, disease_evidence=evidence).loss
            - model(**inputs, labels=labels, disease_targets=diseases).loss
        ).backward()
        optimizer.step()
    after = (
        model(**inputs, labels=labels, disease_targets=diseases, disease_evidence=evidence).loss
        - model(**inputs, labels=labels, disease_targets=diseases).loss
    )
    assert float(after.detach()) < before
    with pytest.raises(ModelInputError, match="disease_evidence has the shape"):
        model(**inputs, labels=labels, disease_targets=diseases, disease_evidence=evidence[:, :-1])


@pytest.mark.parametrize("kind", ["t5", "qwen3"])
def test_lists_alone_are_those_of_whole_texts(
    kind: str, make_headed: Any, make_processor: Any, make_series: Any
) -> None:
    model, processor = make_headed(kind, list_from="head"), make_processor()
    stays = three_stays(make_series)
    wanted = [("Shock", "Pneumonia"), (), ("Shock",)]
    known = {
        name: next(one for one in model.config.diseases if one.startswith(name)) for name in ("Shock", "Pneumonia")
    }
    listed = [tuple(known[name] for name in names) for names in wanted]
    batch = processor(NOTES, stays, [processor.target(names, f"It is case {len(names)}.") for names in listed])
    # Learned by heart.
    optimizer = torch.optim.Adam(model.train().parameters(), lr=5e-3)
    for _ in range(120):
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
    model.eval()
    patients = list(zip(NOTES, stays, strict=True))
    lists = write_lists(model, processor, patients)
    assert lists == listed or kind != "t5"  # the other one learns slowly
    for (note, stay), found in zip(patients, lists, strict=True):
        ids = model.generate(**processor([note], [stay]), do_sample=False, max_new_tokens=processor.max_target_tokens)
        text = processor.tokenizer.decode(ids[0], skip_special_tokens=True).strip()
        assert processor.parse(text).diagnoses == found
    with pytest.raises(SettingsError, match="lists alone need the layout diagnosis-first"):
        write_lists(model, make_processor(layout="rationale-first"), patients)


def test_each_modality_has_its_calibration_and_its_thresholds(
    make_headed: Any, make_processor: Any, make_series: Any
) -> None:
    model, processor = make_headed(), make_processor()
    inputs = batch_of(processor, make_series)
    assert [processor.modality(*one) for one in (("a", make_series(3)), ("a", None), (" \n", make_series(3)))] == [
        "both",
        "note",
        "labs",
    ]
    plain = torch.logit(model.diagnose(**inputs))
    each = model.diagnose(**inputs, modality=["both", "note", "labs"])
    assert torch.allclose(torch.logit(each), plain / torch.tensor([[1.0], [2.0], [0.5]]), atol=1e-4)
    model.disease_head.thresholds[1] = 2.0
    assert model.listed(each, ["note"] * 3) == [(), (), ()]
    assert model.listed(each)[0] == tuple(
        name for name, chance in zip(model.config.diseases, each[0].tolist(), strict=True) if chance >= 0.5
    )
    with pytest.raises(ModelInputError, match="modality is 'xray'; give one of both, note, labs"):
        model.diagnose(**inputs, modality="xray")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beams", [1, 2])
def test_texts_begin_with_what_the_head_finds(
    kind: str, beams: int, make_headed: Any, make_processor: Any, make_series: Any
) -> None:
    model, processor = make_headed(kind, list_from="head"), make_processor()
    stays = three_stays(make_series)
    listed = model.listed(model.diagnose(**processor(NOTES, stays)))
    texts = write_targets(
        model, processor, list(zip(NOTES, stays, strict=True)), max_new_tokens=6, do_sample=False, num_beams=beams
    )
    for text, names in zip(texts, listed, strict=True):
        assert text.startswith(processor.target(names))
    for row, (note, stay) in enumerate(zip(NOTES, stays, strict=True)):
        alone = write_targets(model, processor, [(note, stay)], max_new_tokens=6, do_sample=False, num_beams=beams)
        assert alone == [texts[row]]


def test_it_is_saved_merged_and_loaded_with_the_model(
    make_headed: Any, make_processor: Any, make_series: Any, tmp_path: Path
) -> None:
    model, processor = make_headed(list_from="head"), make_processor()
    model.disease_head.thresholds[0, :5] = 0.9
    inputs = batch_of(processor, make_series)
    found = model.diagnose(**inputs)
    model.save_pretrained(tmp_path / "whole")
    again = ClinRaGenForConditionalGeneration.from_pretrained(tmp_path / "whole")
    assert torch.equal(again.diagnose(**inputs), found)
    assert again.listed(found) == model.listed(found)
    again.merge_adapters()
    assert torch.allclose(again.diagnose(**inputs), found, atol=1e-5)


def test_without_a_head_there_is_nothing_to_ask(make_model: Any, make_processor: Any, make_series: Any) -> None:
    model, processor = make_model(), make_processor()
    inputs = batch_of(processor, make_series)
    with pytest.raises(SettingsError, match="has no disease head"):
        model.diagnose(**inputs)
    with pytest.raises(SettingsError, match="has no disease head"):
        model(**inputs, labels=torch.zeros(3, 2, dtype=torch.long), disease_targets=torch.zeros(3, 25))
    with pytest.raises(SettingsError, match="list_from is 'head' but there is no disease_head"):
        make_model(list_from="head")
    with pytest.raises(SettingsError, match="disease_heads is 3, which does not divide"):
        make_model(disease_head=True, disease_heads=3)


def test_ranges_are_of_the_states_that_are_there() -> None:
    generator = torch.Generator().manual_seed(0)
    states, mask = torch.randn(2, 7, 5, generator=generator), torch.ones(2, 7, dtype=torch.bool)
    mask[1, 4:] = False
    found = ranges(states, mask)
    for row in range(2):
        own = states[row][mask[row]].double().numpy()
        deviation = np.sqrt(own.var(axis=0) + 1e-6)
        both = np.concatenate(
            [(own.max(axis=0) - own.mean(axis=0)) / deviation, (own.mean(axis=0) - own.min(axis=0)) / deviation]
        )
        expected = (both - both.mean()) / np.sqrt(both.var() + 1e-5)
        np.testing.assert_allclose(found[row].numpy(), expected, atol=1e-4)
    # Neither an offset nor a scale of a dimension counts.
    moved = ranges(states * torch.tensor([1.0, 30.0, 2.0, 1.0, 5.0]) + torch.tensor([0.0, 9.0, -4.0, 1.0, 0.0]), mask)
    torch.testing.assert_close(moved, found, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("kind", ["t5", "qwen3"])
def test_a_pooled_head_begins_as_the_other_and_does_not_depend_on_the_batch(
    kind: str, make_headed: Any, make_processor: Any, make_series: Any, tmp_path: Path
) -> None:
    plain, model = make_headed(kind), make_headed(kind, disease_head_pooled=True)
    pooled = model.disease_head.pooled
    assert not pooled.any()
    weights = {name: value for name, value in model.state_dict().items() if name != "disease_head.pooled"}
    plain.load_state_dict(weights)
    processor, stays = make_processor(), three_stays(make_series)
    inputs = batch_of(processor, make_series)
    before = plain.diagnose(**inputs)
    torch.testing.assert_close(model.diagnose(**inputs), before, rtol=0, atol=0)
    with torch.no_grad():
        pooled.normal_(std=0.1, generator=torch.Generator().manual_seed(1))
    found = model.diagnose(**inputs)
    assert (found - before).abs().max() > 0.05
    for row, (note, stay) in enumerate(zip(NOTES, stays, strict=True)):
        torch.testing.assert_close(model.diagnose(**processor([note], [stay]))[0], found[row], rtol=0, atol=1e-5)
    model.save_pretrained(tmp_path)
    again = ClinRaGenForConditionalGeneration.from_pretrained(tmp_path)
    torch.testing.assert_close(again.diagnose(**inputs), found)


def test_a_pooled_head_learns_among_dimensions_that_are_far_larger(make_model: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    states, labels = torch.randn(400, 12, 32, generator=generator), torch.rand(400, 25, generator=generator) < 0.3
    # As in a pretrained language model some dimensions are large and nearly constant. Of each disease one token tells,
    # in its own dimension.
    states[..., :4] += 100
    places = torch.randint(12, labels.shape, generator=generator)
    for row, disease in labels.nonzero():
        states[row, places[row, disease], 4 + disease] += 8
    mask, reached = torch.ones(400, 12, dtype=torch.bool), {}
    for pooled in (False, True):
        torch.manual_seed(0)
        head = make_model(disease_head=True, disease_head_pooled=pooled).disease_head.train()
        optimizer = torch.optim.AdamW(head.parameters(), lr=5e-4)
        for step in range(400):
            rows = slice(step * 4 % 320, step * 4 % 320 + 4)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                head(states[rows], mask[rows]), labels[rows].float()
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            answers = head.eval()(states[320:], mask[320:])
        reached[pooled] = float(roc_auc_score(labels[320:].numpy().ravel(), answers.numpy().ravel()))
    assert reached[True] > 0.9 > reached[False] + 0.1, reached
