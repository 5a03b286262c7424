"""How much each piece of evidence weighs for the disease head: what it attends to, and gradient times input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from clinragen.interventions.patient import SENTENCE, VARIABLE, Case, Unit
from modeling_clinragen.modeling_clinragen import ClinRaGenModel
from modeling_clinragen.reading_clinragen import tokenize

Weights = Mapping[Unit, float]


def reason_against(model: Any, processor: Any) -> str | None:
    """Why the evidence of a model cannot be weighed; None where it can."""
    if model.disease_head is None:
        return "the model has no disease head"
    if processor.lab_input != "vectors":
        return "the model reads the labs as words of the text"
    if not model.config.lab_summary:
        return "the model has no summary tokens (lab_summary), and a patch is of all variables at once"
    return None


@dataclass(frozen=True, eq=False)
class Attributions:
    """Weights of the inputs of a batch.

    Args:
        tokens: Of each token of the text, `(batch, tokens)`, in the places of `input_ids`.
        variables: Of the summary token of each variable, `(batch, variables)`; 0 without a series.
    """

    tokens: np.ndarray
    variables: np.ndarray


def gradient_times_input(model: Any, inputs: Mapping[str, torch.Tensor], wanted: torch.Tensor) -> Attributions:
    """The gradient of the wanted diseases' logits, times the embedding that it is of, added up over the embedding.

    Args:
        model: A model with a disease head and summary tokens.
        inputs: As the processor gives them.
        wanted: Which diseases, `(batch, diseases)`; their logits are added up.
    """
    embeds, mask = _embedded(model, inputs)
    embeds.requires_grad_()
    with torch.enable_grad():
        # The model's own forward pass wants targets; this is that of the part that encodes.
        encoded = ClinRaGenModel.forward(model, inputs_embeds=embeds, attention_mask=mask)
        logits = model.require_disease_head()(encoded.last_hidden_state, encoded.attention_mask)
        (gradient,) = torch.autograd.grad((logits * wanted.to(logits)).sum(), embeds)
    products = ((gradient * embeds).sum(-1) * mask).detach().double().cpu().numpy()
    tokens = inputs["input_ids"].shape[1]
    variables = np.zeros((len(products), len(model.config.variables)))
    if inputs.get("lab_features") is not None:
        end = products.shape[1] - _behind(model)
        variables = products[:, end - variables.shape[1] : end]
    return Attributions(products[:, :tokens], variables)


@torch.no_grad()
def head_attention(model: Any, inputs: Mapping[str, torch.Tensor], wanted: torch.Tensor) -> Attributions:
    """The attention of the queries of the wanted diseases, mean over the heads, added up over the diseases.

    Args:
        model, inputs, wanted: As for `gradient_times_input`.
    """
    encoded = ClinRaGenModel.forward(model, **inputs)
    mask = encoded.attention_mask
    _, weights = model.require_disease_head().read(encoded.last_hidden_state, mask)
    # (batch, heads, diseases, positions) -> (batch, positions)
    found = torch.einsum("bhdp,bd->bp", weights, wanted.to(weights)) / weights.shape[1]
    found, known = found.double().cpu().numpy(), inputs["attention_mask"].bool().cpu().numpy()
    count, behind = len(model.config.variables), _behind(model)
    tokens, variables = np.zeros(known.shape), np.zeros((len(found), count))
    series = inputs.get("lab_mask")
    for row, (length, text) in enumerate(zip(mask.sum(1).tolist(), known, strict=True)):
        # The sequence is packed: the text without its padding, then what is of the labs.
        tokens[row, text] = found[row, : text.sum()]
        if series is not None and bool(series[row].any()):
            end = length - behind
            variables[row] = found[row, end - count : end]
    return Attributions(tokens, variables)


@torch.no_grad()
def _embedded(model: Any, inputs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """The sequence that the language model reads, with gaps: embeddings `(batch, positions, width)` and their mask."""
    embeds, masks = [model.get_input_embeddings()(inputs["input_ids"])], [inputs["attention_mask"].bool()]
    if inputs.get("lab_features") is not None:
        vectors, mask, _ = model.get_lab_vectors(inputs["lab_features"], inputs["lab_mask"])
        embeds.append(vectors.to(embeds[0].dtype))
        masks.append(mask)
        if _behind(model):
            knowledge = model.get_input_embeddings()(model.knowledge_token_ids)
            embeds.append(knowledge.expand(len(vectors), -1, -1))
            masks.append(mask.new_ones(len(vectors), len(knowledge)))
    return torch.cat(embeds, dim=1), torch.cat(masks, dim=1)


def _behind(model: Any) -> int:
    """How many knowledge tokens follow the lab vectors."""
    return len(model.knowledge_token_ids) if model.config.knowledge_fusion == "tokens" else 0


def weigh(
    model: Any, processor: Any, cases: Sequence[Case], listed: np.ndarray, *, attention: bool, batch_size: int
) -> list[Weights]:
    """How much each piece of evidence of each case weighs for the diseases that are listed.

    Args:
        model, processor: A model whose evidence can be weighed (see `reason_against`).
        cases: The patients.
        listed: Which diseases are listed of each, bool `(cases, diseases)`.
        attention: Whether the attention of the head is meant; else gradient times input, whose size counts.
        batch_size: Patients at once.
    """
    work = head_attention if attention else gradient_times_input
    found: list[Weights] = []
    for start in range(0, len(cases), batch_size):
        batch = cases[start : start + batch_size]
        given = [case.shown.given for case in batch]
        labs = [series for _, series in given] if any(series is not None for _, series in given) else None
        inputs = processor([note or "" for note, _ in given], labs, warn=False).to(model.device)
        wanted = torch.tensor(listed[start : start + batch_size], device=model.device)
        weights = work(model, inputs, wanted)
        text = inputs["attention_mask"].bool().cpu().numpy()
        for row, case in enumerate(batch):
            found.append(_by_unit(case, processor, weights.tokens[row, text[row]], weights.variables[row]))
    return found


def _by_unit(case: Case, processor: Any, tokens: np.ndarray, variables: np.ndarray) -> Weights:
    start = processor.note_start()
    places = tokenize(case.shown.note, processor.tokenizer).places
    weights = {}
    for unit in case.units:
        if unit.kind == VARIABLE:
            weights[unit] = abs(float(variables[unit.number]))
            continue
        low, high = case.sentences[unit.number]
        own = [start + number for number, (first, last) in enumerate(places) if first < high and low < last]
        weights[Unit(SENTENCE, unit.number)] = abs(
            float(tokens[[place for place in own if place < len(tokens)]].sum())
        )
    return weights
