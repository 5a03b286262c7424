"""Generation helpers: decoding constrained to the configured diseases, and probabilities of these diseases.

- `DiseaseListConstraint`: the list of diseases holds only configured names, each at most once; the rest is free.
- `score_diseases`: the probability of every disease, from the likelihood of the lists with and without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessor

from .errors import ModelInputError, SettingsError
from .processing_clinragen import DIAGNOSIS_MARK, IGNORED, NO_DIAGNOSIS, RATIONALE_MARK, ClinRaGenProcessor

# A position in the target's grammar. Several are possible at once where one name is a prefix of another.
# ("literal", text, index, then): inside a fixed text; ("name", used, typed): inside a name; ("free", index): anything.
Position = tuple[Any, ...]
State = frozenset[Position]


class ListGrammar:
    """The texts that `ClinRaGenProcessor.target` can write, read character by character.

    Args:
        names: The configured diseases.
        layout: "diagnosis-first" or "rationale-first".

    Raises:
        SettingsError: There is no name, or a name contains a comma, the separator of the list.
    """

    def __init__(self, names: Sequence[str], layout: str) -> None:
        if not names:
            raise SettingsError("config.diseases is empty; constrained decoding needs named diseases")
        odd = next((name for name in names if "," in name or not name), None)
        if odd is not None:
            raise SettingsError(f"the disease name '{odd}' is empty or contains a comma, the separator of the list")
        self.names = tuple(names)
        self.first = layout == "diagnosis-first"
        self.opening = f"{DIAGNOSIS_MARK} "
        self.closing = f". {RATIONALE_MARK}" if self.first else "."
        start = ("literal", self.opening if self.first else RATIONALE_MARK, 0, "list" if self.first else "free")
        # A tokenizer may put a space before the first word.
        self.start: State = frozenset({start, ("space", start)})

    def step(self, state: State, character: str) -> State:
        """The positions after one more character; empty when no target continues so."""
        return frozenset(after for position in state for after in self._after(position, character))

    def complete(self, state: State) -> bool:
        """Whether the text may end here."""
        return any(position[0] == "end" or (position[0] == "free" and self.first) for position in state)

    def unbound(self, state: State) -> bool:
        """Whether any text may follow from here on."""
        return self.first and any(position[0] == "free" for position in state)

    def _after(self, position: Position, character: str) -> list[Position]:
        kind = position[0]
        if kind == "space":
            return [position[1]] if character == " " else []
        if kind == "literal":
            _, text, index, then = position
            if text[index] != character:
                return []
            if index + 1 < len(text):
                return [("literal", text, index + 1, then)]
            return [("name", (), "") if then == "list" else ("free", 0)]
        if kind == "free":
            return self._after_free(position[1], character)
        if kind == "name":
            return self._after_in_name(position[1], position[2], character)
        return []

    def _after_free(self, index: int, character: str) -> list[Position]:
        if self.first:
            return [("free", 0)]
        # Rationale first: the list begins after its marker, of which `index` characters have been written.
        written = self.opening[:index] + character
        if written == self.opening:
            return [("name", (), "")]
        while not self.opening.startswith(written):
            written = written[1:]
        return [("free", len(written))]

    def _after_in_name(self, used: tuple[int, ...], typed: str, character: str) -> list[Position]:
        positions: list[Position] = []
        longer = typed + character
        left = [index for index in range(len(self.names)) if index not in used]
        if any(self.names[index].startswith(longer) for index in left) or (
            not used and NO_DIAGNOSIS.startswith(longer)
        ):
            positions.append(("name", used, longer))
        whole = next((index for index in left if self.names[index] == typed), None)
        none = not used and typed == NO_DIAGNOSIS
        if (whole is not None or none) and character == self.closing[0]:
            positions.append(("literal", self.closing, 1, "free") if self.first else ("end",))
        if whole is not None and character == "," and len(left) > 1:
            positions.append(("name", tuple(sorted((*used, whole))), ""))
        return positions


class DiseaseListConstraint(LogitsProcessor):
    """Allows only next tokens that continue to a well-formed target; pass it to `generate`.

    `model.generate(**inputs, logits_processor=[DiseaseListConstraint(processor, model.config)])`

    The grammar is over characters, so it works with every tokenizer, also where one token spans several names. In the
    layout diagnosis-first the rationale is free; in rationale-first everything before the list is.

    Args:
        processor: The model's processor.
        config: The model's config, for the diseases and the kind of language model.
    """

    def __init__(self, processor: ClinRaGenProcessor, config: Any) -> None:
        self.grammar = ListGrammar(config.diseases, processor.layout)
        # An encoder-decoder's generated ids begin with the start token; from given embeddings they begin empty.
        self.skipped = 1 if config.is_encoder_decoder else 0
        self.end = processor.tokenizer.eos_token_id
        self.pieces = token_texts(processor.tokenizer)
        self._trie = token_trie(self.pieces)
        self._allowed: dict[State, torch.Tensor] = {}
        self._after: dict[tuple[State, int], State] = {}

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Set the scores of impossible tokens to minus infinity; shapes `(rows, tokens)` and `(rows, vocabulary)`."""
        blocked = torch.ones_like(scores, dtype=torch.bool)
        for row, tokens in enumerate(input_ids[:, self.skipped :].tolist()):
            state = self._state(tokens)
            if not state or self.grammar.unbound(state):
                # The row has ended, or its remaining text is free.
                blocked[row] = False
            else:
                blocked[row, self._next(state).to(scores.device)] = False
        return scores.masked_fill(blocked, float("-inf"))

    def _state(self, tokens: list[int]) -> State:
        state = self.grammar.start
        for token in tokens:
            if self.grammar.unbound(state):
                break
            if (state, token) not in self._after:
                after = state if token != self.end else frozenset()
                for character in self.pieces.get(token, ""):
                    after = self.grammar.step(after, character)
                self._after[state, token] = after
            state = self._after[state, token]
        return state

    def _next(self, state: State) -> torch.Tensor:
        if state not in self._allowed:
            found: list[int] = [self.end] if self.grammar.complete(state) else []
            pending = [(self._trie, state)]
            while pending:
                node, reached = pending.pop()
                for character, child in node.items():
                    if character == "":
                        continue
                    after = reached if self.grammar.unbound(reached) else self.grammar.step(reached, character)
                    if after:
                        found += child.get("", [])
                        pending.append((child, after))
            self._allowed[state] = torch.tensor(found, dtype=torch.long)
        return self._allowed[state]


