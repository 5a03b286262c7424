"""A model as preference training needs it: it writes texts for prompts, and says how probable texts are.

The trainer knows models only through `Policy`. `PlainPolicy` is that of any sequence-to-sequence or causal model of
transformers with a tokenizer; a model with side inputs has one of its own (`trainers.preference_clinical`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from transformers.modeling_outputs import BaseModelOutput

from modeling_clinragen.errors import InputDataError, SettingsError
from modeling_clinragen.loss_clinragen import target_losses
from modeling_clinragen.processing_clinragen import IGNORED

Example = Mapping[str, Any]
"""A row of the data: what the prompt is made of, and whatever else the reward functions read."""

AS_IT_IS: dict[str, Any] = {
    "top_k": 0,
    "top_p": 1.0,
    "min_p": None,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "min_length": 0,
    "min_new_tokens": None,
}
"""Options of `generate` by which nothing is changed in a model's distribution."""


@dataclass(frozen=True)
class Target:
    """A text as tokens.

    Args:
        given: Tokens that it begins with and that the model did not choose.
        written: The tokens behind them, which are learned from; with the end token, where it came to its end.
        finished: Whether it did.
    """

    given: tuple[int, ...]
    written: tuple[int, ...]
    finished: bool = True


class Policy(Protocol):
    """A model that writes texts for examples."""

    model: Any
    """The model whose parameters learn."""

    def sample(
        self, examples: Sequence[Example], count: int, *, temperature: float | None, max_new_tokens: int
    ) -> list[list[Target]]:
        """Write so many texts for each example, drawn at a temperature; the most probable tokens where it is None."""

    def read(self, example: Example, text: str, given: Sequence[int] = ()) -> Target | None:
        """A text as the target of an example; None where it does not begin with the tokens `given`."""

    def text(self, target: Target) -> str:
        """The text of a target."""

    def log_probabilities(
        self, examples: Sequence[Example], targets: Sequence[Target], owners: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """How probable each written token is.

        Args:
            examples: Each is encoded once.
            targets: Texts.
            owners: The place of each text's example among `examples`.

        Returns:
            Log-probabilities with their gradient, 0 where there is no written token, and a mask of the written tokens,
            both `(texts, tokens)`.
        """


class PlainPolicy:
    """Any sequence-to-sequence or causal language model of transformers, with or without PEFT's adapters.

    An example has a `prompt`, a text that is tokenised as it is; for a causal model it is the beginning of the text.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        max_prompt_tokens: A longer prompt is cut: at its end, or for a causal model, which goes on from there, at its
            beginning.

    Raises:
        SettingsError: The model has side inputs, or the tokenizer has no end token.
    """

    def __init__(self, model: Any, tokenizer: Any, max_prompt_tokens: int = 1024) -> None:
        if model.config.model_type == "clinragen":
            raise SettingsError(
                "this model reads series beside the note; give policy=ClinicalPolicy(model, processor, "
                "vocabulary=cohort.vocabulary)"
            )
        if tokenizer is None or tokenizer.eos_token_id is None:
            raise SettingsError("processing_class must be the model's tokenizer, with an end token (eos_token)")
        self.model = model
        self._tokenizer = tokenizer
        self._most = max_prompt_tokens
        self._both = bool(model.config.is_encoder_decoder)
        padding = tokenizer.pad_token_id
        self._padding = tokenizer.eos_token_id if padding is None else padding

    def sample(
        self, examples: Sequence[Example], count: int, *, temperature: float | None, max_new_tokens: int
    ) -> list[list[Target]]:
        """See `Policy`."""
        rows = [row for row in self._prompts(examples) for _ in range(count)]
        ids, mask = self._padded(rows, left=not self._both)
        with torch.no_grad():
            generated = self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                pad_token_id=self._padding,
                # The model may name further ends, behind which there would be padding.
                eos_token_id=self._tokenizer.eos_token_id,
                **sampling_options(temperature, max_new_tokens),
            )
        # An encoder-decoder's tokens begin with the start token, a causal model's with the prompt.
        skipped = 1 if self._both else ids.shape[1]
        found = [written_target((), row[skipped:], self._tokenizer.eos_token_id) for row in generated.tolist()]
        return [found[first : first + count] for first in range(0, len(found), count)]

    def read(self, example: Example, text: str, given: Sequence[int] = ()) -> Target | None:
        """See `Policy`."""
        ids = [*self._tokenizer(text, add_special_tokens=False)["input_ids"], self._tokenizer.eos_token_id]
        return behind(ids, given)

    def text(self, target: Target) -> str:
        """See `Policy`."""
        return str(self._tokenizer.decode([*target.given, *target.written], skip_special_tokens=True)).strip()

    def log_probabilities(
        self, examples: Sequence[Example], targets: Sequence[Target], owners: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Policy`."""
        labels, written = padded_labels(targets)
        labels, written = labels.to(self.model.device), written.to(self.model.device)
        prompts = self._prompts(examples)
        if self._both:
            ids, mask = self._padded(prompts, left=False)
            states = self.model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
            rows = torch.tensor(owners, device=ids.device)
            inputs = {
                "encoder_outputs": BaseModelOutput(last_hidden_state=states[rows]),
                "attention_mask": mask[rows],
                "decoder_input_ids": self.model.prepare_decoder_input_ids_from_labels(labels=labels),
            }
            losses, _ = target_losses(self.model, inputs, labels)
        else:
            whole = [
                [*prompts[owner], *target.given, *target.written]
                for owner, target in zip(owners, targets, strict=True)
            ]
            ids, mask = self._padded(whole, left=False)
            # The state at a position decides the token behind it.
            following = torch.full_like(ids, IGNORED)
            for row, (owner, tokens) in enumerate(zip(owners, whole, strict=True)):
                first = len(prompts[owner])
                following[row, first - 1 : len(tokens) - 1] = ids[row, first : len(tokens)]
            found, _ = target_losses(self.model, {"input_ids": ids, "attention_mask": mask}, following)
            losses = found.new_zeros(labels.shape).masked_scatter(labels != IGNORED, found[following != IGNORED])
        return -losses * written, written

    def _prompts(self, examples: Sequence[Example]) -> list[list[int]]:
        rows = []
        for example in examples:
            if not isinstance(example.get("prompt"), str):
                raise InputDataError("an example has no text 'prompt'; give each one a prompt")
            ids = list(self._tokenizer(example["prompt"])["input_ids"])
            if not self._both and ids[-1:] == [self._tokenizer.eos_token_id]:
                # A tokenizer that ends every text would end a causal model's prompt before its answer.
                ids = ids[:-1]
            rows.append((ids[: self._most] if self._both else ids[-self._most :]) or [self._padding])
        return rows

    def _padded(self, rows: Sequence[Sequence[int]], *, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
        longest = max(map(len, rows))
        ids = torch.full((len(rows), longest), self._padding)
        mask = torch.zeros_like(ids)
        for row, tokens in enumerate(rows):
            place = slice(longest - len(tokens), None) if left else slice(None, len(tokens))
            ids[row, place] = torch.tensor(tokens)
            mask[row, place] = 1
        return ids.to(self.model.device), mask.to(self.model.device)


def sampling_options(temperature: float | None, max_new_tokens: int) -> dict[str, Any]:
    """Options of `generate`: drawn from the model's own distribution at a temperature, or greedily as it always does.

    What is drawn has to be what `log_probabilities` is of, whatever the model's `generation_config` would change.
    """
    options: dict[str, Any] = {"max_new_tokens": max_new_tokens, "num_beams": 1, "do_sample": temperature is not None}
    if temperature is not None:
        options |= {"temperature": temperature, **AS_IT_IS}
    return options


def written_target(given: Sequence[int], written: Sequence[int], end: int) -> Target:
    """A target of what was generated: its tokens up to the end, without the padding behind it."""
    tokens = list(written)
    finished = end in tokens
    return Target(tuple(given), tuple(tokens[: tokens.index(end) + 1] if finished else tokens), finished)


def behind(ids: Sequence[int], given: Sequence[int]) -> Target | None:
    """The tokens of a whole text as a target whose first ones are given; None where it begins with others."""
    if list(ids[: len(given)]) != list(given):
        return None
    return Target(tuple(given), tuple(ids[len(given) :]))


def padded_labels(targets: Sequence[Target]) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels `(texts, tokens)`, padding as -100, and which of them were written."""
    longest = max(len(target.given) + len(target.written) for target in targets)
    labels = torch.full((len(targets), longest), IGNORED)
    written = torch.zeros(len(targets), longest)
    for row, target in enumerate(targets):
        whole = [*target.given, *target.written]
        labels[row, : len(whole)] = torch.tensor(whole, dtype=torch.long)
        written[row, len(target.given) : len(whole)] = 1
    return labels, written


__all__ = [
    "Example",
    "PlainPolicy",
    "Policy",
    "Target",
    "behind",
    "padded_labels",
    "sampling_options",
    "written_target",
]
