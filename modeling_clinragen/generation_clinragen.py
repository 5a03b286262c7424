"""Constrained decoding: a generated list of diseases can hold only configured names, each once; the rest is free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessor

from .errors import SettingsError
from .processing_clinragen import DIAGNOSIS_MARK, NO_DIAGNOSIS, RATIONALE_MARK, ClinRaGenProcessor

# A place in the target's grammar. Several can be possible at once, where one name is the beginning of another.
# ("literal", text, at, then): inside a fixed text; ("name", used, typed): inside a name; ("free", at): anything goes.
Place = tuple[Any, ...]
State = frozenset[Place]


class ListGrammar:
    """The texts that `ClinRaGenProcessor.target` can write, read character by character.

    Args:
        names: The configured diseases.
        layout: "diagnosis-first" or "rationale-first".

    Raises:
        SettingsError: There is no name, or a name holds a comma, which ends it.
    """

    def __init__(self, names: Sequence[str], layout: str) -> None:
        if not names:
            raise SettingsError("config.diseases is empty; constrained decoding needs named diseases")
        odd = next((name for name in names if "," in name or not name), None)
        if odd is not None:
            raise SettingsError(f"the disease name '{odd}' is empty or holds a comma, which ends a name in the list")
        self.names = tuple(names)
        self.first = layout == "diagnosis-first"
        self.opening = f"{DIAGNOSIS_MARK} "
        self.closing = f". {RATIONALE_MARK}" if self.first else "."
        start = ("literal", self.opening if self.first else RATIONALE_MARK, 0, "list" if self.first else "free")
        # A tokenizer may put a space before the first word.
        self.start: State = frozenset({start, ("space", start)})

    def step(self, state: State, character: str) -> State:
        """The places after one more character; empty when no target goes on so."""
        return frozenset(after for place in state for after in self._after(place, character))

    def complete(self, state: State) -> bool:
        """Whether the text may end here."""
        return any(place[0] == "end" or (place[0] == "free" and self.first) for place in state)

    def unbound(self, state: State) -> bool:
        """Whether anything at all may follow from here on."""
        return self.first and any(place[0] == "free" for place in state)

    def _after(self, place: Place, character: str) -> list[Place]:
        kind = place[0]
        if kind == "space":
            return [place[1]] if character == " " else []
        if kind == "literal":
            _, text, at, then = place
            if text[at] != character:
                return []
            if at + 1 < len(text):
                return [("literal", text, at + 1, then)]
            return [("name", (), "") if then == "list" else ("free", 0)]
        if kind == "free":
            return self._after_free(place[1], character)
        if kind == "name":
            return self._after_in_name(place[1], place[2], character)
        return []

    def _after_free(self, at: int, character: str) -> list[Place]:
        if self.first:
            return [("free", 0)]
        # Rationale first: the list begins where its mark has been written; `at` characters of it have been.
        written = self.opening[:at] + character
        if written == self.opening:
            return [("name", (), "")]
        while not self.opening.startswith(written):
            written = written[1:]
        return [("free", len(written))]

    def _after_in_name(self, used: tuple[int, ...], typed: str, character: str) -> list[Place]:
        places: list[Place] = []
        longer = typed + character
        left = [at for at in range(len(self.names)) if at not in used]
        if any(self.names[at].startswith(longer) for at in left) or (not used and NO_DIAGNOSIS.startswith(longer)):
            places.append(("name", used, longer))
        whole = next((at for at in left if self.names[at] == typed), None)
        none = not used and typed == NO_DIAGNOSIS
        if (whole is not None or none) and character == self.closing[0]:
            places.append(("literal", self.closing, 1, "free") if self.first else ("end",))
        if whole is not None and character == "," and len(left) > 1:
            places.append(("name", tuple(sorted((*used, whole))), ""))
        return places


class DiseaseListConstraint(LogitsProcessor):
    """Leaves only those next tokens possible that go on to a well-formed target; give it to `generate`.

    `model.generate(**inputs, logits_processor=[DiseaseListConstraint(processor, model.config)])`

    The grammar is over characters, so it holds for every tokenizer and however a token spans names. In the layout
    diagnosis-first the rationale is free; in rationale-first everything before the list is.

    Args:
        processor: The model's processor.
        config: The model's config, for the diseases and the kind of language model.
    """

    def __init__(self, processor: ClinRaGenProcessor, config: Any) -> None:
        self.grammar = ListGrammar(config.diseases, processor.layout)
        # Generation begins after the start token in an encoder-decoder, after nothing where embeddings are given.
        self.skipped = 1 if config.is_encoder_decoder else 0
        self.end = processor.tokenizer.eos_token_id
        self.pieces = _pieces(processor.tokenizer)
        self._trie = _trie(self.pieces)
        self._allowed: dict[State, torch.Tensor] = {}
        self._after: dict[tuple[State, int], State] = {}

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Set the scores of impossible tokens to minus infinity; shapes `(rows, tokens)` and `(rows, vocabulary)`."""
        blocked = torch.ones_like(scores, dtype=torch.bool)
        for row, tokens in enumerate(input_ids[:, self.skipped :].tolist()):
            state = self._state(tokens)
            if not state or self.grammar.unbound(state):
                # Nothing is left to say once a row has ended, or nothing is forbidden any more.
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


def _pieces(tokenizer: Any) -> dict[int, str]:
    # What a token adds to a text, which is not what it decodes to alone: a first space would be lost.
    anchor = tokenizer("a", add_special_tokens=False)["input_ids"]
    before = tokenizer.decode(anchor, clean_up_tokenization_spaces=False)
    ids = [token for token in range(len(tokenizer)) if token not in tokenizer.all_special_ids]
    texts = tokenizer.batch_decode([[*anchor, token] for token in ids], clean_up_tokenization_spaces=False)
    added = {token: text.removeprefix(before) for token, text in zip(ids, texts, strict=True)}
    # A part of a character decodes to U+FFFD, which stands in no name and in no mark.
    return {token: text for token, text in added.items() if text}


def _trie(pieces: dict[int, str]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for token, text in pieces.items():
        node = root
        for character in text:
            node = node.setdefault(character, {})
        node.setdefault("", []).append(token)
    return root


__all__ = ["DiseaseListConstraint", "ListGrammar"]