def token_texts(tokenizer: Any) -> dict[int, str]:
    """The text that each token adds, by its id; special tokens and those without a text are left out."""
    # Decoded alone, a token would lose its leading space.
    anchor = tokenizer("a", add_special_tokens=False)["input_ids"]
    before = tokenizer.decode(anchor, clean_up_tokenization_spaces=False)
    ids = [token for token in range(len(tokenizer)) if token not in tokenizer.all_special_ids]
    texts = tokenizer.batch_decode([[*anchor, token] for token in ids], clean_up_tokenization_spaces=False)
    added = {token: text.removeprefix(before) for token, text in zip(ids, texts, strict=True)}
    # Part of a multi-byte character decodes to U+FFFD, which is in no name and in no marker.
    return {token: text for token, text in added.items() if text}


def token_trie(pieces: dict[int, str]) -> dict[str, Any]:
    """The texts of tokens as a tree by character; the tokens that end at a node are under its key ""."""
    root: dict[str, Any] = {}
    for token, text in pieces.items():
        node = root
        for character in text:
            node = node.setdefault(character, {})
        node.setdefault("", []).append(token)
    return root


@torch.no_grad()
def score_diseases(
    model: Any,
    processor: ClinRaGenProcessor,
    inputs: dict[str, torch.Tensor],
    lists: Sequence[Sequence[str]],
    *,
    sequences: int = 1024,
) -> torch.Tensor:
    """The probability of each disease, given the patient and the other diseases of a list.

    For every disease two lists are scored with teacher forcing: the given one with the disease and the given one
    without it. Their likelihood ratio is the odds of the disease given the others, which is the model's own
    conditional probability whatever the order of the list and the number of tokens in a name. One batched pass scores
    all lists of a patient, who is encoded once.

    Args:
        model: A ClinRaGen model of the diagnosis-first layout whose config names the diseases.
        processor: Its processor.
        inputs: The processor's output for the patients, without labels.
        lists: For every patient the diseases taken as given, for instance those that the model generated.
        sequences: Lists per forward pass; only memory and time depend on it.

    Returns:
        Probabilities `(batch, diseases)`, in the order of `model.config.diseases`.

    Raises:
        ModelInputError: A listed disease is not one of the configuration's.
        SettingsError: The configuration names no disease, or the layout is rationale-first: the text before the list
            would then be a rationale for one particular list.
    """
    diseases = model.config.diseases
    if not diseases:
        raise SettingsError("config.diseases is empty; a model needs named diseases to score them")
    if processor.layout != "diagnosis-first":
        raise SettingsError(
            f"scoring diseases needs the layout diagnosis-first, this processor's is {processor.layout}"
        )
    index = {name: number for number, name in enumerate(diseases)}
    unknown = next((name for names in lists for name in names if name not in index), None)
    if unknown is not None:
        raise ModelInputError(f"'{unknown}' is not one of the model's {len(diseases)} diseases; see config.diseases")
    rows = []
    for names in lists:
        given = {index[name] for name in names}
        toggled = [given, *(given ^ {number} for number in range(len(diseases)))]
        rows.append([processor.list_ids([diseases[number] for number in sorted(kept)]) for kept in toggled])
    longest = max(len(ids) for row in rows for ids in row)
    candidates = torch.full((len(rows), len(diseases) + 1, longest), IGNORED)
    for patient, row in enumerate(rows):
        for candidate, ids in enumerate(row):
            candidates[patient, candidate, : len(ids)] = torch.tensor(ids)
    scores = model.score_targets(candidates.to(model.device), **inputs, sequences=sequences)
    listed = torch.zeros(len(rows), len(diseases), dtype=torch.bool, device=scores.device)
    for patient, names in enumerate(lists):
        listed[patient, [index[name] for name in names]] = True
    gain = scores[:, 1:] - scores[:, :1]
    return torch.sigmoid(torch.where(listed, -gain, gain))


__all__ = ["DiseaseListConstraint", "ListGrammar", "score_diseases", "token_texts", "token_trie"]
