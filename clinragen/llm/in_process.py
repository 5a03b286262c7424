"""A language model in this process, through `transformers`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from clinragen.llm.types import Answer, Request
from dataset_builder.storage.files import file_digest, fingerprint
from modeling_clinragen.errors import InputDataError, ModelInputError, SettingsError

A = TypeVar("A")
B = TypeVar("B")


@dataclass(eq=False)
class _Pending:
    """A waiting request, or its index in the batch that answers it."""

    request: Request
    prompt: list[int]
    batch: asyncio.Future[list[Answer]] | None = None
    index: int = 0

    def fits(self, other: _Pending) -> bool:
        """Whether one batch can answer both. A sampled answer is generated alone, so that its seed decides."""
        greedy = not self.request.temperature and not other.request.temperature
        return greedy and self.request.max_tokens == other.request.max_tokens


class InProcessModel:
    """A causal or encoder-decoder language model; greedy requests with the same `max_tokens` are answered in batches.

    Messages are formatted by the model's chat template; without one, their contents are joined as paragraphs. JSON
    schemas are not enforced.

    Args:
        model: A folder, or `hf://owner/name` for a model on the Hub.
        batch_size: Requests per batch.
        device: Device of the model; None for CUDA where available, else the CPU.

    Raises:
        InputDataError: There is no such folder, or no such model in it that needs neither foreign code nor pickles.
    """

    address = None

    def __init__(self, model: str, *, batch_size: int = 8, device: str | None = None) -> None:
        self.name = model
        self.governance: dict[str, Any] = {"host": None, "local": True, "acknowledgement": None}
        self._batch_size = batch_size
        self._model, self._tokenizer = _load(model, device)
        self._weights = _weights_digest(model, self._model)
        self._waiting: list[_Pending] = []
        self._turn = asyncio.Lock()
        # One thread: the model does one thing at a time while the event loop continues.
        self._worker = ThreadPoolExecutor(1, "language-model")
        self._closed = threading.Event()

    @property
    def settings(self) -> dict[str, Any]:
        """The provider, the model and a digest of its files: other weights under the same name give other answers."""
        return {"kind": "transformers", "model": self.name, "weights": self._weights, "enforces_schema": False}

    async def answer(self, request: Request) -> Answer:
        """One attempt; see `LanguageModel.answer`."""
        prompt = await self._in_thread(self._encode, request)
        pending = _Pending(request, prompt)
        self._waiting.append(pending)
        try:
            async with self._turn:
                # Turns come in order of arrival: this request is the first that waits, or is in a batch already.
                answers = pending.batch or self._start_batch(pending)
                await asyncio.wait([answers])
            return answers.result()[pending.index]
        finally:
            if pending in self._waiting:
                self._waiting.remove(pending)

    async def close(self) -> None:
        """End the thread; a running batch is abandoned at its next token."""
        self._closed.set()
        await asyncio.to_thread(self._worker.shutdown, cancel_futures=True)

    def _encode(self, request: Request) -> list[int]:
        import jinja2

        messages = [asdict(message) for message in request.messages]
        if self._tokenizer.chat_template is None:
            prompt = self._tokenizer("\n\n".join(message["content"] for message in messages)).input_ids
        else:
            try:
                text = self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
            except jinja2.TemplateError:
                # Not chained: the cause may quote the messages.
                raise SettingsError(
                    f"{self.name}: its chat template does not support the roles of these messages; use another model"
                ) from None
            prompt = self._tokenizer(text, add_special_tokens=False).input_ids
        context = self._model.config.get_text_config().to_dict().get("max_position_embeddings")
        separate = self._model.config.is_encoder_decoder
        needed = max(len(prompt), request.max_tokens) if separate else len(prompt) + request.max_tokens
        if context is not None and needed > context:
            raise ModelInputError(
                f"{request.key or 'a request'}: prompt and answer exceed the {context} tokens of {self.name}; shorten "
                "the note, or use a model with a longer context"
            )
        return prompt

    def _start_batch(self, first: _Pending) -> asyncio.Future[list[Answer]]:
        batch = [first, *(other for other in self._waiting if other is not first and other.fits(first))]
        batch = batch[: self._batch_size]
        answers = self._in_thread(self._generate, batch)
        for index, pending in enumerate(batch):
            pending.batch, pending.index = answers, index
            self._waiting.remove(pending)
        return answers

    def _in_thread(self, work: Callable[[A], B], given: A) -> asyncio.Future[B]:
        return asyncio.get_running_loop().run_in_executor(self._worker, work, given)

    def _generate(self, batch: Sequence[_Pending]) -> list[Answer]:
        import torch
        from transformers import StoppingCriteriaList

        def closed(rows: torch.Tensor, scores: torch.Tensor, **settings: Any) -> torch.Tensor:
            return torch.full((len(rows),), self._closed.is_set(), device=rows.device)

        request = batch[0].request
        sampling: dict[str, Any] = {"do_sample": False}
        if request.temperature:
            sampling = {"do_sample": True, "temperature": request.temperature}
            if request.seed is not None:
                torch.manual_seed(request.seed)
        inputs = self._tokenizer.pad({"input_ids": [pending.prompt for pending in batch]}, return_tensors="pt")
        inputs = inputs.to(self._model.device)
        with torch.inference_mode():
            rows = self._model.generate(
                **inputs,
                max_new_tokens=request.max_tokens,
                pad_token_id=self._tokenizer.pad_token_id,
                stopping_criteria=StoppingCriteriaList([closed]),
                **sampling,
            )
        # A decoder continues the prompt; an encoder-decoder starts with a token of its own.
        start = 1 if self._model.config.is_encoder_decoder else inputs["input_ids"].shape[1]
        ends = self._model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        answers = []
        for pending, row in zip(batch, rows[:, start:].tolist(), strict=True):
            size = next((at for at, token in enumerate(row, 1) if token in ends), None)
            answers.append(
                Answer(
                    text=self._tokenizer.decode(row[:size], skip_special_tokens=True),
                    finish_reason="length" if size is None else "stop",
                    prompt_tokens=len(pending.prompt),
                    completion_tokens=len(row) if size is None else size,
                    model=self.name,
                )
            )
        return answers


def _weights_digest(name: str, model: Any) -> str | None:
    """A digest of the files in a model's folder, or the revision of one that was downloaded before."""
    folder = Path(name)
    if not folder.is_dir():
        return getattr(model.config, "_commit_hash", None)
    found = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    named = [path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts)]
    return fingerprint({name: file_digest(folder / name) for name in named})


def _load(name: str, device: str | None) -> tuple[Any, Any]:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    from modeling_clinragen.loading_clinragen import load_part, load_weights

    try:
        config = load_part(AutoConfig, name)
        kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        model = load_weights(kind, name, dtype="auto")
        tokenizer = load_part(AutoTokenizer, name)
    except (OSError, ValueError) as error:
        raise InputDataError(f"{name}: no language model that transformers can load; give its folder") from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    # A decoder continues the last token: padding must not separate it from the answer.
    tokenizer.padding_side = "right" if config.is_encoder_decoder else "left"
    return model.eval().to(device or ("cuda" if torch.cuda.is_available() else "cpu")), tokenizer
